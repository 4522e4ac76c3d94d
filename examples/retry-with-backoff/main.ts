/**
 * You decide how often and how slowly to repeat; the library decides what may be repeated: `npx tsx
 * examples/retry-with-backoff/main.ts`.
 *
 * The policy is any `Schedule`. The library never repeats sooner than `Retry-After`, and never repeats a permanent
 * refusal. It repeats a request that a server may have acted on at most once, even if the schedule allows more.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { TokenSet } from "effect-safire"
import { ClientAuthentication, RetryPolicy, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

/**
 * 50 ms, 100 ms, 200 ms … up to a second apart, each a fifth more or less, five repeats in all; and a line for each.
 */
const patient: RetryPolicy.Policy = Schedule.exponential("50 millis").pipe(
  Schedule.either(Schedule.spaced("1 second")),
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(5)),
  Schedule.tapInput((error: RetryPolicy.RetryableError) =>
    Console.log(`  ${error._tag}${error.status === undefined ? "" : ` ${error.status}`}`)
  )
)

/** Runs an effect during a fault of the server, and prints the result, the time and the number of requests. */
const whileFailing = <A, E, R>(title: string, step: "discovery" | "token", self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    yield* ehr.clearRequests
    yield* Console.log(title)
    const [took, result] = yield* Effect.timed(Effect.either(self))
    const sent = (yield* ehr.requests).filter((request) => request.step === step).length
    const took100 = Math.round(Duration.toMillis(took) / 100) / 10
    yield* Console.log(`  ${Either.isRight(result) ? "done" : "failed"} after ${sent} requests and ${took100} s\n`)
    yield* ehr.clearFaults
    return result
  })

const login = Effect.gen(function*() {
  const client = yield* SmartClient.SmartClient
  const ehr = yield* SandboxEhr.SandboxEhr
  const { pending, url } = yield* client.authorize()
  return { pending, callback: yield* ehr.approve(url) }
})

const refresh = (tokens: TokenSet.TokenSet) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens))

const main = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const client = yield* SmartClient.SmartClient
  const { Fault } = SandboxEhr

  yield* ehr.fault("discovery", Fault.status(503), 3)
  yield* whileFailing("discovery: the server is restarted", "discovery", client.configuration)

  const { callback, pending } = yield* login
  yield* ehr.fault("token", Fault.status(429, { headers: { "retry-after": "1" } }))
  const exchanged = yield* whileFailing(
    "exchange: it asks to come back in a second",
    "token",
    client.exchange(callback, pending)
  )
  const tokens = yield* exchanged

  yield* ehr.fault("token", Fault.drop, 9)
  yield* whileFailing("refresh: the connection breaks, and the outcome is unknown", "token", refresh(tokens))

  yield* ehr.fault("token", Fault.status(503), 9)
  yield* whileFailing(
    "refresh, under a policy for this one call: the server is down",
    "token",
    refresh(tokens).pipe(RetryPolicy.withPolicy(RetryPolicy.none))
  )

  yield* ehr.fault("token", Fault.oauthError("invalid_grant"))
  yield* whileFailing("refresh: the server says no", "token", refresh(tokens))

  yield* whileFailing("refresh: all is well", "token", refresh(tokens))
})

/** The policy applies to all layers that it is provided to. */
const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}).pipe(
  Layer.provide(RetryPolicy.layer(patient)),
  Layer.provide(ClientAuthentication.layerPublic)
)

main.pipe(
  Effect.provide(Layer.provideMerge(SmartLive, SandboxEhr.layerHttpClient())),
  NodeRuntime.runMain
)
