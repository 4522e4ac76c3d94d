/**
 * The launch of a public client as in `exchange`, imported through the index.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { PendingAuthorization } from "effect-safire"
import { ClientAuthentication, SmartClient } from "effect-safire"

export { show } from "./app.js"

const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  redirectUri: "https://app.example.org/callback",
  scopes: ["launch/patient", "patient/*.rs"]
}).pipe(Layer.provide(ClientAuthentication.layerPublic), Layer.provide(FetchHttpClient.layer))

export const login = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize()).pipe(
  Effect.provide(SmartLive)
)

export const callback = (url: URL, pending: PendingAuthorization.PendingAuthorization) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.exchange(url, pending)).pipe(Effect.provide(SmartLive))
