import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Layer from "effect/Layer"
import { ClientAuthentication, FhirClient, SmartClient } from "effect-safire"

export const SmartLive = Layer.mergeAll(
  SmartClient.layer({
    fhirBaseUrl: "https://ehr.example.org/fhir",
    clientId: "growth-chart",
    redirectUri: "https://app.example.org/callback",
    scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
  }),
  FhirClient.layer
).pipe(
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provide(FetchHttpClient.layer)
)
