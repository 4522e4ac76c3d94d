/**
 * What to do with the tokens of a session or of a backend service at a point in time. Pure functions: `decide` chooses,
 * and the functions after it compute the entry that follows a use, a renewal or a failure.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { construct, later } from "../base/SchemaFields.js"
import type * as SmartClient from "../smart/SmartClient.js"
import type { Operation } from "../token/TokenError.js"
import { TokenError } from "../token/TokenError.js"
import { isExpired, isExpiredAt, TokenSet, whyNoRefreshToken } from "../token/TokenSet.js"
import type { RefreshFailure } from "./internal/sessionEntry.js"
import { StoredSession } from "./internal/sessionEntry.js"

/**
 * Why a renewal failed.
 *
 * @since 0.1.0
 * @category errors
 */
export type RenewalError = Effect.Effect.Error<ReturnType<SmartClient.Service["refresh"]>>

/**
 * Options that `Sessions` and `BackendServices` share.
 *
 * @since 0.1.0
 * @category models
 */
export interface RenewalOptions {
  /**
   * How long before its expiry a token is due for renewal. Default `adaptive`: the smaller of 60 seconds and a tenth of
   * the token's lifetime.
   */
  readonly renewalMargin?: "adaptive" | Duration.DurationInput | undefined
  /**
   * The pause after a renewal that failed for a temporary reason, or `Retry-After` if that is longer. Default 2 seconds
   * in `Sessions`, 5 seconds in `BackendServices`; at most 5 minutes.
   */
  readonly failureCooldown?: Duration.DurationInput | undefined
  /** The pause after the server rejected this client's credentials. Default 1 minute; at most 5 minutes. */
  readonly credentialsCooldown?: Duration.DurationInput | undefined
}

/** The part of an entry that tokens for users and tokens for backend services have in common. */
export interface TokenState<E> {
  readonly tokens?: TokenSet | undefined
  readonly renewalFailure?: { readonly error: E; readonly retryAt: DateTime.Utc } | undefined
}

export type TokenDecision<E> =
  /** The token is valid. */
  | { readonly _tag: "UseToken" }
  /** The token is valid and due: use it, and renew it in the background. */
  | { readonly _tag: "UseTokenAndRenew" }
  /** The token is missing, expired or refused: renew it, and wait. */
  | { readonly _tag: "RenewAndWait" }
  /** As `RenewAndWait`, but the last renewal failed a short time ago. */
  | { readonly _tag: "CoolDown"; readonly error: E }

export type Decision =
  | TokenDecision<RefreshFailure>
  /** The token is valid, and half of the idle time has passed: use it, and store the use in the background. */
  | { readonly _tag: "UseTokenAndExtend" }
  /** The token cannot be used and cannot be renewed. */
  | { readonly _tag: "Relaunch"; readonly reason: string }

export interface DecisionOptions {
  /** An access token that a server refused. It counts as expired. */
  readonly refused?: Redacted.Redacted | undefined
  readonly renewalMargin?: RenewalOptions["renewalMargin"]
}

// Constants, because each FHIR request makes one decision.
const USE_TOKEN = { _tag: "UseToken" } as const
const USE_TOKEN_AND_RENEW = { _tag: "UseTokenAndRenew" } as const
const USE_TOKEN_AND_EXTEND = { _tag: "UseTokenAndExtend" } as const
const RENEW_AND_WAIT = { _tag: "RenewAndWait" } as const

const MAX_COOLDOWN_MILLIS = 300_000

export const isSameToken = (a: Redacted.Redacted | undefined, b: Redacted.Redacted | undefined): boolean =>
  (a === undefined ? undefined : Redacted.value(a)) === (b === undefined ? undefined : Redacted.value(b))

/** A number from 0 to 1 that depends on the token alone, so that several processes agree when it is due. */
const spreadOf = (token: Redacted.Redacted): number => {
  let hash = 2166136261
  for (const character of Redacted.value(token)) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619)
  return (hash >>> 0) / 2 ** 32
}

/**
 * When a token is due for renewal, in epoch milliseconds; infinity if its expiry is unknown. The margin grows by up
 * to a half, so that tokens issued together are not renewed together, and is at most half of the lifetime.
 */
export const dueAt = (tokens: TokenSet, margin?: RenewalOptions["renewalMargin"]): number =>
  dueFrom(tokens, margin, spreadOf(tokens.accessToken))

/** When a token with this spread, from 0 to 1, is due. */
const dueFrom = (
  tokens: TokenSet,
  margin: RenewalOptions["renewalMargin"] = "adaptive",
  spread: number
): number => {
  if (tokens.expiresAt === undefined) return Number.POSITIVE_INFINITY
  const expiresAt = DateTime.toEpochMillis(tokens.expiresAt)
  const lifetime = expiresAt - DateTime.toEpochMillis(tokens.receivedAt)
  const marginMillis = margin === "adaptive" ? Math.min(60_000, lifetime / 10) : Duration.toMillis(margin)
  return expiresAt - Math.min(lifetime / 2, marginMillis * (1 + spread / 2))
}

/** Whether a token is due. Most are not due by any spread: then the token, which may be long, is not read. */
const isDue = (tokens: TokenSet, nowMillis: number, margin: RenewalOptions["renewalMargin"]): boolean =>
  nowMillis >= dueFrom(tokens, margin, 1) && nowMillis >= dueAt(tokens, margin)

/** The rules of `decide` that need no refresh token, at an instant in epoch milliseconds. */
export const decideToken = <E>(
  { renewalFailure, tokens }: TokenState<E>,
  nowMillis: number,
  { refused, renewalMargin }: DecisionOptions = {}
): TokenDecision<E> => {
  const pause = renewalFailure === undefined ? 0 : DateTime.toEpochMillis(renewalFailure.retryAt) - nowMillis
  // A longer pause was stored before the clock jumped back.
  const failure = pause > 0 && pause <= MAX_COOLDOWN_MILLIS ? renewalFailure : undefined
  if (tokens !== undefined && !isSameToken(refused, tokens.accessToken) && !isExpiredAt(tokens, nowMillis)) {
    return failure === undefined && isDue(tokens, nowMillis, renewalMargin) ? USE_TOKEN_AND_RENEW : USE_TOKEN
  }
  return failure === undefined ? RENEW_AND_WAIT : { _tag: "CoolDown", error: failure.error }
}

/** What to do with a stored session at an instant in epoch milliseconds. */
export const decide = (
  session: StoredSession,
  nowMillis: number,
  options: DecisionOptions & { readonly idleTimeout: Duration.Duration }
): Decision => {
  const decision = decideToken(session, nowMillis, options)
  const { tokens } = session
  const canRenew = session.relaunchReason === undefined && tokens.refreshToken !== undefined
  switch (decision._tag) {
    case "UseTokenAndRenew":
    case "UseToken":
      if (decision._tag === "UseTokenAndRenew" && canRenew) return decision
      return isHalfIdle(session, nowMillis, options.idleTimeout) ? USE_TOKEN_AND_EXTEND : USE_TOKEN
    case "RenewAndWait":
    case "CoolDown":
      return canRenew ? decision : {
        _tag: "Relaunch",
        reason: session.relaunchReason ?? noRefreshToken(tokens)
      }
  }
}

/** Why only a new launch helps, if that is so. The access token of such a session may still be valid. */
export const relaunchReason = (session: StoredSession, now: DateTime.Utc): string | undefined =>
  session.relaunchReason ?? (session.tokens.refreshToken === undefined && isExpired(session.tokens, now)
    ? noRefreshToken(session.tokens)
    : undefined)

const noRefreshToken = (tokens: TokenSet): string =>
  `the access token has expired or was refused: ${whyNoRefreshToken(tokens)}`

/** Whether less than half of the idle time is left. A use is stored only then, not with each request. */
export const isHalfIdle = ({ expiresAt }: StoredSession, nowMillis: number, idleTimeout: Duration.Duration): boolean =>
  DateTime.toEpochMillis(expiresAt) - nowMillis <= Duration.toMillis(idleTimeout) / 2

/** The session after a use. */
export const extended = (session: StoredSession, now: DateTime.Utc, idleTimeout: Duration.Duration): StoredSession =>
  construct(StoredSession, { ...session, expiresAt: later(now, idleTimeout) })

/** The session with new tokens. */
export const renewed = (
  session: StoredSession,
  tokens: TokenSet,
  now: DateTime.Utc,
  idleTimeout: Duration.Duration
): StoredSession =>
  construct(StoredSession, {
    ...session,
    tokens,
    expiresAt: later(now, idleTimeout),
    renewalFailure: undefined,
    relaunchReason: undefined
  })

/** When the next renewal may start after one that failed. */
export const retryAt = (error: object, now: DateTime.Utc, cooldown: Duration.DurationInput): DateTime.Utc => {
  const retryAfter = "retryAfter" in error && Duration.isDuration(error.retryAfter) ? error.retryAfter : Duration.zero
  return DateTime.addDuration(now, Duration.min(Duration.max(cooldown, retryAfter), MAX_COOLDOWN_MILLIS))
}

/** Whether a failed refresh is the server's final response for this refresh token (RFC 6749, section 5.2). */
export const isFinal = (error: RefreshFailure): error is TokenError =>
  error._tag === "TokenError" && error.reason === "Refused" && !isCredentialsError(error)

const isCredentialsError = (error: { readonly error?: unknown }): boolean =>
  error.error === "invalid_client" || error.error === "unauthorized_client"

/** The session after a final failure: without the refresh token, which the server does not accept any more. */
export const refusedForGood = (session: StoredSession, error: TokenError): StoredSession =>
  construct(StoredSession, {
    ...session,
    tokens: construct(TokenSet, { ...session.tokens, refreshToken: undefined }),
    relaunchReason: `the server refused the refresh token (${error.error ?? `HTTP ${error.status ?? "4xx"}`})`
  })

/** The session after a temporary failure, which all processes see until `retryAt`. */
export const failed = (
  session: StoredSession,
  error: RefreshFailure,
  now: DateTime.Utc,
  { credentialsCooldown = "1 minute", failureCooldown = "2 seconds" }: RenewalOptions
): StoredSession => {
  const isCredentials = error._tag === "TokenError" && isCredentialsError(error)
  // If the response holds a new refresh token, the old one is spent, even when the access token cannot be used.
  const refreshToken = (error._tag === "TokenError" ? error.issued?.refreshToken : undefined) ??
    session.tokens.refreshToken
  return construct(StoredSession, {
    ...session,
    tokens: construct(TokenSet, { ...session.tokens, refreshToken }),
    renewalFailure: { error, retryAt: retryAt(error, now, isCredentials ? credentialsCooldown : failureCooldown) }
  })
}

/** Tokens after a wait. A short-lived token can expire while it is stored, or while the process is suspended. */
export const checkNotExpired = (
  tokens: TokenSet,
  nowMillis: number,
  { operation, server }: { readonly operation: Operation; readonly server: string }
): Either.Either<TokenSet, TokenError> => {
  const { expiresAt, receivedAt } = tokens
  if (expiresAt === undefined || !isExpiredAt(tokens, nowMillis)) return Either.right(tokens)
  const lifetime = Duration.millis(Math.abs(DateTime.distance(receivedAt, expiresAt)))
  return Either.left(
    new TokenError({
      reason: "Expired",
      operation,
      server,
      url: tokens.fhirBaseUrl ?? server,
      detail: `the new access token was valid for ${Duration.format(lifetime)} and expired before it could be used`,
      processed: "unknown"
    })
  )
}
