/**
 * The error of an authorization request whose callback has no code, or is not valid.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OnDemand from "../base/OnDemand.js"
import { reasonsOf } from "../base/SchemaFields.js"
import * as OAuthError from "../http/OAuthError.js"

const ADVICE = {
  AccessDenied: "the person or a policy of the server refused; offer to try again",
  InvalidIdentityProvider:
    "offer the user another identity provider, or start the launch without one (UDAP Security STU2, section 6)",
  Refused:
    "the server refused the request; compare client id, redirect URI, scopes and aud with what is registered there",
  StateMissing: "its other parameters cannot be trusted: do not show them to the person; start again",
  StateMismatch: "it belongs to another launch, or is forged; start again",
  IssuerMissing: "the server promised an iss parameter (RFC 9207); the callback may come from another server",
  IssuerMismatch: "the callback comes from another server than the request went to (RFC 9207); start again",
  IssuerNotComparable:
    "configure the server's issuer (issuer, SMART_ISSUER), or give each server its own redirect URI (RFC 9700, section 4.4)",
  WrongRedirectUri:
    "send each server's callbacks to its own redirect URI, and give exchange the URL as the browser has it, or its path and query",
  DuplicateParameter: "the meaning of a repeated parameter is ambiguous; start again",
  CodeMissing: "OAuth requires one of them; report it to the operator of the server",
  NotACallback: "give exchange the whole callback URL, or its parameters",
  Expired: "the person took longer than this client waits; start again",
  WrongServer: "give it to the client of the server it was started with",
  ModuleUnavailable: OnDemand.ADVICE
}

/**
 * The reasons of an `AuthorizationError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of an `AuthorizationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * `error`, `errorDescription` and `errorUri` are parameters of the callback. They come from the server only if
 * `reason` is `AccessDenied`, `InvalidIdentityProvider` or `Refused`.
 *
 * @since 0.1.0
 * @category errors
 */
export class AuthorizationError extends Schema.TaggedError<AuthorizationError>("effect-safire/AuthorizationError")(
  "AuthorizationError",
  {
    reason: Reason,
    /** The name of the server that the launch was started with. */
    server: Schema.String,
    /** The problem in a few words; never a code or a state. */
    detail: Schema.String,
    /** OAuth error code, RFC 6749 section 4.1.2.1. */
    error: Schema.optional(Schema.String),
    errorDescription: Schema.optional(Schema.String),
    errorUri: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    const verified = this.reason === "AccessDenied" || this.reason === "InvalidIdentityProvider" ||
      this.reason === "Refused"
    const text = OAuthError.print(this)
    const response = text === "" ? "" : verified ? `: ${text}` : ` (unverified: ${text})`
    return `Authorization at ${this.server} failed (${this.reason}): ${this.detail}${response}; ${ADVICE[this.reason]}`
  }

  /** Only `ModuleUnavailable`: the code is unused, and the same callback can be exchanged later. */
  get isRetryable(): boolean {
    return this.reason === "ModuleUnavailable"
  }
}
