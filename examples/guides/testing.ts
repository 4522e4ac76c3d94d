import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, FhirClient, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { callback, login } from "./app.js"

const client = SmartClient.layer({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs"]
})

/** The sandbox EHR replaces the `HttpClient`: `SandboxEhr.layerHttpClient()` instead of `FetchHttpClient.layer`. */
const TestLive = Layer.mergeAll(client, FhirClient.layer).pipe(
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provideMerge(SandboxEhr.layerHttpClient())
)

it.effect("reads the chosen patient", () =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const { pending, url } = yield* login
    const returned = yield* ehr.approve(url, { patient: "patient-beta" })
    assert.propertyVal(yield* callback(returned, pending), "id", "patient-beta")
  }).pipe(Effect.provide(TestLive)))

it.effect("shows what the server refuses", () =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const { pending, url } = yield* login
    yield* ehr.fault("token", SandboxEhr.Fault.status(400), 1)
    const error = yield* Effect.flip(callback(yield* ehr.approve(url), pending))
    assert.strictEqual(error._tag, "TokenError")
  }).pipe(Effect.provide(TestLive)))
