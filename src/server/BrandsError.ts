/**
 * The error of user-access brands: a bundle could not be fetched or read.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"
import { oauthErrorFields } from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("fhirTimeout", "maxFhirResponseBytes"),
  NotPublished: "its operator does not publish brands, or publishes them elsewhere",
  InvalidUrl: "give the absolute https URL of the bundle, without credentials",
  Status: "the server responds, but not with the bundle; ask its publisher",
  NotFound: "the bundle is not at this URL; ask its publisher",
  NotJson: "this looks like a web page or a proxy, not like a brand bundle",
  NotBundle: "ask its publisher for the URL of the bundle itself"
}

/**
 * The reasons of a `BrandsError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const BrandsReason = reasonsOf(ADVICE)

/**
 * The reason of a `BrandsError`.
 *
 * @since 0.1.0
 * @category models
 */
export type BrandsReason = typeof BrandsReason.Type

/**
 * A brand bundle could not be fetched or read.
 *
 * @since 0.1.0
 * @category errors
 */
export class BrandsError extends Schema.TaggedError<BrandsError>("effect-safire/BrandsError")("BrandsError", {
  reason: BrandsReason,
  /** The URL of the bundle, or the FHIR base of a server that names none; without query and credentials. */
  url: Schema.String,
  /** What happened; holds no part of a body. */
  detail: Schema.String,
  ...oauthErrorFields
}) {
  override get message(): string {
    return `Brand bundle ${this.url} cannot be used (${this.reason}): ${this.detail}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this)
  }
}
