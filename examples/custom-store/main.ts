/**
 * Sessions in your own database: `npx tsx examples/custom-store/main.ts`.
 *
 * Two instances of an app share the table. A session of one instance is valid in the other, and one of them renews it.
 * Entries are encrypted, so that a reader of the table has no tokens.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ClientAuthentication, SecureRandom, Sessions, SessionStore, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Table from "./table.js"
import * as TableSessionStore from "./TableSessionStore.js"

const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}).pipe(Layer.provide(ClientAuthentication.layerPublic))

const main = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const table = Table.make()
  // Read it from your secret store. All instances need the same key.
  const secret = Redacted.make(yield* SecureRandom.base64Url(yield* SecureRandom.SecureRandom, 32))

  const StoreLive = SessionStore.layerEncrypted([{ id: "2026", secret }]).pipe(
    Layer.provide(TableSessionStore.layer(table))
  )
  const instance = Sessions.layerFromClient.pipe(
    Layer.provide(StoreLive),
    Layer.provide(SmartLive),
    Layer.build,
    Effect.map(Context.get(Sessions.Sessions))
  )
  const [one, other] = yield* Effect.all([instance, instance])

  const { url } = yield* one.startLaunch()
  const session = yield* one.completeLaunch(yield* ehr.approve(url))
  yield* Console.log(`started in one instance, known in the other: ${(yield* other.session(session)).server}`)

  // The server has revoked the token, and all callers notice it at the same time.
  const { accessToken } = yield* one.tokens(session)
  const renewed = yield* Effect.forEach(
    Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? one : other)),
    (sessions) => sessions.accessTokenAfter(session, accessToken),
    { concurrency: "unbounded" }
  )
  const renewals = (yield* ehr.requests).filter(({ form }) => form["grant_type"] === "refresh_token")
  yield* Console.log(
    `50 callers in both, ${renewals.length} renewal, ${new Set(renewed.map(Redacted.value)).size} new token`
  )

  const stored = yield* Effect.promise(() => table.keys())
  const texts = yield* Effect.forEach(stored, (name) => Effect.promise(() => table.get(name)))
  const isReadable = texts.some((item) => item?.text.includes(Redacted.value(renewed[0] ?? accessToken)))
  yield* Console.log(`${stored.length} items under hashes, a token readable in them: ${isReadable}`)

  yield* one.revoke(session)
  yield* Console.log(`ended: ${(yield* Effect.flip(other.accessToken(session))).message}`)
}).pipe(Effect.scoped)

main.pipe(Effect.provide(SandboxEhr.layerHttpClient()), NodeRuntime.runMain)
