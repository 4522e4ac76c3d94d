/**
 * Why a server's UDAP metadata could not be had (UDAP Security STU2, section 2.1). That it is not trusted is a
 * `TrustError`.
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
  NotSupported: "the server does not support UDAP; register with it by hand, or compare the URL with its documentation",
  CommunityUnknown: "the server is not a member of the community; use another community that both trust",
  Status: "the server answers but not with its metadata; look at its log or ask its operator",
  NotJson: "this looks like a web page or a proxy, not like UDAP metadata",
  NotObject: "UDAP metadata is a JSON object; compare the URL, then ask the operator"
}

/**
 * Why UDAP metadata cannot be used, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * Why UDAP metadata cannot be used.
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
    /** What came back, in a few words that hold no part of a body. */
    detail: Schema.String,
    /** The trust community that was asked for. */
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

  /** Whether the same call may succeed later without anyone changing anything. */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this)
  }
}
