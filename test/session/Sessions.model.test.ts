import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SmartClient from "../../src/smart/SmartClient.js"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { type Exchange, recorded, Reference } from "../support/sessionsReference.js"

const INSTANCES = 3

/** What may happen at one moment. Numbers choose among the launches there are. */
type Step =
  | { readonly _tag: "Complete"; readonly instance: number; readonly launch: number }
  | { readonly _tag: "Use"; readonly instance: number; readonly launch: number }
  | { readonly _tag: "UseAfterRefusal"; readonly instance: number; readonly launch: number }
  | { readonly _tag: "End"; readonly instance: number; readonly launch: number }

type FaultName = "none" | "down" | "dropped" | "lost" | "refused" | "badClient" | "slow"

type Command =
  | { readonly _tag: "Begin"; readonly instance: number }
  | { readonly _tag: "Wait"; readonly seconds: number }
  | { readonly _tag: "Revoke"; readonly launch: number }
  /** All at once, while the server goes wrong with the first token request. */
  | { readonly _tag: "AtOnce"; readonly steps: ReadonlyArray<Step>; readonly fault: FaultName }

const faults: Record<Exclude<FaultName, "none">, SandboxEhr.Fault.Fault> = {
  down: SandboxEhr.Fault.status(503),
  dropped: SandboxEhr.Fault.drop,
  lost: SandboxEhr.Fault.lostResponse,
  refused: SandboxEhr.Fault.oauthError("invalid_grant"),
  badClient: SandboxEhr.Fault.oauthError("invalid_client", { status: 401 }),
  slow: SandboxEhr.Fault.delay("2 seconds", { processed: true })
}

const instance = FastCheck.nat({ max: INSTANCES - 1 })
const launch = FastCheck.nat({ max: 3 })
const step: FastCheck.Arbitrary<Step> = FastCheck.record({
  _tag: FastCheck.constantFrom(
    "Complete" as const,
    "Use" as const,
    "Use" as const,
    "Use" as const,
    "Use" as const,
    "UseAfterRefusal" as const,
    "End" as const
  ),
  instance,
  launch
})
const fault = FastCheck.oneof(
  { weight: 6, arbitrary: FastCheck.constant<FaultName>("none") },
  { weight: 4, arbitrary: FastCheck.constantFrom<FaultName>("down", "dropped", "lost", "refused", "badClient", "slow") }
)
const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  { weight: 3, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Begin" as const), instance }) },
  {
    weight: 5,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Wait" as const),
      seconds: FastCheck.constantFrom(1, 3, 30, 70, 270, 301, 400)
    })
  },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Revoke" as const), launch }) },
  {
    weight: 12,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("AtOnce" as const),
      steps: FastCheck.oneof(
        FastCheck.array(step, { minLength: 1, maxLength: 1 }),
        FastCheck.array(step, { minLength: 2, maxLength: 6 })
      ),
      fault
    })
  }
)

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"],
  authorizationMaxAge: "30 minutes"
}

/** Moves the test clock in small steps while the effect runs, and until `isQuiet`. */
const withSteps = <A, E, R>(self: Effect.Effect<A, E, R>, isQuiet = () => true): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    for (let steps = 0; Option.isNone(yield* Fiber.poll(fiber)) || !isQuiet(); steps++) {
      assert.isBelow(steps, 2000, "the effect waits forever")
      yield* TestClock.adjust("50 millis")
    }
    return yield* Fiber.join(fiber)
  })

const play = (commands: ReadonlyArray<Command>) =>
  Effect.gen(function*() {
    const exchanges: Array<Exchange> = []
    const sandbox = SandboxEhr.layerHttpClient({ codeLifetime: "1 day" })
    const http = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, recorded(exchanges)))
    const world = yield* Layer.build(
      SmartClient.layer(config).pipe(
        Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
        Layer.provide(ClientAuthentication.layerPublic),
        Layer.provide(http),
        Layer.provideMerge(sandbox)
      )
    )
    const ehr = yield* Effect.provide(SandboxEhr.SandboxEhr, world)
    // As many processes: each has a store of its own in the same place.
    const place = yield* SessionStore.backingMemory
    const instances = yield* Effect.forEach(
      Array.from({ length: INSTANCES }),
      () =>
        Layer.build(
          Sessions.layerFromClient.pipe(
            Layer.provide(SessionStore.layerBacking(Effect.succeed(place))),
            Layer.provide(Layer.succeedContext(world))
          )
        ).pipe(Effect.flatMap((context) => Effect.provide(Sessions.Sessions, context)))
    )
    const on = (index: number) => instances[index % INSTANCES] ?? assert.fail("no such instance")

    const reference = new Reference()
    const launches: Array<{ readonly callback: URL; readonly code: string; id: Sessions.SessionId | undefined }> = []
    const launchAt = (index: number) => launches.length === 0 ? undefined : launches[index % launches.length]

    const run = (one: Step) =>
      Effect.gen(function*() {
        const launch = launchAt(one.launch)
        if (launch === undefined) return
        if (one._tag === "Complete") {
          const outcome = yield* Effect.either(on(one.instance).completeLaunch(launch.callback))
          if (Either.isRight(outcome)) {
            if (launch.id !== undefined) assert.strictEqual(Redacted.value(outcome.right), Redacted.value(launch.id))
            launch.id = outcome.right
          }
          reference.completed(launch.code, Either.mapLeft(outcome, (error) => error.reason))
          return
        }
        if (launch.id === undefined) return
        if (one._tag === "End") {
          reference.ending(launch.code)
          return yield* on(one.instance).revoke(launch.id)
        }
        const refused = one._tag === "Use" ? undefined : reference.lastToken(launch.code)
        const outcome = yield* Effect.either(
          refused === undefined
            ? on(one.instance).accessToken(launch.id)
            : on(one.instance).accessTokenAfter(launch.id, Redacted.make(refused))
        )
        reference.used(
          launch.code,
          refused,
          Either.mapBoth(outcome, { onLeft: (error) => error.reason, onRight: Redacted.value })
        )
      })

    const atOnce = (steps: ReadonlyArray<Step>) =>
      Effect.gen(function*() {
        reference.startStep(yield* Clock.currentTimeMillis)
        // A renewal before the expiry goes on after its callers have the token that they may still use.
        yield* withSteps(
          Effect.forEach(steps, run, { concurrency: "unbounded", discard: true }),
          () => exchanges.every(({ isOpen }) => !isOpen)
        )
        reference.endStep(exchanges.splice(0), yield* Clock.currentTimeMillis, steps.length === 1)
      })

    for (const command of commands) {
      if (command._tag === "Wait") yield* TestClock.adjust(command.seconds * 1000)
      else if (command._tag === "Begin") {
        const { url } = yield* withSteps(on(command.instance).startLaunch())
        const callback = yield* ehr.approve(url)
        const code = callback.searchParams.get("code") ?? assert.fail("no code")
        reference.started(code, yield* Clock.currentTimeMillis)
        launches.push({ callback, code, id: undefined })
      } else if (command._tag === "Revoke") {
        const launch = launchAt(command.launch)
        if (launch?.id === undefined) continue
        reference.revoked(launch.code)
        yield* ehr.revoke(launch.code)
      } else {
        if (command.fault !== "none") yield* ehr.fault("token", faults[command.fault])
        yield* atOnce(command.steps)
        yield* ehr.clearFaults
      }
    }

    // At the end every session that the server has not ended can be renewed once more by any instance.
    yield* TestClock.adjust("10 minutes")
    for (const [index, { code, id }] of launches.entries()) {
      if (id === undefined) continue
      yield* atOnce(
        Array.from({ length: 2 * INSTANCES }, (_, instance): Step => ({ _tag: "Use", instance, launch: index }))
      )
      reference.checkIsAlive(code)
    }
    return reference.counts
  }).pipe(Effect.scoped)

describe("Sessions against a reference", () => {
  const seen = { exchanges: 0, refreshes: 0, tokens: 0, failures: 0, endings: 0 }

  it.effect.prop(
    "[SMART-60] [SMART-117] concurrent calls exchange each code once, send no replaced token and lose no session",
    [FastCheck.array(command, { minLength: 5, maxLength: 35, size: "max" })],
    ([commands]) =>
      Effect.map(play(commands), (counts) => {
        for (const name of Object.keys(seen) as ReadonlyArray<keyof typeof seen>) seen[name] += counts[name]
      }),
    { fastCheck: { numRuns: 25 }, timeout: 300_000 }
  )

  it.effect("the generated commands exercise every kind of outcome", () =>
    Effect.sync(() => {
      for (const [name, count] of Object.entries(seen)) assert.isAbove(count, 0, name)
    }))
})
