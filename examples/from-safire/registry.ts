import * as Effect from "effect/Effect"
import { ClientAuthentication, SmartServers } from "effect-safire"

/** One redirect URI for each server: `SmartRoutes` has a route for each. */
const app = (server: string) => ({
  redirectUri: `https://app.example.org/callback/${server}`,
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs"],
  authentication: ClientAuthentication.layerPublic
})

/** From the environment: `SmartServers.layerConfig()` (`SMART_SERVERS=north,south`, `NORTH_FHIR_BASE_URL` …). */
export const ServersLive = SmartServers.layer({
  north: { ...app("north"), fhirBaseUrl: "https://north.example.org/fhir", clientId: "growth-chart" },
  south: { ...app("south"), fhirBaseUrl: "https://south.example.org/r4", clientId: "4711" }
})

/** An unknown key is an `UnknownServerError` with the known keys. */
export const clientFor = (key: string) => Effect.flatMap(SmartServers.SmartServers, (servers) => servers.client(key))

/** By the `iss` of an EHR launch: one that is not configured is refused before any request is made. */
export const clientForIssuer = (iss: string) =>
  Effect.flatMap(SmartServers.SmartServers, (servers) => servers.forLaunchIss(iss))

export const invalidate = (key: string) =>
  Effect.flatMap(SmartServers.SmartServers, (servers) => servers.invalidate(key))
