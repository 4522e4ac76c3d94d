/**
 * Why a server's SMART configuration could not be had, or cannot be used.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isTransientStatus, oauthErrorFields, retryAfterText } from "../http/OAuthErrorFields.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "InvalidUrl",
  "Unreachable",
  "TimedOut",
  "Status",
  "NotFound",
  "NotJson",
  "NotObject",
  "TooLarge",
  "RedirectRefused",
  "EndpointMissing",
  "InsecureEndpoint"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const ADVICE: Record<Reason, string> = {
  InvalidUrl: "give the absolute https URL of the FHIR server, without query, fragment or credentials",
  Unreachable: "check the address, DNS, the certificate and whether the server is up",
  TimedOut: "the server is slow or hangs; HttpLimits.discoveryTimeout says how long one attempt may take",
  Status: "the server answers but not with its configuration; look at its log or ask its operator",
  NotFound: "there is no SMART configuration here; is this the FHIR base URL, with its whole path?",
  NotJson: "this looks like a web page or a proxy, not like a FHIR server's SMART configuration",
  NotObject: "a SMART configuration is a JSON object; compare the URL, then ask the operator",
  TooLarge: "HttpLimits.maxResponseBytes says how much is read",
  RedirectRefused: "configure the URL it redirects to, if that is the server you mean",
  EndpointMissing: "the server does not offer this; ask its operator, or do without",
  InsecureEndpoint: "only https is used; http needs a loopback host and allowInsecureLocalhost"
}

/**
 * @since 0.1.0
 * @category errors
 */
export class DiscoveryError
  extends Schema.TaggedError<DiscoveryError>("effect-safire/DiscoveryError")("DiscoveryError", {
    reason: Reason,
    fhirBaseUrl: Schema.String,
    /** The URL that was tried, or the endpoint that cannot be used; without query and credentials. */
    url: Schema.String,
    /** What was seen, in a few words that hold no part of a body. */
    detail: Schema.String,
    /** Where no whole answer came: the code of the system, of TLS or of the transport, such as `ECONNREFUSED`. */
    code: Schema.optional(Schema.String),
    /** The metadata member that is missing or insecure. */
    member: Schema.optional(Schema.String),
    ...oauthErrorFields
  })
{
  override get message(): string {
    return `SMART discovery of ${this.fhirBaseUrl} failed (${this.reason}) at ${this.url}: ${this.detail}${
      retryAfterText(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the same call may succeed later without anyone changing anything. */
  get isRetryable(): boolean {
    return this.reason === "Unreachable" || this.reason === "TimedOut" ||
      (this.reason === "Status" && isTransientStatus(this.status))
  }
}
