/**
 * The grants of a client: a code, or a refresh token (RFC 6749, sections 4.1.3 and 6).
 *
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"

/**
 * After a failure that leaves open whether the server acted (a time-out, a reset, 502, 504) a code exchange or a
 * refresh is retried at most once, because the tokens of the lost response are lost either way; with `false` it is
 * not retried.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryUnknown {
  readonly retryUnknown?: boolean | undefined
}

/**
 * An exchange of an authorization code (RFC 6749, section 4.1.3; RFC 7636).
 *
 * @since 0.1.0
 * @category models
 */
export interface CodeExchange extends RetryUnknown {
  readonly code: Redacted.Redacted
  readonly verifier: Redacted.Redacted
  /** Exactly as in the authorization request. */
  readonly redirectUri: string
  /** The requested scopes. They count as granted if the response does not name scopes. */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * A use of a refresh token (RFC 6749, section 6).
 *
 * @since 0.1.0
 * @category models
 */
export interface Refresh extends RetryUnknown {
  readonly refreshToken: Redacted.Redacted
  /** Scopes to request, if fewer than were granted. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** The scopes of the launch. They count as granted if neither the request nor the response names scopes. */
  readonly grantedScopes?: ReadonlyArray<string> | undefined
}
