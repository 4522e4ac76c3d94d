/**
 * The same app, and the launch of a public client: redirect, callback, read of the patient.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as FhirClient from "../../src/fhir/FhirClient.js"
import type * as PendingAuthorization from "../../src/launch/PendingAuthorization.js"
import * as SmartClient from "../../src/smart/SmartClient.js"

export { show } from "./app.js"

const SmartLive = Layer.merge(
  SmartClient.layer({
    fhirBaseUrl: "https://ehr.example.org/fhir",
    clientId: "growth-chart",
    redirectUri: "https://app.example.org/callback",
    scopes: ["launch/patient", "patient/*.rs"]
  }),
  FhirClient.layer
).pipe(Layer.provide(ClientAuthentication.layerPublic), Layer.provide(FetchHttpClient.layer))

export const login = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize()).pipe(
  Effect.provide(SmartLive)
)

export const callback = (url: URL, pending: PendingAuthorization.PendingAuthorization) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const tokens = yield* client.exchange(url, pending)
    return yield* fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "")
  }).pipe(Effect.provide(SmartLive))
