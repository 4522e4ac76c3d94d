/**
 * The error of UDAP discovery: metadata could not be fetched or read (UDAP Security STU2, section 2.1). If they are not
 * trusted, the error is a `TrustError`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"
import { oauthErrorFields } from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("discoveryTimeout", "maxResponseBytes"),
  InvalidUrl: "give the absolute https URL of the FHIR server, without query, fragment or credentials",
  InvalidCommunity: "a trust community is named by a URI, which the community publishes",
  NotSupported: "the server does not support UDAP; register manually, or compare the URL with its documentation",
  CommunityUnknown: "the server is not a member of the community; use another community that both trust",
  Status: "the server responds, but not with its metadata; look at its log or ask its operator",
  NotJson: "this looks like a web page or a proxy, not like UDAP metadata",
  NotObject: "UDAP metadata is a JSON object; compare the URL, then ask the operator"
}

/**
 * The reasons of a `UdapDiscoveryError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `UdapDiscoveryError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The UDAP metadata of a server could not be fetched or used.
 *
 * @since 0.1.0
 * @category errors
 */
export class UdapDiscoveryError
  extends Schema.TaggedError<UdapDiscoveryError>("effect-safire/UdapDiscoveryError")("UdapDiscoveryError", {
    reason: Reason,
    fhirBaseUrl: Schema.String,
    /** The URL that was tried, without query and credentials. */
    url: Schema.String,
    /** What happened; holds no part of a body. */
    detail: Schema.String,
    /** The requested trust community. */
    community: Schema.optional(Schema.String),
    ...oauthErrorFields
  })
{
  override get message(): string {
    const community = this.community === undefined ? "" : ` for the community ${this.community}`
    return `UDAP discovery of ${this.fhirBaseUrl}${community} failed (${this.reason}) at ${this.url}: ${this.detail}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this)
  }
}
