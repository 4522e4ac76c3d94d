/**
 * Why a FHIR request did not give what was asked for.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as AddressGuard from "../http/AddressGuard.js"
import { isTransientStatus, retryAfterText } from "../http/wireFields.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "Unauthorized",
  "Forbidden",
  "NotFound",
  "Gone",
  "Conflict",
  "Refused",
  "Unavailable",
  "Unreachable",
  "TimedOut",
  "TooLarge",
  "NotFhir",
  "Undecodable",
  "RedirectRefused",
  "InsecureEndpoint",
  "UnguardedTransport",
  "ForeignLink",
  "ForeignFile",
  "InvalidReference",
  "InvalidRequest",
  "NotInContext",
  "NotSupported",
  "PageLoop",
  "TooManyPages",
  "Truncated",
  "MalformedLine",
  "LineTooLong"
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
  diagnostics: Schema.optional(Schema.String),
  expression: Schema.optional(Schema.Array(Schema.String))
})

/**
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

/**
 * Which file of a bulk export it is about: its place in the manifest, its resource type and its URL without the query, which may be a signature.
 *
 * @since 0.1.0
 * @category schemas
 */
export const File = Schema.Struct({ index: Schema.Number, type: Schema.String, url: Schema.String })

/**
 * @since 0.1.0
 * @category models
 */
export type File = typeof File.Type

const ADVICE: Record<Reason, string> = {
  Unauthorized:
    "the token has expired or was revoked, and no newer one was to be had; a refresh or a new launch brings one",
  Forbidden:
    "the token is good but its scopes, or the server's policy, do not cover this; compare with the granted scopes",
  NotFound: "there is no such resource here, or this token may not know of it",
  Gone: "it was there and was deleted",
  Conflict: "somebody changed it meanwhile, or the condition does not hold; read it again before the next attempt",
  Refused: "the issues say what the server did not like",
  Unavailable: "the server is busy or down; what is safe to repeat was asked as often as the retry policy allows",
  Unreachable: "check the address, DNS, the certificate and whether the server is up",
  TimedOut: "the server is slow or hangs; HttpLimits.fhirTimeout says how long one attempt may take",
  TooLarge: "HttpLimits.maxFhirResponseBytes says how much is read",
  NotFhir: "the answer is not what FHIR says; is a proxy or a login page in between?",
  Undecodable: "the resource is not as the given schema wants it",
  RedirectRefused: "if the server has moved, configure its new base URL",
  InsecureEndpoint: "only https is used; http needs a loopback host and allowInsecureLocalhost",
  UnguardedTransport: `nothing was sent; ${AddressGuard.advice}`,
  ForeignLink: "nothing was sent there; allow its origin, or rebase links if the server is behind a proxy",
  ForeignFile: "nothing was sent there; allow its origin if the server keeps its files elsewhere",
  InvalidReference: "nothing was sent; look where the type and the id come from",
  InvalidRequest: "nothing was sent",
  NotInContext: "the launch did not bring it; ask for the scope that does",
  NotSupported: "the server does not say that it offers this",
  PageLoop: "the server's next links go round in a circle",
  TooManyPages: "narrow the search, or raise maxPages",
  Truncated: "the file ends too early; the lines before are good",
  MalformedLine: "the lines before are good; the file is the server's: tell who runs it",
  LineTooLong: "maxLineBytes says how much of a line is read; the lines before are good"
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
  retryAfter: Schema.optional(Schema.DurationFromMillis),
  /** `refused`: the server did not act. `unknown`: it may have. */
  outcome: Schema.optional(Schema.Literal("refused", "unknown")),
  file: Schema.optional(File),
  /** The line of the file, from 1 on. */
  line: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    const codes = this.issues.flatMap(({ code }) => code ?? [])
    const line = this.line === undefined ? "" : ` line ${this.line}`
    const file = this.file === undefined ? "" : `, file ${this.file.index + 1} (${this.file.type})${line}`
    return `FHIR ${this.interaction} at ${this.fhirBaseUrl}${file} failed (${this.reason}): ${this.detail}${
      codes.length === 0 ? "" : `, issues: ${codes.join(", ")}`
    }${retryAfterText(this.retryAfter)}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return this.reason === "Unreachable" || this.reason === "TimedOut" ||
      (this.reason === "Unavailable" && isTransientStatus(this.status))
  }
}

/**
 * What an error says beside where and at what it happened.
 *
 * @internal
 */
export type Fields =
  & Omit<ConstructorParameters<typeof FhirError>[0], "fhirBaseUrl" | "interaction" | "issues">
  & { readonly issues?: ReadonlyArray<Issue> }

/** @internal */
export const reasonOf = (status: number): Reason => {
  switch (status) {
    case 401:
      return "Unauthorized"
    case 403:
      return "Forbidden"
    case 404:
      return "NotFound"
    case 409:
    case 412:
      return "Conflict"
    case 410:
      return "Gone"
    default:
      return isTransientStatus(status) || status >= 500 ? "Unavailable" : "Refused"
  }
}

/**
 * Whether the server acted: a client error and a server that was too busy did not; of any other failure nobody knows.
 *
 * @internal
 */
export const outcomeOf = (status: number): "refused" | "unknown" =>
  (status >= 400 && status < 500 && status !== 408) || status === 503 ? "refused" : "unknown"

/** @internal */
export const isFhirError = <E>(error: FhirError | E): error is FhirError => error instanceof FhirError
