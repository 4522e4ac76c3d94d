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

/** The server of an EHR launch. An unknown `iss` is an `UnknownServerError`; no request is made. */
export const serverOf = (iss: string) =>
  Effect.flatMap(SmartServers.SmartServers, (servers) => servers.forLaunchIss(iss))
