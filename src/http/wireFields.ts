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

const utf8 = new TextEncoder()

/** A secret as it is, and as it looks in a query or a form that is quoted back. */
const spellingsOf = (secret: string): RegExp =>
  new RegExp(
    Array.from(secret, (char) => {
      if (/[A-Za-z0-9]/.test(char)) return char
      const encoded = Array.from(utf8.encode(char), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
      const escaped = /[\u0000-\u007f]/.test(char) ? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}` : char
      const anyCase = encoded.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
      return `(?:${escaped}|${anyCase}${char === " " ? "|\\+" : ""})`
    }).join(""),
    "g"
  )

/**
 * A server's words in one printable line, without any of `secrets`: servers do echo a code or a token in what they complain about.
 *
 * @internal
 */
export const safeText = (text: string, secrets: ReadonlyArray<string>, maxLength = 300): string => {
  const scrubbed = [...secrets].sort((a, b) => b.length - a.length).reduce(
    (line, secret) => secret.length < 4 ? line : line.replace(spellingsOf(secret), "<redacted>"),
    text
  )
  const line = scrubbed.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim()
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}

/** @internal */
export const retryAfterText = (retryAfter: Duration.Duration | undefined): string =>
  retryAfter === undefined ? "" : `, asking to be left alone for ${Duration.format(retryAfter)}`
