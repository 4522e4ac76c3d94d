/**
 * The content of a token response: tokens, expiry, scopes and launch context. A value; `Sessions` stores and renews
 * it.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { construct, JsonMembers } from "../base/SchemaFields.js"
import { Identity } from "./Identity.js"
import { carriedOver, contextFor as contextElsewhere, detailFor, LaunchContext } from "./LaunchContext.js"

/**
 * Printed, logged or passed to `JSON.stringify`, it shows no token. Encoded with its schema, it holds them in clear:
 * encode it only into a store that may hold credentials.
 *
 * @since 0.1.0
 * @category models
 */
export class TokenSet extends Schema.Class<TokenSet>("effect-safire/TokenSet")({
  version: Schema.Literal(1),
  /** The server that issued the tokens; they are sent to no other. */
  fhirBaseUrl: Schema.optional(Schema.String),
  accessToken: Schema.Redacted(Schema.String),
  /** The time of the response, by the clock of this machine. */
  receivedAt: Schema.DateTimeUtc,
  /** Absent if the server did not say: the token is used until a server refuses it. */
  expiresAt: Schema.optional(Schema.DateTimeUtc),
  /** The granted scopes, which may be fewer or more than the requested ones. */
  scopes: Schema.Array(Schema.String),
  /**
   * The scopes of the launch, if a refresh returned fewer: a later refresh may request all of them again (RFC 6749,
   * section 6).
   */
  originalScopes: Schema.optional(Schema.Array(Schema.String)),
  refreshToken: Schema.optional(Schema.Redacted(Schema.String)),
  /** As received. Its verified claims are in `identity`. */
  idToken: Schema.optional(Schema.Redacted(Schema.String)),
  /** The person who logged in. Present only if an id_token was verified. */
  identity: Schema.optional(Identity),
  context: LaunchContext,
  /** Members that neither OAuth nor SMART defines; redacted, because they may hold secrets. */
  extensions: Schema.Redacted(JsonMembers)
}) {}

/**
 * The scopes in a space-separated list (RFC 6749, section 3.3).
 *
 * @internal
 */
export const scopesIn = (list: string): ReadonlyArray<string> => list.split(/\s/).filter((scope) => scope !== "")

/**
 * Whether the access token has expired at `now`, or expires within `margin`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isExpired: {
  (now: DateTime.Utc, margin?: Duration.DurationInput): (self: TokenSet) => boolean
  (self: TokenSet, now: DateTime.Utc, margin?: Duration.DurationInput): boolean
} = dual(
  (args) => !DateTime.isDateTime(args[0]),
  (self: TokenSet, now: DateTime.Utc, margin: Duration.DurationInput = Duration.zero): boolean =>
    self.expiresAt !== undefined && DateTime.lessThanOrEqualTo(self.expiresAt, DateTime.addDuration(now, margin))
)

/**
 * `isExpired` at an instant in epoch milliseconds, for each request.
 *
 * @internal
 */
export const isExpiredAt = ({ expiresAt }: TokenSet, nowMillis: number): boolean =>
  expiresAt !== undefined && DateTime.toEpochMillis(expiresAt) <= nowMillis

/**
 * The scopes that a refresh may request at most: those that the launch granted (RFC 6749, section 6).
 *
 * @since 0.1.0
 * @category accessors
 */
export const grantOf = ({ originalScopes, scopes }: TokenSet): ReadonlyArray<string> => originalScopes ?? scopes

/**
 * The reason why a token set has no refresh token, for errors. The granted scopes show whether one was expected.
 *
 * @since 0.1.0
 * @category accessors
 */
export const whyNoRefreshToken = ({ scopes }: TokenSet): string => {
  const granted = scopes.filter((scope) => scope === "offline_access" || scope === "online_access")
  return granted.length === 0
    ? "the server gave no refresh token, and granted neither offline_access nor online_access"
    : `the server granted ${
      granted.join(" and ")
    } but gave no refresh token, which some servers give only with prompt=consent`
}

const isSubset = (some: ReadonlyArray<string>, all: ReadonlySet<string>): boolean =>
  some.every((scope) => all.has(scope))

/**
 * The tokens after a refresh: members that the response does not repeat stay (requirement 117).
 *
 * @since 0.1.0
 * @category combinators
 */
export const renewed: {
  (next: TokenSet): (previous: TokenSet) => TokenSet
  (previous: TokenSet, next: TokenSet): TokenSet
} = dual(2, (previous: TokenSet, next: TokenSet): TokenSet =>
  construct(TokenSet, {
    ...next,
    originalScopes: isSubset(grantOf(previous), new Set(next.scopes)) ? undefined : grantOf(previous),
    refreshToken: next.refreshToken ?? previous.refreshToken,
    idToken: next.idToken ?? previous.idToken,
    identity: next.identity ?? previous.identity,
    context: carriedOver(previous.context, next.context)
  }))

/**
 * The scopes and the context of a token at one FHIR server.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerContext {
  /** The scopes that are granted at this server. */
  readonly scopes: ReadonlyArray<string>
  /** The launch context at this server. */
  readonly context: LaunchContext
}

/**
 * Scopes and context at a FHIR server: the one that issued the tokens, or one of `authorization_details`, whose absent
 * members have the values of the token. `None` for any other server.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contextFor: {
  (fhirBaseUrl: string): (self: TokenSet) => Option.Option<ServerContext>
  (self: TokenSet, fhirBaseUrl: string): Option.Option<ServerContext>
} = dual(
  2,
  (self: TokenSet, fhirBaseUrl: string): Option.Option<ServerContext> =>
    Option.match(Option.all([contextElsewhere(self.context, fhirBaseUrl), detailFor(self.context, fhirBaseUrl)]), {
      onNone: () =>
        self.fhirBaseUrl !== undefined && FhirBaseUrl.areSame(self.fhirBaseUrl, fhirBaseUrl)
          ? Option.some({ scopes: self.scopes, context: self.context })
          : Option.none(),
      onSome: ([context, { scope }]) =>
        Option.some({ context, scopes: scope === undefined ? self.scopes : scopesIn(scope) })
    })
)
