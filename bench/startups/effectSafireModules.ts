/**
 * An authorization URL, with imports from each module.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as SmartClient from "../../src/smart/SmartClient.js"

await Effect.runPromise(
  Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize()).pipe(
    Effect.provide(
      SmartClient.layer({
        fhirBaseUrl: "https://ehr.example.org/fhir",
        clientId: "growth-chart",
        redirectUri: "https://app.example.org/callback",
        scopes: ["launch/patient", "patient/*.rs"],
        metadata: {
          authorizationEndpoint: "https://ehr.example.org/authorize",
          tokenEndpoint: "https://ehr.example.org/token",
          codeChallengeMethodsSupported: ["S256"]
        }
      }).pipe(Layer.provide(ClientAuthentication.layerPublic), Layer.provide(FetchHttpClient.layer))
    )
  )
)
