/**
 * The errors of FHIR requests (FHIR R4, section 3.1.0.1.7; OperationOutcome).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as HttpStatus from "../base/HttpStatus.js"
import { reasonsOf } from "../base/SchemaFields.js"
import * as AddressGuard from "../http/AddressGuard.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  Unauthorized: "the token has expired or was revoked; refresh it or start a new launch",
  Forbidden: "the granted scopes or the server's policy do not cover this request; check the granted scopes",
  NotFound: "the resource does not exist, or the token does not give access to it",
  Gone: "the resource was deleted",
  Conflict: "the request conflicts with the current state of the resource; read it again, then retry",
  PreconditionFailed: "another writer changed the resource, or the criteria match several; read it again, then retry",
  Refused: "correct what the issues name",
  Unavailable: "the server or its proxy is busy or down; retry later",
  RateLimited: "nothing was sent; wait as long as the server demands, or raise maxDelay of the RateLimit",
  ...TransportFailure.advice("fhirTimeout", "maxFhirResponseBytes"),
  NotFhir: "the response is not valid FHIR; check whether a proxy or a login page responded",
  Undecodable: "adapt the schema to the resources of this server",
  RedirectRefused: "if the server has moved, configure its new base URL",
  UnguardedTransport: `nothing was sent; ${AddressGuard.advice}`,
  ForeignLink: "the link was not followed; if a proxy makes the server write another base URL, set rebaseLinks",
  ForeignFile: "the file was not requested",
  InvalidReference: "nothing was sent; check where the type and the id come from",
  InvalidRequest: "nothing was sent; correct the request",
  NotInContext: "request the scope that adds it to the launch context",
  NotSupported: "nothing was sent; the metadata of the server do not list the capability",
  PageLoop: "the `next` links of the server form a loop; report it to the operator of the server",
  TooManyPages: "narrow the request, or raise the limit: maxPages of a search, maxManifests and maxFiles of an export",
  Truncated: "the file is incomplete; the lines before are valid",
  MalformedLine: "the lines before are valid; report it to the operator of the server",
  LineTooLong: "the lines before are valid; raise maxLineBytes if lines of this size are expected",
  WrongCount: "all lines are valid; set wrongCount to warn if the counts of this server cannot be trusted",
  FileChanged: "the lines before are of another version of the file; start a new export",
  DuplicateFile: "the file was not requested; report it to the operator of the server",
  ManifestChanged: "what was delivered is valid; start a new export"
}

/**
 * The reasons of a `FhirError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `FhirError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A code of a code system, in the details of an issue.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Coding = Schema.Struct({
  system: Schema.optional(Schema.String),
  code: Schema.optional(Schema.String),
  display: Schema.optional(Schema.String)
})

/**
 * A coding of an issue.
 *
 * @since 0.1.0
 * @category models
 */
export type Coding = typeof Coding.Type

/**
 * One issue of an OperationOutcome. `details` and `diagnostics` may name a patient, so the error message leaves them
 * out.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Issue = Schema.Struct({
  /** `fatal`, `error`, `warning` or `information`. */
  severity: Schema.optional(Schema.String),
  /** The type of the issue, such as `required` or `not-found`. */
  code: Schema.optional(Schema.String),
  details: Schema.optional(Schema.Struct({ text: Schema.optional(Schema.String), coding: Schema.Array(Coding) })),
  diagnostics: Schema.optional(Schema.String),
  /** FHIRPaths of the elements. */
  expression: Schema.optional(Schema.Array(Schema.String)),
  /** XPaths of the elements, which older servers use. */
  location: Schema.optional(Schema.Array(Schema.String))
})

/**
 * An issue of an OperationOutcome. Its texts may mention a patient.
 *
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

/**
 * A file of a bulk export: its index in the manifest, its resource type and its URL without the query, which may be a
 * signature.
 *
 * @since 0.1.0
 * @category schemas
 */
export const File = Schema.Struct({ index: Schema.Number, type: Schema.String, url: Schema.String })

/**
 * A file of a bulk export that an error is about.
 *
 * @since 0.1.0
 * @category models
 */
export type File = typeof File.Type

/**
 * The response to one entry of a batch or a transaction. `location` may contain an id, and `issues` may name a patient.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EntryResult = Schema.Struct({
  /** The index of its request, from 0 on. */
  index: Schema.Number,
  /** Absent if the entry has no valid status. */
  status: Schema.optional(Schema.Number),
  processed: Schema.Literal("yes", "no", "unknown"),
  location: Schema.optional(Schema.String),
  etag: Schema.optional(Schema.String),
  issues: Schema.Array(Issue)
})

/**
 * The result of one request of a transaction or a batch.
 *
 * @since 0.1.0
 * @category models
 */
export type EntryResult = typeof EntryResult.Type

/** The advice of the reason, or one that depends on more than the reason. */
const adviceOf = ({ bodyExcerpt, isRetryable, issues, processed, reason, tokenRenewed }: FhirError): string => {
  if (processed === "partly") return "do not retry the whole transaction: `entries` lists the processed requests"
  if (reason === "Unauthorized" && tokenRenewed === true) {
    return "another refresh will not help: check the granted scopes, and that the token is for this FHIR base URL"
  }
  if (reason === "Unavailable" && !isRetryable) {
    return "the server failed on this request, and a retry is likely to fail too: report it to the operator of the server"
  }
  if (reason === "NotFhir" && issues.length > 0) {
    return "the response is an OperationOutcome: correct what its issues name"
  }
  if (reason === "Refused" && issues.length === 0) {
    return bodyExcerpt === undefined
      ? "the server gave no reason"
      : "`bodyExcerpt` has the beginning of the response"
  }
  return ADVICE[reason]
}

/** Texts of another form may be values of a patient or copies of the request. */
const isCode = (text: string): boolean => /^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(text)

/** The types of issues in FHIR R4 and R5 (code system `issue-type`). Another word may be a name. */
const ISSUE_TYPES: ReadonlySet<string> = new Set(
  ("invalid structure required value invariant security login unknown expired forbidden suppressed processing " +
    "not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly " +
    "business-rule conflict limited-filter transient lock-error no-store exception timeout incomplete throttled " +
    "informational success").split(" ")
)

/** A code of HL7's operation outcomes, such as `MSG_NO_MATCH`. Servers put texts into codes of their own. */
const detailCode = ({ details }: Issue): string | undefined =>
  details?.coding.find(({ code, system }) =>
    /^https?:\/\/terminology\.hl7\.org\/CodeSystem\/operation-outcome$/.test(system ?? "") &&
    /^[A-Z][A-Z0-9_]{0,60}$/.test(code ?? "")
  )?.code
const isElementPath = (text: string): boolean => /^[A-Za-z][A-Za-z0-9_.[\]]{0,99}$/.test(text)

const MAX_SHOWN_ISSUES = 10

const issuesText = (issues: ReadonlyArray<Issue>): string => {
  const shown = issues.slice(0, MAX_SHOWN_ISSUES).flatMap((issue) => {
    const { code, expression } = issue
    const path = expression?.find(isElementPath)
    const what = code !== undefined && ISSUE_TYPES.has(code) ? code : undefined
    const detail = detailCode(issue)
    return what === undefined && path === undefined && detail === undefined ? [] : [
      [
        what ?? "(no code)",
        ...(detail === undefined ? [] : [`(${detail})`]),
        ...(path === undefined ? [] : [`at ${path}`])
      ].join(" ")
    ]
  })
  return shown.length === 0 ? "" : `, issues: ${shown.join(", ")}`
}

/**
 * A FHIR request failed. `processed` says whether the server acted, `attempts` how often the request was sent.
 * `issues`, `entries`, `location` and `bodyExcerpt` are texts of the server, which may mention a patient: log the
 * `message`.
 *
 * @since 0.1.0
 * @category errors
 */
export class FhirError extends Schema.TaggedError<FhirError>("effect-safire/FhirError")("FhirError", {
  reason: Reason,
  fhirBaseUrl: Schema.String,
  /** The interaction and the resource type, without ids and search values. */
  interaction: Schema.String,
  detail: Schema.String,
  issues: Schema.Array(Issue),
  status: Schema.optional(Schema.Number),
  retryAfter: Schema.optional(RetryAfter.FromMillis),
  /**
   * `no`: the server did not act, or nothing was sent. `partly`: it processed some entries of a transaction, see
   * `entries`. `unknown`: it may have acted.
   */
  processed: Schema.optional(Schema.Literal("no", "partly", "unknown")),
  /** How often the request was sent, including retries and the request with a renewed token. */
  attempts: Schema.optional(Schema.Number),
  /** After a 401 the token was renewed, and the server rejected the new one, too. */
  tokenRenewed: Schema.optional(Schema.Boolean),
  /** The `X-Request-Id` of the response, by which the operator of the server finds the request. */
  requestId: Schema.optional(Schema.String),
  /** The error code, description and scope of the challenge in `WWW-Authenticate` (RFC 6750, section 3). */
  error: Schema.optional(Schema.String),
  errorDescription: Schema.optional(Schema.String),
  requiredScope: Schema.optional(Schema.String),
  /** The beginning of a response without an OperationOutcome or another resource. The message leaves it out. */
  bodyExcerpt: Schema.optional(Schema.String),
  /** Where a write stored the resource, if its response is not valid otherwise. It may contain an id. */
  location: Schema.optional(Schema.String),
  /** The index of the request in a batch or a transaction, from 0 on. */
  index: Schema.optional(Schema.Number),
  /** The results of a failed transaction, or of a batch with an incomplete response. */
  entries: Schema.optional(Schema.Array(EntryResult)),
  /**
   * The paths of the elements that a `schema` does not accept, such as `name.0.family`; empty for the resource itself.
   * A part of a path that is not the name of an element is `(a key)`.
   */
  issuePaths: Schema.optional(Schema.Array(Schema.String)),
  file: Schema.optional(File),
  /** The line of the file, from 1 on. */
  line: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    const line = this.line === undefined ? "" : ` line ${this.line}`
    const file = this.file === undefined ? "" : `, file ${this.file.index + 1} (${this.file.type})${line}`
    const isTransient = this.reason === "Unavailable" || this.reason === "Unreachable" || this.reason === "TimedOut"
    const tried = !isTransient || this.attempts === undefined
      ? ""
      : `, ${this.attempts === 1 ? "tried once" : `tried ${this.attempts} times`}`
    const error = this.error !== undefined && isCode(this.error) ? `, error: ${this.error}` : ""
    return `FHIR ${this.interaction} at ${this.fhirBaseUrl}${file} failed (${this.reason}): ${this.detail}${tried}${error}${
      issuesText(this.issues)
    }${RetryAfter.print(this.retryAfter)}; ${adviceOf(this)}`
  }

  get isRetryable(): boolean {
    if (this.processed === "partly") return false
    return this.reason === "RateLimited" || TransportFailure.isTransient(this)
  }
}

/**
 * The fields of an error without its server and interaction.
 *
 * @internal
 */
export type Fields =
  & Omit<ConstructorParameters<typeof FhirError>[0], "fhirBaseUrl" | "interaction" | "issues">
  & { readonly issues?: ReadonlyArray<Issue> }

/**
 * Makes errors about one interaction.
 *
 * @internal
 */
export const errorsAt = (fhirBaseUrl: string, interaction: string) => (fields: Fields): FhirError =>
  new FhirError({ issues: [], ...fields, fhirBaseUrl, interaction })

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
      return "Conflict"
    case 412:
      return "PreconditionFailed"
    case 410:
      return "Gone"
    default:
      // A 304 to a request without a condition, or a redirect without a Location.
      if (status < 400) return "NotFhir"
      return HttpStatus.isTransient(status) || status >= 500 ? "Unavailable" : "Refused"
  }
}

/** @internal */
export const isFhirError = <E>(error: FhirError | E): error is FhirError => error instanceof FhirError
