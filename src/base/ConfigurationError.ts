/**
 * The configuration of this program is incomplete, contradictory or unsafe. No request was sent, and repeating the
 * call does not help.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The reasons of a `ConfigurationError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal("Missing", "Invalid", "Insecure", "Conflict", "BadKey")

/**
 * The reason of a `ConfigurationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A configuration, from code or from the environment, cannot be used. `fields` names all members in question. It is
 * raised before any request is made; `isRetryable` is false.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationError extends Schema.TaggedError<ConfigurationError>("effect-safire/ConfigurationError")(
  "ConfigurationError",
  {
    reason: Reason,
    /** Every setting concerned, by name; never its value. */
    fields: Schema.Array(Schema.String),
    /** What is wrong and what to do. */
    detail: Schema.String,
    /** The name of the server it is about, where there are several. */
    server: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    const server = this.server === undefined ? "" : ` of ${this.server}`
    return `Configuration${server} is not usable (${this.reason} ${this.fields.join(", ")}): ${this.detail}`
  }

  get isRetryable(): boolean {
    return false
  }
}

/** @internal */
export const configurationError = (
  reason: Reason,
  fields: ReadonlyArray<string>,
  detail: string,
  server?: string | undefined
): ConfigurationError => new ConfigurationError({ reason, fields, detail, server })

/**
 * The error of a client that neither has a client id nor learns one.
 *
 * @internal
 */
export const clientIdMissing = (server?: string): ConfigurationError =>
  configurationError(
    "Missing",
    ["clientId"],
    "configure the client id that the server has assigned; only a client that registers itself has none",
    server
  )
