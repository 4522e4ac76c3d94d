import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Operation } from "../../token/TokenError.js"
import { TokenError } from "../../token/TokenError.js"
import type { TokenSet } from "../../token/TokenSet.js"
import { isExpired } from "../../token/TokenSet.js"

/**
 * Checks a new token once more after the caller has waited for it: a short life may be over before the store has taken the token, or before a program that
 * was suspended goes on.
 *
 * @internal
 */
export const failIfExpired = (
  tokens: TokenSet,
  { operation, server }: { readonly operation: Operation; readonly server: string }
): Effect.Effect<void, TokenError> =>
  Effect.flatMap(DateTime.now, (now) => {
    if (!isExpired(tokens, now)) return Effect.void
    const lifetime = DateTime.distance(tokens.receivedAt, tokens.expiresAt ?? now)
    return new TokenError({
      reason: "Expired",
      operation,
      server,
      url: tokens.fhirBaseUrl ?? server,
      detail:
        `the new access token was valid for ${Duration.format(Duration.millis(Math.abs(lifetime)))} and expired ` +
        "before it could be used",
      processed: "unknown"
    })
  })
