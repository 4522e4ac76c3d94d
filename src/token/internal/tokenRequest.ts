/**
 * What a request to an authorization server is made of: its endpoint and its client, and the grant: a code, or a
 * refresh token (RFC 6749, sections 4.1.3 and 6).
 *
 * @since 0.1.0
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type * as ClientAuthentication from "../../client/ClientAuthentication.js"

/**
 * The endpoint of a request and the client that sends it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  /** The absolute URL of the endpoint. */
  readonly endpoint: string
  /** As configured; a client id that `authentication` has learned takes precedence. */
  readonly clientId?: string | undefined
  /** How the client authenticates, and where its client id comes from. */
  readonly authentication: ClientAuthentication.Service
  /** The server's name in errors, warnings and spans. Default: the endpoint. */
  readonly server?: string | undefined
  /** Stored in the token set, so that its tokens go to no other server. */
  readonly fhirBaseUrl?: string | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /** The algorithms of assertions that the server accepts, from its metadata. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
}

/**
 * How an introspection is authorized: by the client's own authentication, or by a bearer token as SMART has it
 * (requirement 282).
 *
 * @since 0.1.0
 * @category models
 */
export type Authorization = "client" | Redacted.Redacted

/**
 * The kind of a token (RFC 7009, RFC 7662).
 *
 * @since 0.1.0
 * @category models
 */
export type TokenTypeHint = "access_token" | "refresh_token"

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

/** Builds a request for an authentication and a client id. */
export type BuildRequest = (
  authentication: ClientAuthentication.Service,
  clientId: string
) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>
