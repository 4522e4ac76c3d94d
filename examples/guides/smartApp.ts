import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { AuthorizationCallback } from "effect-safire"
import { FhirClient, Sessions, SessionStore, SmartApp } from "effect-safire"

/** The SMART client, its sessions and a FHIR client. */
export const SmartLive = SmartApp.layer({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  redirectUri: "https://app.example.org/callback",
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
}).pipe(
  Layer.provide(SessionStore.layerMemory),
  Layer.provide(FetchHttpClient.layer)
)

/** Send the browser to `url`. `cookie` is a random value in a cookie: only this browser can complete the launch. */
export const login = (cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.startLaunch({ browserBinding: cookie }))

/** At your redirect URI: pass the whole URL. The result is the id of a session. */
export const callback = (url: AuthorizationCallback.Callback, cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.completeLaunch(url, { browserBinding: cookie }))

/** In any later request. The access token is renewed when necessary. */
export const patient = (session: Sessions.SessionId) =>
  Effect.flatMap(FhirClient.FhirClient, (fhir) => fhir.forSession(session).patient())
