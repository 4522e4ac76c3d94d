import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { FhirClient, Sessions, SmartApp } from "effect-safire"

export const SmartLive = SmartApp.layer({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  redirectUri: "https://app.example.org/callback",
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
})

/** At your redirect URI: `url` is the whole URL, `cookie` the secret that started the launch in this browser. */
export const callback = (url: string, cookie: Redacted.Redacted) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const fhir = yield* FhirClient.FhirClient
    const session = yield* sessions.completeLaunch(url, { browserBinding: cookie })
    return yield* fhir.forSession(session).patient()
  })
