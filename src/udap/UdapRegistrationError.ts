/**
 * Why a server did not register an app, or did not cancel its registration (UDAP Security STU2, section 3.2; RFC 7591,
 * section 3.2.2).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"
import * as OAuthError from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("tokenTimeout", "maxResponseBytes"),
  NotSupported: "the server does not register apps (udap_dcr); register with its operator",
  InvalidSoftwareStatement:
    "compare this machine's clock, the certificate's URI and its key with what the community issued; the server's words name the rule",
  UnapprovedSoftwareStatement:
    "the server does not trust the certificate, or demands a certification; ask its operator which communities it accepts, and whether the chain lacks an intermediate",
  InvalidClientMetadata: "change the metadata as the server demands: its words name the member",
  InvalidRedirectUri: "register another redirect URI",
  Refused: "the server's words say why; ask its operator",
  Status: "look at the server's log or ask its operator",
  NotJson: "this looks like a web page or a proxy, not like a registration endpoint",
  NotObject: "ask the server's operator whether the app was registered",
  ClientIdMissing: "ask the server's operator which client was registered; registering again changes nothing else",
  Cancelled: "the server has cancelled the registration instead; ask its operator why, then register again",
  NotCancelled: "the registration may still be active; ask the server's operator to cancel it"
}

/**
 * The reasons of a `UdapRegistrationError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `UdapRegistrationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A registration with certificates failed.
 *
 * @since 0.1.0
 * @category errors
 */
export class UdapRegistrationError
  extends Schema.TaggedError<UdapRegistrationError>("effect-safire/UdapRegistrationError")("UdapRegistrationError", {
    reason: Reason,
    operation: Schema.Literal("register", "cancel"),
    /** The registration endpoint, without query and credentials. */
    url: Schema.String,
    /** What happened; holds no part of a body. */
    detail: Schema.String,
    community: Schema.String,
    /** The URI by which the app is known. */
    clientUri: Schema.String,
    /** `no`: the server did not act. `unknown`: it may have. Registering again is safe in both cases. */
    processed: Schema.Literal("no", "unknown"),
    ...OAuthError.oauthErrorFields
  })
{
  override get message(): string {
    const oauthError = this.error === undefined ? "" : `: ${OAuthError.print(this)}`
    return `UDAP registration (${this.operation}) of ${this.clientUri} in the community ${this.community} failed (${this.reason}) at ${this.url}: ${this.detail}${oauthError}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this)
  }
}
