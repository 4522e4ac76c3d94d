/**
 * Why a FHIR request did not give what was asked for.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as AddressGuard from "../http/AddressGuard.js"
import { isTransientStatus } from "../http/ReceivedResponse.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "Unauthorized",
  "Forbidden",
  "NotFound",
  "Gone",
  "NotModified",
  "Conflict",
  "Refused",
  "Unavailable",
  ...TransportFailure.reasons,
  "NotFhir",
  "Undecodable",
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

/**
 * What the server answered to one entry of a batch or a transaction. `location` may hold an id, and `issues` may name a patient.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EntryResult = Schema.Struct({
  /** The place of its request among those that were given, from 0 on. */
  index: Schema.Number,
  /** Absent where the answer has no usable status. */
  status: Schema.optional(Schema.Number),
  processed: Schema.Literal("yes", "no", "unknown"),
  location: Schema.optional(Schema.String),
  etag: Schema.optional(Schema.String),
  issues: Schema.Array(Issue)
})

/**
 * @since 0.1.0
 * @category models
 */
export type EntryResult = typeof EntryResult.Type

const ADVICE: Record<Reason, string> = {
  ...TransportFailure.advice("fhirTimeout", "maxFhirResponseBytes"),
  Unauthorized:
    "the token has expired or was revoked, and no newer one was to be had; a refresh or a new launch brings one",
  Forbidden:
    "the token is good but its scopes, or the server's policy, do not cover this; compare with the granted scopes",
  NotFound: "there is no such resource here, or this token may not know of it",
  Gone: "it was there and was deleted",
  NotModified: "nothing has changed since the version that the condition names; `request` gives a 304 as an answer",
  Conflict:
    "another writer changed it meanwhile, or the condition does not hold; read it again before the next attempt",
  Refused: "the issues say what the server did not accept",
  Unavailable: "the server, or a proxy before it, is busy or down: wait, then try again",
  NotFhir: "the answer is not what FHIR says; is a proxy or a login page in between?",
  Undecodable: "the resource is not as the given schema wants it",
  RedirectRefused: "if the server has moved, configure its new base URL",
  UnguardedTransport: `nothing was sent; ${AddressGuard.advice}`,
  ForeignLink:
    "nothing was sent there; rebaseLinks is for a server behind a proxy that writes another base into its links",
  ForeignFile: "nothing was sent there",
  InvalidReference: "nothing was sent; look where the type and the id come from",
  InvalidRequest: "nothing was sent",
  NotInContext: "the launch did not bring it; ask for the scope that does",
  NotSupported: "the server does not say that it offers this",
  PageLoop: "the server's next links go round in a circle",
  TooManyPages: "ask for less, or raise the limit: maxPages of a search, maxManifests and maxFiles of an export",
  Truncated: "the file ends too early; the lines before are good",
  MalformedLine: "the lines before are good; the file is the server's: tell who runs it",
  LineTooLong: "maxLineBytes says how much of a line is read; the lines before are good"
}

/** What to do, where the reason alone does not say it. */
const adviceOf = ({ bodyExcerpt, isRetryable, issues, processed, reason, tokenRenewed }: FhirError): string => {
  if (processed === "partly") return "a repeat would do again what was done: `entries` says which"
  if (reason === "Unauthorized" && tokenRenewed === true) {
    return "another refresh will not help: compare the granted scopes with what was asked for, and the token's audience with this FHIR base"
  }
  if (reason === "Unavailable" && !isRetryable) {
    return "the server failed on this request, and a repeat is likely to fail too: report it to the server's operator"
  }
  if (reason === "Refused" && issues.length === 0) {
    return bodyExcerpt === undefined
      ? "the server did not say what it does not accept"
      : "the server's words are in `bodyExcerpt`"
  }
  return ADVICE[reason]
}

/** Only what looks like a code or an element path: anything else may be a value, or an echo. */
const isCode = (text: string): boolean => /^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(text)
const isElementPath = (text: string): boolean => /^[A-Za-z][A-Za-z0-9_.[\]]{0,99}$/.test(text)

const MAX_SHOWN_ISSUES = 10

const issuesText = (issues: ReadonlyArray<Issue>): string => {
  const shown = issues.slice(0, MAX_SHOWN_ISSUES).flatMap(({ code, expression }) => {
    const path = expression?.find(isElementPath)
    const what = code !== undefined && isCode(code) ? code : undefined
    return what === undefined && path === undefined ? [] : [
      [what ?? "(no code)", ...(path === undefined ? [] : [`at ${path}`])].join(" ")
    ]
  })
  return shown.length === 0 ? "" : `, issues: ${shown.join(", ")}`
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
  retryAfter: Schema.optional(RetryAfter.FromMillis),
  /**
   * `no`: the server did not act, or nothing was sent. `partly`: it processed some entries of a transaction, see `entries`. `unknown`: it may have acted.
   */
  processed: Schema.optional(Schema.Literal("no", "partly", "unknown")),
  /** How often the request was sent, repeats and the one with a renewed token included. */
  attempts: Schema.optional(Schema.Number),
  /** After a 401 the token was renewed, and the new one was refused, too. */
  tokenRenewed: Schema.optional(Schema.Boolean),
  /** The error code, the description and the scope needed, of the bearer challenge in `WWW-Authenticate` (RFC 6750, section 3). */
  error: Schema.optional(Schema.String),
  errorDescription: Schema.optional(Schema.String),
  requiredScope: Schema.optional(Schema.String),
  /** How an answer without an OperationOutcome begins, unless it is a FHIR resource. It may speak of a patient: the message leaves it out. */
  bodyExcerpt: Schema.optional(Schema.String),
  /** Which request of a batch or a transaction it is about, from 0 on. */
  index: Schema.optional(Schema.Number),
  /** What became of each request of a transaction that failed, or of a batch whose answer is incomplete. */
  entries: Schema.optional(Schema.Array(EntryResult)),
  file: Schema.optional(File),
  /** The line of the file, from 1 on. */
  line: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    const line = this.line === undefined ? "" : ` line ${this.line}`
    const file = this.file === undefined ? "" : `, file ${this.file.index + 1} (${this.file.type})${line}`
    const isPassing = this.reason === "Unavailable" || this.reason === "Unreachable" || this.reason === "TimedOut"
    const tried = !isPassing || this.attempts === undefined
      ? ""
      : `, ${this.attempts === 1 ? "tried once" : `tried ${this.attempts} times`}`
    const error = this.error !== undefined && isCode(this.error) ? `, error: ${this.error}` : ""
    return `FHIR ${this.interaction} at ${this.fhirBaseUrl}${file} failed (${this.reason}): ${this.detail}${tried}${error}${
      issuesText(this.issues)
    }${RetryAfter.print(this.retryAfter)}; ${adviceOf(this)}`
  }

  get isRetryable(): boolean {
    if (this.processed === "partly") return false
    return TransportFailure.isTransient(this)
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
    case 412:
      return "Conflict"
    case 410:
      return "Gone"
    default:
      // A 3xx that is no redirect: a 304 to a request without a condition, a redirect without its Location.
      if (status < 400) return "NotFhir"
      return isTransientStatus(status) || status >= 500 ? "Unavailable" : "Refused"
  }
}

/** @internal */
export const isFhirError = <E>(error: FhirError | E): error is FhirError => error instanceof FhirError
