import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { ClientAuthentication, SmartServers } from "effect-safire"

const scopes = ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]

export const ServersLive = SmartServers.layer({
  north: {
    fhirBaseUrl: "https://north.example.org/fhir",
    clientId: "growth-chart",
    redirectUri: "https://app.example.org/callback/north",
    scopes,
    authentication: ClientAuthentication.layerPublic
  },
  south: {
    fhirBaseUrl: "https://south.example.org/r4",
    clientId: "4711",
    redirectUri: "https://app.example.org/callback/south",
    scopes,
    authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: Redacted.make("from a vault") })
  }
})

/** An EHR launch: an `iss` that is not configured is an `UnknownServerError`, before any request is made. */
export const serverOf = (iss: string) =>
  Effect.flatMap(SmartServers.SmartServers, (servers) => servers.forLaunchIss(iss))
