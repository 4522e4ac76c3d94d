/**
 * FHIR resources as JSON, and how a caller's schema reads them. Plain types fit, too: those of `@types/fhir`, or one's own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { failOnDefect } from "../../base/FailOnDefect.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { safeText } from "../../http/Redaction.js"
import type { Fields, Issue } from "../FhirError.js"

/**
 * A FHIR resource as JSON: what `@types/fhir` describes, or a caller's own schema decodes.
 *
 * @since 0.1.0
 * @category models
 */
export type Resource = JsonObject & { readonly resourceType: string }

/**
 * What can be sent as a resource: an object literal with any members, and the interfaces of `@types/fhir`, which have no index signature.
 *
 * @since 0.1.0
 * @category models
 */
export type AnyResource = Resource | { readonly resourceType: string }

/**
 * How an answer is read: by a schema, or as JSON of the type the caller names. Without a schema only the resource type is checked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoding<A, I> {
  readonly schema?: Schema.Schema<A, I> | undefined
}

/**
 * A resource with what the answer's headers said of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stored<A> {
  readonly resource: A
  readonly status: number
  /** For `ifMatch` of a later update. Where the header is missing, made of `meta.versionId`. */
  readonly etag: string | undefined
  readonly versionId: string | undefined
  readonly lastModified: string | undefined
  /** As received, and not followed: where the server says the resource is. */
  readonly location: string | undefined
}

/**
 * @since 0.1.0
 * @category predicates
 */
export const isResource = (value: unknown): value is Resource =>
  isJsonObject(value) && typeof value["resourceType"] === "string" && value["resourceType"] !== ""

/**
 * FHIR R4, section 2.24.0.1: what a type and an id may look like; anything else could leave the path.
 *
 * @internal
 */
export const isType = (type: string): boolean => /^[A-Za-z]{1,64}$/.test(type)

/** @internal */
export const isId = (id: string): boolean => /^[A-Za-z0-9\-.]{1,64}$/.test(id) && !/^\.{1,2}$/.test(id)

/**
 * The issues of an OperationOutcome, without any of `secrets`: servers do echo a token in what they complain about.
 *
 * @internal
 */
export const issuesOf = (value: unknown, redacted: ReadonlyArray<Redacted.Redacted>): ReadonlyArray<Issue> => {
  if (!isResource(value) || value.resourceType !== "OperationOutcome") return []
  const ignore = () => undefined
  const secrets = redacted.map(Redacted.value)
  const safe = (text: string | undefined, maxLength = 1000) =>
    text === undefined ? undefined : safeText(text, secrets, maxLength)
  return (reader(value, ignore).objects("issue") ?? []).slice(0, 20).map((issue) => {
    const { object, string, strings } = reader(issue, ignore)
    const details = object("details")
    return {
      severity: safe(string("severity"), 40),
      code: safe(string("code"), 40),
      text: details === undefined ? undefined : safe(reader(details, ignore).string("text")),
      diagnostics: safe(string("diagnostics")),
      expression: strings("expression")?.slice(0, 20).map((expression) => safeText(expression, secrets))
    }
  })
}

const MAX_READ = 16_384
const MAX_EXCERPT = 500

/** A resource in JSON or in XML, also one that is quoted in something else. */
const holdsFhir = (body: string): boolean => body.includes("resourceType") || /hl7\.org\/fhir["']/.test(body)

/**
 * How a body begins, without any of `secrets`, unless it holds a FHIR resource: that could be a patient's.
 *
 * @internal
 */
export const excerptOf = (body: string, redacted: ReadonlyArray<Redacted.Redacted>): string | undefined => {
  if (holdsFhir(body)) return undefined
  const text = safeText(body.slice(0, MAX_READ), redacted.map(Redacted.value), MAX_READ).replace(/ {2,}/g, " ")
  // Where the body was cut, half of a secret may stand, which is not recognised.
  if (body.length > MAX_READ && text.length <= MAX_EXCERPT) return undefined
  return text === "" ? undefined : safeText(text, [], MAX_EXCERPT)
}

/** A name that a schema knows, or the place in a list: a key that the server made up may be a value. */
const segmentOf = (segment: PropertyKey): string =>
  /^(\d{1,9}|_?[A-Za-z]{1,50}\d{0,2})$/.test(String(segment)) ? String(segment) : "(a key)"

/** Where a schema found fault: the path alone, because the message holds the value. */
const pathOf = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error).slice(0, 3).map(({ path }) =>
    path.length === 0 ? "the resource itself" : path.slice(0, 20).map(segmentOf).join(".")
  ).join(", ")

/**
 * A resource as the caller wants it.
 *
 * @internal
 */
export const decode = <A, I, E>(
  value: unknown,
  { schema }: Decoding<A, I>,
  fail: (fields: Fields) => E
): Effect.Effect<A, E> =>
  schema === undefined
    // Without a schema the type is the caller's own word: there is nothing at run time to check it by.
    ? Effect.succeed(value as A)
    : Effect.suspend(() => Schema.decodeUnknown(schema)(value)).pipe(
      Effect.mapError((error) =>
        fail({ reason: "Undecodable", detail: `it does not fit the schema at ${pathOf(error)}` })
      ),
      // A schema that recurses overflows the stack where the resource nests deep.
      failOnDefect((exception) =>
        fail({ reason: "Undecodable", detail: `the schema could not be applied to it (${exception})` })
      )
    )
