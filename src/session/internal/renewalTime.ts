/**
 * When a token is due to be renewed: before it expires, so that no request meets its end, but not so early that most of its life is thrown away. Pure.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type { TokenSet } from "../../token/TokenSet.js"

/**
 * How long before its expiry a token is renewed. `adaptive`, the default, is the smaller of 60 seconds and a tenth of the token's life.
 *
 * @since 0.1.0
 * @category models
 */
export type Margin = "adaptive" | Duration.DurationInput

/** A fraction of one that is always the same for one token: its holders in several processes agree on when it is due. */
const fractionOf = (token: Redacted.Redacted): number => {
  let hash = 2166136261
  for (const character of Redacted.value(token)) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619)
  return (hash >>> 0) / 2 ** 32
}

/**
 * When the token is due, in milliseconds; never, where its expiry is not known: it is used until it is refused. Tokens that were issued together are
 * spread over half a margin, only ever earlier, and no margin takes more than half of a life.
 *
 * @since 0.1.0
 * @category accessors
 */
export const dueAt = (tokens: TokenSet, margin: Margin = "adaptive"): number => {
  if (tokens.expiresAt === undefined) return Number.POSITIVE_INFINITY
  const expiresAt = DateTime.toEpochMillis(tokens.expiresAt)
  const life = Math.max(0, expiresAt - DateTime.toEpochMillis(tokens.receivedAt))
  const wanted = margin === "adaptive" ? Math.min(60_000, life / 10) : Duration.toMillis(margin)
  return expiresAt - Math.min(life / 2, wanted * (1 + fractionOf(tokens.accessToken) / 2))
}
