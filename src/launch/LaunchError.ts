/**
 * The error of an EHR launch that is not followed. No request was made.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const ADVICE = {
  NotALaunch: "give it the whole launch URL, or its parameters",
  IssMissing: "an EHR calls the launch URL with iss and launch; without them it is not an EHR launch",
  LaunchMissing: "an EHR calls the launch URL with iss and launch; a standalone launch needs neither",
  DuplicateParameter: "the meaning of a repeated parameter is ambiguous; start again from the EHR",
  IssInvalid:
    "iss must be an absolute URL without credentials, query or fragment; if https: is followed by one slash, a router removed the other",
  IssInsecure: "only https is used; http needs a loopback host and allowInsecureLocalhost",
  IssUntrusted: "add the server to the configuration if it is to be trusted; compare host, path and port",
  IssAmbiguous: "give the key of one of them to decode or startLaunch"
}

/**
 * The reasons of a `LaunchError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `LaunchError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A launch URL is refused. No request was made.
 *
 * @since 0.1.0
 * @category errors
 */
export class LaunchError extends Schema.TaggedError<LaunchError>("effect-safire/LaunchError")("LaunchError", {
  reason: Reason,
  /** The problem in a few words; never the `launch` value. */
  detail: Schema.String,
  /** The FHIR server the launch claims to come from; without query and credentials. */
  iss: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const from = this.iss === undefined ? "" : ` from ${this.iss}`
    return `Launch${from} is not followed (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return false
  }
}
