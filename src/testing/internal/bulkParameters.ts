/**
 * The parameters of a bulk export (Bulk Data Access 3.0, "Query Parameters"), from the query of a GET or the Parameters
 * resource of a POST.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { FhirRequest } from "./fhirAccess.js"
import { type Filters, searchParameters } from "./fhirStore.js"
import * as FhirWrite from "./fhirWrite.js"
import * as Http from "./http.js"

/** One search of one type. */
export interface TypeFilter {
  readonly type: string
  readonly filters: Filters
}

/** Valid parameters. */
export interface ExportParameters {
  readonly types: ReadonlyArray<string> | undefined
  /** Milliseconds since 1970. */
  readonly since: number | undefined
  readonly until: number | undefined
  readonly typeFilters: ReadonlyArray<TypeFilter>
  /** Elements of one type, or of all types. */
  readonly elements: ReadonlyArray<{ readonly type: string | undefined; readonly name: string }> | undefined
  readonly patients: ReadonlyArray<string> | undefined
  readonly isOrganizedByPatient: boolean
  readonly allowsPartialManifests: boolean
  /** What a lenient export ignores. */
  readonly ignored: ReadonlyArray<string>
}

/** Why a kick-off is refused. */
export interface Refusal {
  readonly code: "invalid" | "not-supported"
  readonly diagnostics: string
}

/** The parameters with the type of their value in a Parameters resource, and whether they may be repeated. */
const DEFINITIONS: ReadonlyMap<string, { readonly value: string; readonly repeats: boolean }> = new Map([
  ["_outputFormat", { value: "valueString", repeats: false }],
  ["_since", { value: "valueInstant", repeats: false }],
  ["_until", { value: "valueInstant", repeats: false }],
  ["_type", { value: "valueString", repeats: true }],
  ["_typeFilter", { value: "valueString", repeats: true }],
  ["_elements", { value: "valueString", repeats: true }],
  ["patient", { value: "valueReference", repeats: true }],
  ["includeAssociatedData", { value: "valueCode", repeats: true }],
  ["organizeOutputBy", { value: "valueString", repeats: false }],
  ["allowPartialManifests", { value: "valueBoolean", repeats: false }]
])

const FORMATS = ["application/fhir+ndjson", "application/ndjson", "ndjson"]
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
const TYPE = /^[A-Z][A-Za-z]{1,60}$/
const ELEMENT = /^(?:([A-Z][A-Za-z]{1,60})\.)?([a-z][A-Za-z]{0,60})$/
const PATIENT = /^Patient\/([A-Za-z0-9\-.]{1,64})$/

type Parsed<A> = Either.Either<A, Refusal>

const invalid = (diagnostics: string) => Either.left<Refusal>({ code: "invalid", diagnostics })

/** The names and values of a Parameters resource. */
const pairsOf = (body: unknown): Parsed<Http.Pairs> => {
  if (!Predicate.isRecord(body) || body["resourceType"] !== "Parameters") {
    return invalid("the body must be a Parameters resource in JSON")
  }
  const { parameter = [] } = body
  if (!Array.isArray(parameter)) return invalid("Parameters.parameter must be a list")
  return Either.all(parameter.map((one: unknown): Parsed<readonly [string, string]> => {
    const name = Predicate.isRecord(one) ? one["name"] : undefined
    if (!Predicate.isRecord(one) || typeof name !== "string") return invalid("a parameter has no name")
    const values = Object.entries(one).filter(([key]) => key.startsWith("value"))
    const [type, value] = values[0] ?? []
    if (values.length !== 1 || type === undefined) return invalid(`the parameter ${name} must have one value`)
    const expected = DEFINITIONS.get(name)?.value ?? type
    if (type !== expected) return invalid(`the parameter ${name} must have a ${expected}`)
    const text = Predicate.isRecord(value) ? value["reference"] : value
    return typeof text === "string" || typeof text === "boolean" || typeof text === "number"
      ? Either.right([name, String(text)])
      : invalid(`the parameter ${name} has no valid value`)
  }))
}

const instant = (name: string, values: ReadonlyArray<string>): Parsed<number | undefined> => {
  const [value] = values
  if (value === undefined) return Either.right(undefined)
  const millis = INSTANT.test(value) ? DateTime.make(value) : Option.none()
  return Option.isSome(millis)
    ? Either.right(DateTime.toEpochMillis(millis.value))
    : invalid(`the parameter ${name} must be an instant`)
}

/** The valid parameters of a kick-off. `level` is that of the path. */
export const parse = (
  { body, headers, method, query, sandbox }: FhirRequest,
  level: "system" | "patients" | "group"
): Parsed<ExportParameters> =>
  Either.gen(function*() {
    const pairs = yield* method === "GET" ? Either.right(query) : pairsOf(FhirWrite.parse(body))
    const isLenient = /\bhandling\s*=\s*lenient\b/.test(headers["prefer"] ?? "")
    const ignored: Array<string> = []
    const of = (name: string) => pairs.flatMap(([key, value]) => key === name ? [value] : [])
    const listed = (name: string) => of(name).flatMap((value) => value.split(","))
    /** Refuses what a lenient client allows to ignore. */
    const unsupported = (diagnostics: string): Parsed<undefined> => {
      ignored.push(diagnostics)
      return isLenient ? Either.right(undefined) : Either.left({ code: "not-supported", diagnostics })
    }
    const duplicate = Http.duplicates(pairs).find((name) => DEFINITIONS.get(name)?.repeats === false)
    if (duplicate !== undefined) return yield* invalid(`the parameter ${duplicate} must not be repeated`)
    for (const name of new Set(pairs.map(([name]) => name))) {
      if (!DEFINITIONS.has(name)) yield* unsupported(`the parameter ${name} is unknown`)
    }
    const [format = FORMATS[0]] = of("_outputFormat")
    if (!FORMATS.some((one) => one === format)) {
      return yield* Either.left<Refusal>({ code: "not-supported", diagnostics: "the output format must be NDJSON" })
    }

    const types = new Set<string>()
    for (const type of listed("_type")) {
      if (!TYPE.test(type)) return yield* invalid("_type must be a list of resource types")
      if (sandbox.store.types.has(type)) types.add(type)
      else yield* unsupported(`the type ${type} is not supported`)
    }
    const hasTypes = of("_type").length > 0

    const typeFilters: Array<TypeFilter> = []
    for (const filter of of("_typeFilter")) {
      const [, type = "", search = ""] = /^([A-Z][A-Za-z]{1,60})\?(.+)$/.exec(filter) ?? []
      if (type === "") return yield* invalid("_typeFilter must be a search, such as Observation?code=1")
      if (hasTypes && !types.has(type)) return yield* invalid(`_typeFilter is for ${type}, which is not in _type`)
      const filters = Http.parsePairs(search)
      const known = filters.filter(([name]) => searchParameters.has(name))
      for (const [name] of filters) {
        if (!searchParameters.has(name)) yield* unsupported(`the search parameter ${name} of _typeFilter is unknown`)
      }
      typeFilters.push({ type, filters: known })
    }

    const elements = listed("_elements").map((element) => ELEMENT.exec(element))
    if (elements.includes(null)) return yield* invalid("_elements must be a list of elements, such as Patient.name")

    const references = of("patient").map((reference) => PATIENT.exec(reference)?.[1])
    if (references.length > 0 && method === "GET") return yield* invalid("the parameter patient is for POST requests")
    if (references.length > 0 && level === "system") {
      return yield* invalid("the parameter patient is not for exports of the system")
    }
    if (references.includes(undefined)) return yield* invalid("the parameter patient must be a reference to a Patient")

    if (of("includeAssociatedData").length > 0) yield* unsupported("includeAssociatedData is not supported")
    const [organizer] = of("organizeOutputBy")
    if (organizer !== undefined && organizer !== "Patient") {
      yield* unsupported("the output can be organized by Patient only")
    }
    const [partial = "false"] = of("allowPartialManifests")
    if (partial !== "true" && partial !== "false") return yield* invalid("allowPartialManifests must be a boolean")
    return {
      types: hasTypes ? [...types] : undefined,
      since: yield* instant("_since", of("_since")),
      until: yield* instant("_until", of("_until")),
      typeFilters,
      elements: of("_elements").length === 0
        ? undefined
        : elements.map((element) => ({ type: element?.[1], name: element?.[2] ?? "" })),
      patients: references.length === 0 ? undefined : references.filter((id) => id !== undefined),
      isOrganizedByPatient: organizer === "Patient",
      allowsPartialManifests: partial === "true",
      ignored
    }
  })
