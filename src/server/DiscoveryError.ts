/**
 * The error of discovery: a SMART configuration could not be fetched or used.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OnDemand from "../base/OnDemand.js"
import { reasonsOf } from "../base/SchemaFields.js"
import { oauthErrorFields } from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("discoveryTimeout", "maxResponseBytes"),
  InvalidUrl: "give the absolute https URL of the FHIR server, without query, fragment or credentials",
  Status: "the server responds, but not with its configuration; look at its log or ask its operator",
  NotFound: "the server has no SMART configuration at this URL; is this the FHIR base URL, with its whole path?",
  NotJson: "this looks like a web page or a proxy, not like a FHIR server's SMART configuration",
  NotObject: "a SMART configuration is a JSON object; compare the URL, then ask the operator",
  EndpointMissing: "the server does not offer this; ask its operator, or do without",
  ModuleUnavailable: OnDemand.ADVICE
}

/**
 * The reasons of a `DiscoveryError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `DiscoveryError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The SMART configuration of a server could not be fetched, or lacks what a step needs. `code` is that of the system
 * or of TLS if the connection failed.
 *
 * @since 0.1.0
 * @category errors
 */
export class DiscoveryError
  extends Schema.TaggedError<DiscoveryError>("effect-safire/DiscoveryError")("DiscoveryError", {
    reason: Reason,
    fhirBaseUrl: Schema.String,
    /** The URL that was tried, or the endpoint that cannot be used; without query and credentials. */
    url: Schema.String,
    /** What happened; holds no part of a body. */
    detail: Schema.String,
    /** If no complete response arrived: the code of the system, of TLS or of the transport, such as `ECONNREFUSED`. */
    code: Schema.optional(Schema.String),
    /** The metadata member that is missing or insecure. */
    member: Schema.optional(Schema.String),
    ...oauthErrorFields
  })
{
  override get message(): string {
    return `SMART discovery of ${this.fhirBaseUrl} failed (${this.reason}) at ${this.url}: ${this.detail}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return this.reason === "ModuleUnavailable" || TransportFailure.isTransient(this)
  }
}
