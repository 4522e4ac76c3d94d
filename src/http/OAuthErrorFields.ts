/**
 * What every error carries where a server spoke, and how its words are made safe to show.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { redact, REDACTED } from "./Redaction.js"
import * as RetryAfter from "./RetryAfter.js"

/** @internal */
export const oauthErrorFields = {
  /** HTTP status of the answer. */
  status: Schema.optional(Schema.Number),
  /** OAuth error code, RFC 6749 section 5.2. */
  error: Schema.optional(Schema.String),
  errorDescription: Schema.optional(Schema.String),
  errorUri: Schema.optional(Schema.String),
  /** How long the server asked to be left alone. */
  retryAfter: Schema.optional(RetryAfter.FromMillis)
}

/** @internal */
export const isTransientStatus = (status: number | undefined): boolean =>
  status === 408 || status === 429 || status === 502 || status === 503 || status === 504

/** A JSON Web Token is a credential, whether or not this client knows it. */
const JWT = /eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g

/**
 * A server's words in one printable line of limited length, without any of `secrets` in any encoding. Every text of a server that goes into an error, a
 * warning or a log line passes through here.
 *
 * @internal
 */
export const safeText = (text: string, secrets: ReadonlyArray<string>, maxLength = 300): string => {
  const line = redact(text, secrets).replace(JWT, REDACTED).replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim()
  // Half of a surrogate pair is no text.
  return line.length > maxLength ? `${line.slice(0, maxLength).replace(/[\ud800-\udbff]$/, "")}…` : line
}

/** @internal */
export const retryAfterText = (retryAfter: Duration.Duration | undefined): string =>
  retryAfter === undefined ? "" : `, asking to be left alone for ${Duration.format(retryAfter)}`
