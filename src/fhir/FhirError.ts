/**
 * Why a FHIR request did not give what was asked for.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isTransientStatus, retryAfterText } from "../http/wireFields.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "Unauthorized",
  "Forbidden",
  "NotFound",
  "Refused",
  "Unavailable",
  "Unreachable",
  "TimedOut",
  "TooLarge",
  "NotFhir",
  "RedirectRefused",
  "InsecureEndpoint",
  "ForeignLink",
  "InvalidReference"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * One issue of an OperationOutcome. `diagnostics` and `text` are the server's words and may name a patient: the error's message leaves them out.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Issue = Schema.Struct({
  severity: Schema.optional(Schema.String),
  code: Schema.optional(Schema.String),
  text: Schema.optional(Schema.String),
  diagnostics: Schema.optional(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

const ADVICE: Record<Reason, string> = {
  Unauthorized: "the token has expired or was revoked; renew it",
  Forbidden:
    "the token is good but its scopes, or the server's policy, do not cover this; compare with the granted scopes",
  NotFound: "there is no such resource here, or this token may not know of it",
  Refused: "the issues say what the server did not like",
  Unavailable: "the server is busy or down; it was asked as often as the retry policy allows",
  Unreachable: "check the address, DNS, the certificate and whether the server is up",
  TimedOut: "the server is slow or hangs; HttpLimits.fhirTimeout says how long one attempt may take",
  TooLarge: "HttpLimits.maxFhirResponseBytes says how much is read",
  NotFhir: "the answer is no FHIR resource in JSON; is a proxy or a login page in between?",
  RedirectRefused: "a request with a token follows no redirect",
  InsecureEndpoint: "only https is used; http needs a loopback host and allowInsecureLocalhost",
  ForeignLink: "the token was issued for another server and was not sent",
  InvalidReference: "a resource type and an id are needed"
}

/**
 * @since 0.1.0
 * @category errors
 */
export class FhirError extends Schema.TaggedError<FhirError>("effect-safire/FhirError")("FhirError", {
  reason: Reason,
  fhirBaseUrl: Schema.String,
  /** What was tried: the interaction and the resource type, never an id or a search value. */
  interaction: Schema.String,
  detail: Schema.String,
  issues: Schema.Array(Issue),
  status: Schema.optional(Schema.Number),
  retryAfter: Schema.optional(Schema.DurationFromMillis)
}) {
  override get message(): string {
    const codes = this.issues.flatMap(({ code }) => code ?? [])
    return `FHIR ${this.interaction} at ${this.fhirBaseUrl} failed (${this.reason}): ${this.detail}${
      codes.length === 0 ? "" : `, issues: ${codes.join(", ")}`
    }${retryAfterText(this.retryAfter)}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return this.reason === "Unreachable" || this.reason === "TimedOut" ||
      (this.reason === "Unavailable" && isTransientStatus(this.status))
  }
}
