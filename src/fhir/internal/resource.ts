/**
 * FHIR resources as JSON, decoded by a schema or typed by the caller, for example with `@types/fhir`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { failOnDefect } from "../../base/FailOnDefect.js"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { safeText } from "../../http/Redaction.js"
import type { Fields, Issue } from "../FhirError.js"
import type * as Params from "./params.js"

/**
 * A FHIR resource as JSON (FHIR R4, section 2.26).
 *
 * @since 0.1.0
 * @category models
 */
export type Resource = Readonly<Record<string, unknown>> & { readonly resourceType: string }

/**
 * A resource to send: an object literal, or an interface of `@types/fhir`, which has no index signature.
 *
 * @since 0.1.0
 * @category models
 */
export type AnyResource = Resource | { readonly resourceType: string }

/**
 * A schema without services.
 *
 * @since 0.1.0
 * @category models
 */
export type AnySchema = Schema.Schema.AnyNoContext

/**
 * How a resource is decoded. A resource that the schema does not accept is an `Undecodable` error. Without a schema,
 * only the resource type is checked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoding<S extends AnySchema | undefined> {
  /** Decodes the resource; its failure is an `Undecodable` with `issuePaths`. Default: no schema. */
  readonly schema?: S | undefined
}

/**
 * Options of reading one resource.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceOptions<S extends AnySchema | undefined> extends Decoding<S> {
  /** `_elements` or `_summary`. Do not update with the result, which is not the complete resource. */
  readonly params?: Params.Params | undefined
}

/**
 * The type of a decoded resource: that of the schema, or `A` without one.
 *
 * @since 0.1.0
 * @category models
 */
export type Decoded<S, A> = S extends Schema.Schema<infer B, infer _I, never> ? B : A

/**
 * A resource with the metadata in the headers of its response.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stored<A> {
  /** The decoded resource. */
  readonly resource: A
  /** The HTTP status, such as 200 or 201. */
  readonly status: number
  /** For `ifMatch` of a later update. Without the header it is made of `meta.versionId`. */
  readonly etag: string | undefined
  /** The version in the ETag, else `meta.versionId`. */
  readonly versionId: string | undefined
  /** The date of HTTP in the `Last-Modified` header, for `ifModifiedSince`; an instant in an entry of a Bundle. */
  readonly lastModified: string | undefined
  /** The `Location` or `Content-Location` as received. It is not checked. */
  readonly location: string | undefined
}

/**
 * Whether a value is a JSON object with a `resourceType`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isResource = (value: unknown): value is Resource =>
  isJsonObject(value) && typeof value["resourceType"] === "string" && value["resourceType"] !== ""

/** The characters of a type and an id (FHIR R4, section 2.24.0.1); others could change the path of the URL. */
export const isType = (type: string): boolean => /^[A-Za-z]{1,64}$/.test(type)

export const isId = (id: string): boolean => /^[A-Za-z0-9\-.]{1,64}$/.test(id) && !/^\.{1,2}$/.test(id)

export const INVALID_REFERENCE = "the resource type or the id has characters that FHIR does not allow"

/** How many characters of the issues of one response are searched for secrets, which takes half a second at most. */
export interface IssueBudget {
  left: number
}

export const issueBudget = (): IssueBudget => ({ left: 1_000_000 })

/**
 * The issues of an OperationOutcome without the secrets, because some servers repeat a token in their diagnostics. The
 * texts beyond the budget are left out.
 */
export const issuesOf = (
  value: unknown,
  redacted: ReadonlyArray<Redacted.Redacted>,
  budget: IssueBudget = issueBudget()
): ReadonlyArray<Issue> => {
  if (!isResource(value) || value.resourceType !== "OperationOutcome") return []
  const ignore = () => undefined
  const secrets = redacted.map(Redacted.value)
  const safe = (text: string | undefined, maxLength = 1000) => {
    if (text === undefined || budget.left <= 0) return undefined
    budget.left -= text.length
    return safeText(text, secrets, maxLength)
  }
  const safeAll = (texts: ReadonlyArray<string> | undefined) =>
    texts?.slice(0, 20).flatMap((text) => safe(text, 300) ?? [])
  return (reader(value, ignore).objects("issue") ?? []).slice(0, 20).map((issue) => {
    const { object, string, strings } = reader(issue, ignore)
    const details = object("details")
    const { objects, string: detail } = reader(details ?? {}, ignore)
    return {
      severity: safe(string("severity"), 40),
      code: safe(string("code"), 40),
      details: details === undefined ? undefined : {
        text: safe(detail("text")),
        coding: (objects("coding") ?? []).slice(0, 5).map((coding) => {
          const { string: of } = reader(coding, ignore)
          return { system: safe(of("system"), 200), code: safe(of("code"), 100), display: safe(of("display"), 200) }
        })
      },
      diagnostics: safe(string("diagnostics")),
      expression: safeAll(strings("expression")),
      location: safeAll(strings("location"))
    }
  })
}

/** The issues without their texts, which may contain the token. */
export const issueCodesOf = (value: unknown): ReadonlyArray<Issue> =>
  issuesOf(value, []).map(({ code, severity }) => ({ code, severity }))

const MAX_READ = 16_384
const MAX_EXCERPT = 500

/** Whether the text contains a resource in JSON or XML, also an escaped one. */
const containsResource = (body: string): boolean => body.includes("resourceType") || /hl7\.org\/fhir["']/.test(body)

/** The beginning of a body without the secrets; `undefined` if it contains a FHIR resource. */
export const excerptOf = (body: string, redacted: ReadonlyArray<Redacted.Redacted>): string | undefined => {
  if (containsResource(body)) return undefined
  const text = safeText(body.slice(0, MAX_READ), redacted.map(Redacted.value), MAX_READ).replace(/ {2,}/g, " ")
  // A secret that was cut in half at the end is not recognised.
  if (body.length > MAX_READ && text.length <= MAX_EXCERPT) return undefined
  return text === "" ? undefined : safeText(text, [], MAX_EXCERPT)
}

/** An element name or an index. Any other key comes from the server and may be a value. */
const segmentOf = (segment: PropertyKey): string =>
  /^(\d{1,9}|_?[A-Za-z]{1,50}\d{0,2})$/.test(String(segment)) ? String(segment) : "(a key)"

const MAX_ISSUE_PATHS = 20

/** Only the paths of the errors, because the message of a `ParseError` contains the value. */
export const issuePathsOf = (error: ParseResult.ParseError): ReadonlyArray<string> => {
  const issues = ParseResult.ArrayFormatter.formatErrorSync(error)
  return [...new Set(issues.map(({ path }) => path.slice(0, 20).map(segmentOf).join(".")))].slice(0, MAX_ISSUE_PATHS)
}

const MAX_SHOWN_PATHS = 3

const shownPaths = (paths: ReadonlyArray<string>): string =>
  paths.slice(0, MAX_SHOWN_PATHS).map((path) => path === "" ? "the resource itself" : path).join(", ")

/** The resource with the type that the caller expects of it: without a schema, its members are not checked. */
export const typed = <A>(resource: unknown): A => resource as A

/** Decodes a resource by the schema, if there is one. */
export const decode = <S extends AnySchema | undefined, A, E>(
  value: unknown,
  { schema }: Decoding<S>,
  fail: (fields: Fields) => E
): Effect.Effect<Decoded<S, A>, E> =>
  schema === undefined
    ? Effect.succeed(typed<Decoded<S, A>>(value))
    : Effect.suspend((): Effect.Effect<Decoded<S, A>, ParseResult.ParseError> => Schema.decodeUnknown(schema)(value))
      .pipe(
        Effect.mapError((error) => {
          const issuePaths = issuePathsOf(error)
          const detail = `the resource does not match the schema at ${shownPaths(issuePaths)}`
          return fail({ reason: "Undecodable", detail, issuePaths })
        }),
        // A recursive schema overflows the stack if the resource is nested deeply.
        failOnDefect((exception) =>
          fail({ reason: "Undecodable", detail: `the schema could not be applied to the resource (${exception})` })
        )
      )
