/**
 * `HttpLimits` and `RetryPolicy` that are provided to a call apply to that call. Those of the service's layer apply to
 * all other calls.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import {
  BulkExport,
  ClientAuthentication,
  ClientMetadata,
  Discovery,
  FhirClient,
  HttpLimits,
  Registration,
  RetryPolicy,
  SmartClient
} from "effect-safire"
import { TokenSet } from "../src/token/TokenSet.js"
import { eventually, joinWithSteps } from "./support/eventually.js"
import { fake, guarded, hang, text } from "./support/http.js"
import { clientId, entries, fhirBaseUrl, tokens, type Use } from "./support/layerContract.js"

class User extends Context.Tag("test/User")<User, Use>() {}

const all = (limit: "1 second" | "1 hour") =>
  HttpLimits.layer({ discoveryTimeout: limit, tokenTimeout: limit, fhirTimeout: limit })

const origin = new URL(fhirBaseUrl).origin

/** Requests beyond the one of each layer. */
const client = Layer.merge(FhirClient.layer, Layer.provide(Registration.layer, Discovery.layer())).pipe(
  Layer.merge(Layer.provide(
    SmartClient.layer({
      fhirBaseUrl,
      clientId,
      metadata: {
        tokenEndpoint: `${origin}/token`,
        introspectionEndpoint: `${origin}/introspect`,
        revocationEndpoint: `${origin}/revoke`
      }
    }),
    ClientAuthentication.layerClientSecretBasic({ clientSecret: Redacted.make("a-client-s3cret") })
  ))
)
type Client = FhirClient.FhirClient | SmartClient.SmartClient | Registration.Registration

const renewable = new TokenSet({ ...tokens, refreshToken: Redacted.make("r") })

const using = <A, E>(
  use: (client: SmartClient.Service) => Effect.Effect<A, E>
): Effect.Effect<unknown, unknown, Client> => Effect.flatMap(SmartClient.SmartClient, use)
const reading = <A, E>(
  use: (fhir: FhirClient.Authorized) => Effect.Effect<A, E>
): Effect.Effect<unknown, unknown, Client> =>
  Effect.flatMap(
    Effect.all([FhirClient.FhirClient, SmartClient.SmartClient]),
    ([fhir, smart]) => use(fhir.forTokens(smart, tokens))
  )

const calls: Readonly<Record<string, Effect.Effect<unknown, unknown, Client>>> = {
  "SmartClient.refresh": using((smart) => smart.refresh(renewable)),
  "SmartClient.clientCredentials": using((smart) => smart.clientCredentials({ scopes: ["system/*.rs"] })),
  "SmartClient.introspect": using((smart) => smart.introspect(Redacted.make("a"))),
  "SmartClient.revoke": using((smart) => smart.revoke(Redacted.make("r"))),
  "FhirClient.request": reading((fhir) => fhir.request({ interaction: "read", url: "Patient/1" })),
  "FhirClient.search": reading((fhir) => Stream.runDrain(fhir.search("Patient"))),
  "FhirClient.download": reading((fhir) => Stream.runDrain(fhir.download({ interaction: "read", url: "Binary/1" }))),
  "BulkExport.run": reading((fhir) => Stream.runDrain(BulkExport.run(fhir))),
  "Registration.register": Effect.flatMap(Registration.Registration, (registration) =>
    registration.register(
      new ClientMetadata.ClientMetadata({ redirectUris: ["https://app.test/callback"] }),
      { endpoint: `${origin}/register` }
    ))
}

type Run = <A>(
  use: (run: Effect.Effect<unknown, unknown>) => Effect.Effect<A>,
  net: ReturnType<typeof fake>,
  settings: Layer.Layer<never>
) => Effect.Effect<A, unknown>

/** Each call over a transport, made by a service whose layer was given settings. */
const table: ReadonlyArray<readonly [string, Run]> = [
  ...Object.entries(entries).map(([name, { user }]): readonly [string, Run] => [
    name,
    (use, net, settings) =>
      Effect.flatMap(User, ({ run }) => use(run)).pipe(
        Effect.provide(user(User).pipe(Layer.provide(settings), Layer.provide(guarded(net))))
      )
  ]),
  ...Object.entries(calls).map(([name, call]): readonly [string, Run] => [
    name,
    (use, net, settings) =>
      Layer.build(client.pipe(Layer.provide(settings), Layer.provide(net.layer))).pipe(
        Effect.flatMap((context) => use(Effect.provide(call, context))),
        Effect.scoped
      )
  ])
]

/** Whether a call to a server that never answers has ended two seconds after its request. */
const endsInTime = (call: Effect.Effect<unknown, unknown>, net: ReturnType<typeof fake>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.exit(call))
    // A call may sign before it sends.
    yield* eventually(Effect.sync(() => net.requests.length), (length) => length > 0)
    yield* TestClock.adjust("2 seconds")
    const ended = Option.isSome(yield* Fiber.poll(fiber))
    yield* TestClock.adjust("2 hours")
    yield* Fiber.join(fiber)
    return ended
  })

const patiently = (call: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.exit(call))
    yield* joinWithSteps(fiber, "1 minute")
  })

describe.each(table)("%s", (_, run) => {
  it.effect("HttpLimits given to a call hold for it, those of the layer for all others", () =>
    Effect.gen(function*() {
      const once = (ofCall: Layer.Layer<never>, ofLayer: Layer.Layer<never>) => {
        const net = fake(() => hang)
        return run(
          (call) => endsInTime(Effect.provide(RetryPolicy.withPolicy(RetryPolicy.none)(call), ofCall), net),
          net,
          ofLayer
        )
      }
      assert.isTrue(yield* once(all("1 second"), all("1 hour")), "given to the call")
      assert.isTrue(yield* once(Layer.empty, all("1 second")), "given to the layer")
    }))

  it.effect("a RetryPolicy given to a call holds for it, that of the layer for all others", () =>
    Effect.gen(function*() {
      const busy = () => fake(() => text("", { status: 503 }))
      const [given, own] = [busy(), busy()]
      yield* run(
        (call) => patiently(RetryPolicy.withPolicy(Schedule.recurs(3))(call)),
        given,
        RetryPolicy.layer(RetryPolicy.none)
      )
      assert.strictEqual(given.requests.length, 4, "given to the call")
      yield* run(patiently, own, RetryPolicy.layer(Schedule.recurs(1)))
      assert.strictEqual(own.requests.length, 2, "given to the layer")
    }))
})
