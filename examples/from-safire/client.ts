import * as Effect from "effect/Effect"
import type { AuthorizationCallback, PendingAuthorization, TokenSet } from "effect-safire"
import { SmartClient } from "effect-safire"

/** Needs a `ClientAuthentication` (the kind of client) and an `HttpClient`. */
export const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  redirectUri: "https://app.example.org/callback",
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
})

/** `url` is for the browser. Store `pending` (state, verifier, nonce, issuer) where the browser cannot read it. */
export const launch = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())

/** The callback's whole URL: state, issuer, age and repeated parameters are validated before the code is used. */
export const callback = (
  url: AuthorizationCallback.Callback,
  pending: PendingAuthorization.PendingAuthorization
) => Effect.flatMap(SmartClient.SmartClient, (client) => client.exchange(url, pending))

export const renew = (tokens: TokenSet.TokenSet) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens))
