/**
 * The error of documents that a server publishes beside its SMART configuration (OpenID Connect metadata, key set,
 * style, CapabilityStatement): one could not be fetched or used.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OnDemand from "../base/OnDemand.js"
import { reasonsOf } from "../base/SchemaFields.js"
import { oauthErrorFields } from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

/**
 * The kinds of documents, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Subject = Schema.Literal("OpenIdConfiguration", "Jwks", "SmartStyle", "CapabilityStatement")

/**
 * The kind of the document.
 *
 * @since 0.1.0
 * @category models
 */
export type Subject = typeof Subject.Type

const ADVICE = {
  ...TransportFailure.advice("discoveryTimeout", "maxResponseBytes"),
  InvalidUrl: "correct it in the server's metadata or in this program",
  Status: "the server responds, but not with the document; look at its log or ask its operator",
  NotFound: "the server does not publish it there; ask its operator",
  NotJson: "this looks like a web page or a proxy; ask the server's operator",
  NotObject: "the document must be a JSON object; ask the server's operator",
  RedirectRefused: "the server's metadata should name the URL it redirects to",
  IssuerMismatch: "issuers are compared as strings; the server's two documents must agree",
  NotAKeySet: "ask the server's operator what is there instead of a key set",
  NotACapabilityStatement: "check the FHIR base URL, or ask the server's operator",
  TooManyKeys: "no server signs with so many keys; Jwks.layer({ maxKeys }) says how many are accepted",
  NoSuchKey: "another server signed it, or this one has a new key that it does not publish yet: try again soon",
  AmbiguousKey: "the server must give each key a kid of its own, and name it in what it signs",
  UnusableKey: "it is malformed, too short or private; tell the server's operator",
  EndpointMissing: "the server does not offer this; ask its operator, or do without",
  ForeignEndpoint: "a token goes to the server that issued it and nowhere else",
  ModuleUnavailable: OnDemand.ADVICE
}

/**
 * The reasons of a `MetadataError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `MetadataError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const NAMES: Record<Subject, string> = {
  OpenIdConfiguration: "OpenID Connect metadata",
  Jwks: "Key set",
  SmartStyle: "Style",
  CapabilityStatement: "CapabilityStatement"
}

/**
 * A document other than the SMART configuration could not be fetched or used: an OpenID configuration, a key set, a
 * style.
 *
 * @since 0.1.0
 * @category errors
 */
export class MetadataError extends Schema.TaggedError<MetadataError>("effect-safire/MetadataError")("MetadataError", {
  subject: Subject,
  reason: Reason,
  /** The URL that was tried, or the endpoint that cannot be used; without query and credentials. */
  url: Schema.String,
  /** What happened; holds no part of a body. */
  detail: Schema.String,
  ...oauthErrorFields
}) {
  override get message(): string {
    return `${NAMES[this.subject]} at ${this.url} cannot be used (${this.reason}): ${this.detail}${
      RetryAfter.print(this.retryAfter)
    }; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return this.reason === "ModuleUnavailable" || TransportFailure.isTransient(this)
  }
}
