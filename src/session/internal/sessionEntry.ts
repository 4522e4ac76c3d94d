/**
 * The entries of a session store: launches, sessions, values of other modules, and encrypted entries.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import { ClientAuthenticationError } from "../../client/ClientAuthenticationError.js"
import { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import { DiscoveryError } from "../../server/DiscoveryError.js"
import { TokenError } from "../../token/TokenError.js"
import { TokenSet } from "../../token/TokenSet.js"

/** The version of the entry's schema, and the time after which it counts as absent. */
const common = {
  version: Schema.Literal(1),
  expiresAt: Schema.DateTimeUtc
}

/**
 * A launch that waits for its callback.
 *
 * @since 0.1.0
 * @category models
 */
export class PendingLaunch extends Schema.TaggedClass<PendingLaunch>("effect-safire/PendingLaunch")("PendingLaunch", {
  ...common,
  pending: PendingAuthorization,
  /** What the callback's browser must present, if the launch is bound to a browser. */
  browserBinding: Schema.optional(Schema.Redacted(Schema.String)),
  appState: Schema.optional(Schema.Unknown)
}) {}

/**
 * A completed launch: a second delivery of its callback finds the session here.
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

/** Why the last renewal failed. No process tries again until `retryAt`. */
const RenewalFailure = Schema.Struct({
  error: Schema.Union(TokenError, DiscoveryError, ConfigurationError, ClientAuthenticationError),
  retryAt: Schema.DateTimeUtc
})

/** Why a renewal failed, if the session continues. */
export type RefreshFailure = (typeof RenewalFailure.Type)["error"]

/**
 * A session as it is stored.
 *
 * @since 0.1.0
 * @category models
 */
export class StoredSession extends Schema.TaggedClass<StoredSession>("effect-safire/StoredSession")("StoredSession", {
  ...common,
  /** The name of the tokens' server. */
  server: Schema.String,
  tokens: TokenSet,
  createdAt: Schema.DateTimeUtc,
  appState: Schema.optional(Schema.Unknown),
  /** Counts as absent if it cannot be decoded (a later version wrote it): the tokens are still valid. */
  renewalFailure: Schema.optional(
    Schema.UndefinedOr(RenewalFailure).annotations({ decodingFallback: () => Either.right(undefined) })
  ),
  /** Set when the server refused the refresh token: a new launch is needed when the access token expires. */
  relaunchReason: Schema.optional(Schema.String)
}) {}

/**
 * A value of another module that several processes share, such as a registration.
 *
 * @since 0.1.0
 * @category models
 */
export class StoredValue extends Schema.TaggedClass<StoredValue>("effect-safire/StoredValue")("StoredValue", {
  ...common,
  value: Schema.Unknown
}) {}

/**
 * An encrypted entry: a JWE (RFC 7516) whose plaintext is the encoded entry.
 *
 * @since 0.1.0
 * @category models
 */
export class Sealed extends Schema.TaggedClass<Sealed>("effect-safire/Sealed")("Sealed", {
  ...common,
  /** The id of the encryption key. */
  keyId: Schema.String,
  jwe: Schema.String
}) {}

export const Entry = Schema.Union(PendingLaunch, CompletedLaunch, StoredSession, StoredValue, Sealed)

/**
 * An entry of a store: a pending or completed launch, or a session.
 *
 * @since 0.1.0
 * @category models
 */
export type Entry = typeof Entry.Type
