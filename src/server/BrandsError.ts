/**
 * Why a bundle of user-access brands could not be had.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isTransientStatus, oauthErrorFields, retryAfterText } from "../http/OAuthErrorFields.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const BrandsReason = Schema.Literal(
  "NotPublished",
  "InvalidUrl",
  "InsecureEndpoint",
  "Unreachable",
  "TimedOut",
  "Status",
  "NotFound",
  "NotJson",
  "NotBundle",
  "TooLarge",
  "RedirectRefused"
)

/**
 * @since 0.1.0
 * @category models
 */
export type BrandsReason = typeof BrandsReason.Type

const ADVICE: Record<BrandsReason, string> = {
  NotPublished: "its operator publishes no brands, or elsewhere",
  InvalidUrl: "give the absolute https URL of the bundle, without credentials",
  InsecureEndpoint: "only https is used; http needs a loopback host and allowInsecureLocalhost",
  Unreachable: "check the address, DNS, the certificate and whether the server is up",
  TimedOut: "the server is slow or hangs; HttpLimits.fhirTimeout says how long one attempt may take",
  Status: "the server answers but not with the bundle; ask its publisher",
  NotFound: "there is no bundle here; ask its publisher",
  NotJson: "this looks like a web page or a proxy, not like a brand bundle",
  NotBundle: "ask its publisher for the URL of the bundle itself",
  TooLarge: "HttpLimits.maxFhirResponseBytes says how much is read",
  RedirectRefused: "use the URL it redirects to, if that is the bundle you mean"
}

/**
 * @since 0.1.0
 * @category errors
 */
export class BrandsError extends Schema.TaggedError<BrandsError>("effect-safire/BrandsError")("BrandsError", {
  reason: BrandsReason,
  /** The URL of the bundle, or the FHIR base of a server that names none; without query and credentials. */
  url: Schema.String,
  /** What was seen, in a few words that hold no part of a body. */
  detail: Schema.String,
  ...oauthErrorFields
}) {
  override get message(): string {
    return `Brand bundle ${this.url} cannot be had (${this.reason}): ${this.detail}${
      retryAfterText(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the same call may succeed later without anyone changing anything. */
  get isRetryable(): boolean {
    return this.reason === "Unreachable" || this.reason === "TimedOut" ||
      (this.reason === "Status" && isTransientStatus(this.status))
  }
}
