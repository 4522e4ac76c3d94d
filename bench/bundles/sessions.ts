/**
 * The same app with several servers and with sessions.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as FhirClient from "../../src/fhir/FhirClient.js"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SmartServers from "../../src/smart/SmartServers.js"

export { show } from "./app.js"

const SmartLive = Layer.merge(
  Layer.provide(Sessions.layer, SessionStore.layerMemory),
  FhirClient.layer
).pipe(
  Layer.provide(SmartServers.layer({
    north: {
      fhirBaseUrl: "https://north.example.org/fhir",
      clientId: "growth-chart",
      redirectUri: "https://app.example.org/callback",
      scopes: ["launch/patient", "patient/*.rs", "offline_access"],
      authentication: ClientAuthentication.makePublic
    }
  })),
  Layer.provide(FetchHttpClient.layer)
)

export const login = Effect.flatMap(Sessions.Sessions, (sessions) => sessions.startLaunch()).pipe(
  Effect.provide(SmartLive)
)

export const callback = (url: URL) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const fhir = yield* FhirClient.FhirClient
    const id = yield* sessions.completeLaunch(url)
    const { context } = yield* sessions.tokens(id)
    return yield* fhir.forSession(id).read("Patient", context.patient ?? "")
  }).pipe(Effect.provide(SmartLive))
