/** The steps of a program that used openid-client, one by one. `Sessions` makes them in one call each. */
import * as Effect from "effect/Effect"
import type { AuthorizationCallback, PendingAuthorization, TokenSet } from "effect-safire"
import { SmartClient } from "effect-safire"

// discovery(), randomPKCECodeVerifier(), randomState(), randomNonce(), buildAuthorizationUrl()
export const login = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())

// authorizationCodeGrant(config, currentUrl, { pkceCodeVerifier, expectedState, expectedNonce })
export const callback = (
  url: AuthorizationCallback.Callback,
  pending: PendingAuthorization.PendingAuthorization
) => Effect.flatMap(SmartClient.SmartClient, (client) => client.exchange(url, pending))

// refreshTokenGrant(config, refreshToken)
export const refresh = (tokens: TokenSet.TokenSet) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens))

// tokenRevocation(config, token)
export const logout = (tokens: TokenSet.TokenSet) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.revoke(tokens.refreshToken ?? tokens.accessToken))
