/**
 * Tokens are renewed before they expire: `npx tsx examples/proactive-renewal/main.ts`.
 *
 * A request whose token is valid goes out at once. If the token is due, one renewal for all requests runs in the
 * background. The sandbox issues tokens for three seconds here; for tokens of an hour you need no option.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { ClientAuthentication, FhirClient, Sessions, SessionStore, SmartClient, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

/** The app reads with its session. It contains no code for the expiry of tokens. */
const readEveryTenth = (session: Sessions.SessionId) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forSession(session)
    yield* fhir.read("Patient", "patient-alpha").pipe(
      Effect.repeat(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(39)))
    )
  })

const main = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const sessions = yield* Sessions.Sessions

  const { url } = yield* sessions.startLaunch()
  const session = yield* sessions.completeLaunch(yield* ehr.approve(url))

  const started = yield* Clock.currentTimeMillis
  yield* sessions.onChange.pipe(
    Stream.runForEach(({ kind }) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => Console.log(`after ${((now - started) / 1000).toFixed(1)} s: ${kind}`)
      )
    ),
    Effect.fork
  )
  yield* Effect.all(Array.from({ length: 20 }, () => readEveryTenth(session)), { concurrency: "unbounded" })

  const requests = yield* ehr.requests
  const reads = requests.filter(({ step }) => step === "fhir")
  const renewals = requests.filter(({ form }) => form["grant_type"] === "refresh_token")
  yield* Console.log(
    `20 readers, ${reads.length} reads, ${renewals.length} renewals, ` +
      `${reads.filter(({ status }) => status === 401).length} reads met an expired token`
  )
})

const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}).pipe(Layer.provide(ClientAuthentication.layerPublic))

/** One second, or a little more. The default is the smaller of one minute and a tenth of the token's lifetime. */
const SessionsLive = Sessions.layerWith({ renewalMargin: "1 second" })

const AppLive = Layer.mergeAll(SessionsLive, FhirClient.layer).pipe(
  Layer.provide(SessionStore.layerMemory),
  Layer.provide(SmartServers.layerFromClient),
  Layer.provide(SmartLive),
  Layer.provideMerge(SandboxEhr.layerHttpClient({ accessTokenLifetime: "3 seconds" }))
)

main.pipe(Effect.provide(AppLive), NodeRuntime.runMain)
