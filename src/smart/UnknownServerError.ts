/**
 * The error of a server that is not in the registry. No request was made.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const ADVICE = {
  UnknownKey: "use the key of a configured server",
  UnknownIssuer: "add the server to the configuration if you trust it; compare host, path and port",
  Ambiguous: "several servers fit; name one by its key"
}

/**
 * The reasons of an `UnknownServerError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of an `UnknownServerError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The registry cannot choose a server. No request was made.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownServerError extends Schema.TaggedError<UnknownServerError>("effect-safire/UnknownServerError")(
  "UnknownServerError",
  {
    reason: Reason,
    /** The requested key or FHIR base URL, without query and credentials. */
    requested: Schema.String,
    /** The keys of the registry, or those that match; the first twenty. */
    candidates: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    const keys = this.candidates.length === 0 ? "none" : this.candidates.join(", ")
    const what = this.requested === "" ? "No single server can" : `Server "${this.requested}" cannot`
    return `${what} be chosen (${this.reason}; ${this.reason === "Ambiguous" ? "fitting" : "configured"}: ${keys}); ${
      ADVICE[this.reason]
    }`
  }

  get isRetryable(): boolean {
    return false
  }
}
