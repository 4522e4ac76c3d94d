/**
 * The error response of OAuth (RFC 6749, section 5.2): the fields of every error class that can carry one, and how a
 * server's text is made safe to show.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import { type JsonObject, reader } from "../base/JsonReader.js"
import { safeText } from "./Redaction.js"
import * as RetryAfter from "./RetryAfter.js"

export interface OAuthError {
  readonly error?: string | undefined
  readonly errorDescription?: string | undefined
  readonly errorUri?: string | undefined
}

export const oauthErrorFields = {
  /** HTTP status of the response. */
  status: Schema.optional(Schema.Number),
  /** OAuth error code, RFC 6749 section 5.2. */
  error: Schema.optional(Schema.String),
  errorDescription: Schema.optional(Schema.String),
  errorUri: Schema.optional(Schema.String),
  /** The `Retry-After` header. */
  retryAfter: Schema.optional(RetryAfter.FromMillis)
}

/** The error in a JSON object: without a code, it is not an error response of OAuth. */
export const fromJson = (members: JsonObject): OAuthError => {
  const { string } = reader(members, () => undefined)
  return { error: string("error"), errorDescription: string("error_description"), errorUri: string("error_uri") }
}

/** The error without any of `secrets`, to be spread into an error class. */
export const redacted = (self: OAuthError, secrets: ReadonlyArray<string>): OAuthError => {
  const text = (value: string | undefined, maxLength?: number) =>
    value === undefined ? undefined : safeText(value, secrets, maxLength)
  return {
    error: text(self.error, 80),
    errorDescription: text(self.errorDescription),
    errorUri: text(self.errorUri)
  }
}

/** For a message: code, description and URI, as far as they are given. */
export const print = ({ error, errorDescription, errorUri }: OAuthError): string =>
  [error, errorDescription, errorUri].filter((text) => text !== undefined).join(" — ")
