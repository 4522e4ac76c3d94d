/**
 * The failure of a request to register a client, or to read, update or remove its registration.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { inMemory, reasonsOf } from "../base/SchemaFields.js"
import * as OAuthError from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("tokenTimeout", "maxResponseBytes"),
  Unauthorized: "the initial access token or the registration access token is missing, wrong or used up",
  Refused: "change the metadata as the server demands",
  Status: "look at the server's log or ask its operator",
  NotJson:
    "this looks like a web page or a proxy, not like a registration endpoint; ask the operator whether a client was registered",
  NotObject: "ask the operator whether a client was registered",
  ClientIdMissing: "ask the operator which client was registered",
  NotManageable: "change the registration through the server's operator"
}

/**
 * The reasons of a `RegistrationError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `RegistrationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const Secret = Schema.optional(Schema.RedactedFromSelf(Schema.String))

const Credentials = Schema.Struct({
  clientId: Schema.optional(Schema.String),
  clientSecret: Secret,
  registrationAccessToken: Secret,
  registrationClientUri: Secret
})

/**
 * A request of dynamic registration failed (RFC 7591, RFC 7592).
 *
 * @since 0.1.0
 * @category errors
 */
export class RegistrationError
  extends Schema.TaggedError<RegistrationError>("effect-safire/RegistrationError")("RegistrationError", {
    reason: Reason,
    operation: Schema.Literal("register", "read", "update", "remove"),
    /** Without query and credentials. */
    url: Schema.String,
    /** What happened; holds no part of a body. */
    detail: Schema.String,
    /** `no`: the server did not act. `unknown`: it may have, and a repeat could make a second client. */
    processed: Schema.Literal("no", "unknown"),
    /**
     * The credentials in a response that cannot be used. Store them, or remove the client with them: they are nowhere
     * else. Not part of the encoded error.
     */
    credentials: inMemory(Credentials),
    ...OAuthError.oauthErrorFields
  })
{
  override get message(): string {
    const oauthError = this.error === undefined ? "" : `: ${OAuthError.print(this)}`
    const credentials = this.credentials === undefined
      ? ""
      : "; the credentials it returned are in `credentials`: store them"
    const unknown = TransportFailure.isTransient(this) && this.processed === "unknown"
      ? ", and whether the server acted is not known"
      : ""
    return `Client registration (${this.operation}) failed (${this.reason}) at ${this.url}: ${this.detail}${oauthError}${credentials}${unknown}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /**
   * Whether the same call may succeed later. A change is repeated only where the server says, or it is certain, that
   * nothing was changed.
   */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this) && (this.operation === "read" || this.processed === "no")
  }
}
