/**
 * What every error carries where a server spoke, and how its words are made safe to show.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/** @internal */
export const wireFields = {
  /** HTTP status of the answer. */
  status: Schema.optional(Schema.Number),
  /** OAuth error code, RFC 6749 section 5.2. */
  error: Schema.optional(Schema.String),
  errorDescription: Schema.optional(Schema.String),
  errorUri: Schema.optional(Schema.String),
  /** How long the server asked to be left alone. */
  retryAfter: Schema.optional(Schema.DurationFromMillis)
}

/** @internal */
export const isTransientStatus = (status: number | undefined): boolean =>
  status === 408 || status === 429 || status === 502 || status === 503 || status === 504

/**
 * A server's words in one printable line, without any of `secrets`: servers do echo a code or a token in what they complain about.
 *
 * @internal
 */
export const safeText = (text: string, secrets: ReadonlyArray<string>, maxLength = 300): string => {
  const scrubbed = [...secrets].sort((a, b) => b.length - a.length).reduce(
    (line, secret) => secret.length < 4 ? line : line.replaceAll(secret, "<redacted>"),
    text
  )

  const line = scrubbed.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim()
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}

/** @internal */
export const retryAfterText = (retryAfter: Duration.Duration | undefined): string =>
  retryAfter === undefined ? "" : `, asking to be left alone for ${Duration.format(retryAfter)}`
