import * as Effect from "effect/Effect"
import type * as SmartServers from "../../smart/SmartServers.js"
import type { TokenError } from "../../token/TokenError.js"

/**
 * Revokes tokens at their server (RFC 7009, section 2.1). The refresh token goes first, because it ends the whole
 * grant. A failure is logged only: a user can always log out.
 *
 * @internal
 */
export const revokeTokens = (
  servers: SmartServers.Service,
  server: string,
  { accessToken, refreshToken }: NonNullable<TokenError["issued"]>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const client = yield* servers.client(server)
    const { revocationEndpoint } = yield* client.configuration
    if (revocationEndpoint === undefined) return
    if (refreshToken !== undefined) yield* client.revoke(refreshToken, { tokenTypeHint: "refresh_token" })
    else if (accessToken !== undefined) yield* client.revoke(accessToken, { tokenTypeHint: "access_token" })
  }).pipe(Effect.catchAll((error) => Effect.logDebug("revocation failed", String(error))))
