/**
 * What a session store holds: launches that wait for their callback, sessions, and either of them sealed.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import { DiscoveryError } from "../../server/DiscoveryError.js"
import { TokenError } from "../../token/TokenError.js"
import { TokenSet } from "../../token/TokenSet.js"

/** What every entry says, so that a store need not understand it: its shape's version, and until when it is worth keeping. */
const common = {
  version: Schema.Literal(1),
  expiresAt: Schema.DateTimeUtc
}

/**
 * A launch that was started and whose callback has not been seen.
 *
 * @since 0.1.0
 * @category models
 */
export class PendingLaunch extends Schema.TaggedClass<PendingLaunch>("effect-safire/PendingLaunch")("PendingLaunch", {
  ...common,
  pending: PendingAuthorization,
  /** What the callback's browser must present, where the launch was bound to one. */
  browserBinding: Schema.optional(Schema.Redacted(Schema.String)),
  appState: Schema.optional(Schema.Unknown)
}) {}

/**
 * A launch whose callback was used: a second delivery of the same callback finds its session here.
 *
 * @since 0.1.0
 * @category models
 */
export class CompletedLaunch extends Schema.TaggedClass<CompletedLaunch>("effect-safire/CompletedLaunch")(
  "CompletedLaunch",
  {
    ...common,
    sessionId: Schema.Redacted(Schema.String),
    browserBinding: Schema.optional(Schema.Redacted(Schema.String))
  }
) {}

/**
 * Why a renewal failed, for everyone who shares the session: until `retryAt` nobody tries again.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RenewalFailure = Schema.Struct({
  error: Schema.Union(TokenError, DiscoveryError, ConfigurationError),
  retryAt: Schema.DateTimeUtc
})

/**
 * @since 0.1.0
 * @category models
 */
export class StoredSession extends Schema.TaggedClass<StoredSession>("effect-safire/StoredSession")("StoredSession", {
  ...common,
  /** The name of the server the tokens belong to. */
  server: Schema.String,
  tokens: TokenSet,
  createdAt: Schema.DateTimeUtc,
  appState: Schema.optional(Schema.Unknown),
  /** Counts as absent where it cannot be read, such as an error that a later version wrote: it must not cost a valid token. */
  renewalFailure: Schema.optional(
    Schema.UndefinedOr(RenewalFailure).annotations({ decodingFallback: () => Either.right(undefined) })
  ),
  /** Set when the server refused the refresh token for good: only a new launch helps once the access token has expired. */
  relaunchReason: Schema.optional(Schema.String)
}) {}

/**
 * An entry only a holder of the key can read: a JWE (RFC 7516) whose plaintext is the encoded entry.
 *
 * @since 0.1.0
 * @category models
 */
export class Sealed extends Schema.TaggedClass<Sealed>("effect-safire/Sealed")("Sealed", {
  ...common,
  /** The id of the key it was sealed with. */
  keyId: Schema.String,
  jwe: Schema.String
}) {}

/**
 * @since 0.1.0
 * @category schemas
 */
export const Entry = Schema.Union(PendingLaunch, CompletedLaunch, StoredSession, Sealed)

/**
 * @since 0.1.0
 * @category models
 */
export type Entry = typeof Entry.Type
