/**
 * Why an authorization request did not lead to a code: the callback said no, or lied.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OAuthError from "../http/OAuthError.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "AccessDenied",
  "Refused",
  "StateMissing",
  "StateMismatch",
  "IssuerMissing",
  "IssuerMismatch",
  "IssuerNotComparable",
  "WrongRedirectUri",
  "DuplicateParameter",
  "CodeMissing",
  "NotACallback",
  "Expired",
  "WrongServer"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const ADVICE: Record<Reason, string> = {
  AccessDenied: "the person, or a policy of the server, said no; offer to try again",
  Refused:
    "the server refused the request; compare client id, redirect URI, scopes and aud with what is registered there",
  StateMissing: "nothing in it can be believed; do not show it to the person as the server's words, start again",
  StateMismatch: "it belongs to another launch, or somebody forged it; start again",
  IssuerMissing: "the server promised an iss parameter (RFC 9207); the answer may come from another server",
  IssuerMismatch: "the answer comes from another server than the one that was asked (RFC 9207); start again",
  IssuerNotComparable:
    "configure the server's issuer (issuer, SMART_ISSUER), or give each server a redirect URI of its own (RFC 9700, section 4.4)",
  WrongRedirectUri:
    "send each server's callbacks to its own redirect URI, and give exchange the URL as the browser has it, or its path and query",
  DuplicateParameter: "a parameter that stands twice can be read two ways; the callback is not used",
  CodeMissing: "OAuth wants one or the other; report it to the server's operator",
  NotACallback: "give exchange the whole callback URL, or its parameters",
  Expired: "the person took longer than this client waits; start again",
  WrongServer: "give it to the client of the server it was started with"
}

/**
 * `error`, `errorDescription` and `errorUri` are the server's words. Where `reason` is `StateMissing` or `StateMismatch` they are anybody's.
 *
 * @since 0.1.0
 * @category errors
 */
export class AuthorizationError extends Schema.TaggedError<AuthorizationError>("effect-safire/AuthorizationError")(
  "AuthorizationError",
  {
    reason: Reason,
    /** The name of the server the launch was started with. */
    server: Schema.String,
    /** What was seen, in a few words; never a code or a state. */
    detail: Schema.String,
    /** OAuth error code, RFC 6749 section 4.1.2.1. */
    error: Schema.optional(Schema.String),
    errorDescription: Schema.optional(Schema.String),
    errorUri: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    const verified = this.reason === "AccessDenied" || this.reason === "Refused"
    const words = OAuthError.print(this)
    const said = words === "" ? "" : verified ? `: ${words}` : ` (unverified: ${words})`
    return `Authorization at ${this.server} failed (${this.reason}): ${this.detail}${said}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return false
  }
}
