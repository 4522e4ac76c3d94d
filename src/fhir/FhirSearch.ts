/**
 * Search parameters of FHIR (FHIR R4, section 3.1.1), with their modifiers, prefixes and escaping. Each function
 * returns a list of names and values that a search takes as its parameters; `all` joins several, also plain records.
 *
 * The values are escaped. In a plain record you write the escapes yourself.
 *
 * @example
 * import { FhirSearch } from "effect-safire"
 *
 * export const query = FhirSearch.all(
 *   { status: "final" },
 *   FhirSearch.token("code", { system: "http://loinc.org", code: "8867-4" }),
 *   FhirSearch.date("date", { ge: "2024-01-01", lt: "2025-01-01" }),
 *   FhirSearch.chain("subject:Patient", FhirSearch.string("family", "O'Brien, Jr", { modifier: "exact" })),
 *   FhirSearch.include("Observation:subject"),
 *   FhirSearch.sort("-date"),
 *   FhirSearch.count(100)
 * )
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Params } from "./internal/params.js"
import { pairs } from "./internal/params.js"
import type { Comparable, Component, DateValue, OneOrMore, Quantity, Token } from "./internal/searchValue.js"
import {
  anyOf,
  comparisons,
  escape,
  printComponent,
  printDate,
  printQuantity,
  printToken
} from "./internal/searchValue.js"

export type { Comparable, Component, DateValue, OneOrMore, Prefix, Quantity, Token } from "./internal/searchValue.js"
export { escape } from "./internal/searchValue.js"

/**
 * Names and values in the order of the query.
 *
 * @since 0.1.0
 * @category models
 */
export type Query = ReadonlyArray<readonly [name: string, value: string]>

const one = (name: string, value: string): Query => [[name, value]]

const modified = (name: string, modifier: string | undefined): string =>
  modifier === undefined ? name : `${name}:${modifier}`

const compare = <A>(name: string, value: Comparable<A>, print: (value: A) => string): Query =>
  comparisons(value, print).map((text) => [name, text])

/**
 * A page of a search, from which `resumeSearch` continues, also in another process. Its URL comes from the server and
 * is checked when it is used. It may contain search values: store it like data of patients.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PagePosition = Schema.Struct({ resourceType: Schema.String, url: Schema.String })

/**
 * The type of the schema `PagePosition`.
 *
 * @since 0.1.0
 * @category models
 */
export type PagePosition = typeof PagePosition.Type

/**
 * Joins parameters; a search has to match all of them. Takes plain records, too.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all = (...queries: ReadonlyArray<Params>): Query =>
  queries.flatMap((query) => pairs(query).map(([name, value]) => [name, String(value)] as const))

/**
 * A string parameter: by default the beginning of the text, without regard to case and accents.
 *
 * @since 0.1.0
 * @category parameters
 */
export const string = (
  name: string,
  values: OneOrMore<string>,
  options: { readonly modifier?: "exact" | "contains" | "text" | undefined } = {}
): Query => one(modified(name, options.modifier), anyOf(values, escape))

/**
 * A token parameter: codes, identifiers and booleans. `in` and `not-in` take the URL of a value set, `below` and
 * `above` a code, `text` the display text.
 *
 * @since 0.1.0
 * @category parameters
 */
export const token = (
  name: string,
  values: OneOrMore<Token>,
  options: {
    readonly modifier?: "text" | "code-text" | "not" | "above" | "below" | "in" | "not-in" | undefined
  } = {}
): Query => one(modified(name, options.modifier), anyOf(values, printToken))

/**
 * Identifiers by the type of the identifier (`:of-type`).
 *
 * @since 0.1.0
 * @category parameters
 */
export const ofType = (
  name: string,
  values: OneOrMore<{ readonly system: string; readonly code: string; readonly value: string }>
): Query =>
  one(
    `${name}:of-type`,
    anyOf(values, ({ code, system, value }) => [system, code, value].map(escape).join("|"))
  )

/**
 * A Reference element, by its `reference` or else its `identifier`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReferenceValue {
  readonly reference?: string | undefined
  readonly identifier?: Token | undefined
}

/**
 * Resources by references: an id, `Type/id`, a URL, or a Reference element. `type` restricts the type of the target.
 * References that all have an `identifier` and no `reference` are compared by the identifier (`:identifier`).
 *
 * @since 0.1.0
 * @category parameters
 */
export const reference = (
  name: string,
  values: OneOrMore<string | ReferenceValue>,
  options: { readonly type?: string | undefined } = {}
): Query => {
  const literals = anyOf(values, (value) => escape(typeof value === "string" ? value : value.reference ?? ""))
  // Only separators: none of the references is literal.
  return /^,*$/.test(literals)
    ? one(
      modified(name, "identifier"),
      anyOf(values, (value) => typeof value === "string" ? "" : printToken(value.identifier ?? ""))
    )
    : one(modified(name, options.type), literals)
}

/**
 * A date parameter: `date("birthdate", { ge: "1990", lt: "2000" })`.
 *
 * @since 0.1.0
 * @category parameters
 */
export const date = (name: string, value: Comparable<DateValue>): Query => compare<DateValue>(name, value, printDate)

/**
 * A number parameter: `number("probability", { gt: 0.8 })`. As a text it keeps its precision: `"0.80"` is from 0.795
 * to 0.805.
 *
 * @since 0.1.0
 * @category parameters
 */
export const number = (name: string, value: Comparable<number | string>): Query =>
  compare<number | string>(name, value, (each) => escape(String(each)))

/**
 * A quantity parameter: `quantity("value-quantity", { gt: { value: 5.4, code: "mg" } })`.
 *
 * @since 0.1.0
 * @category parameters
 */
export const quantity = (name: string, value: Comparable<Quantity>): Query => compare(name, value, printQuantity)

/**
 * A parameter of the type `uri`. `below` and `above` compare by the path.
 *
 * @since 0.1.0
 * @category parameters
 */
export const uri = (
  name: string,
  values: OneOrMore<string>,
  options: { readonly modifier?: "below" | "above" | undefined } = {}
): Query => one(modified(name, options.modifier), anyOf(values, escape))

/**
 * A composite parameter: one tuple of parts, or several of which one must match. A part is a code, a quantity, or one
 * comparison: `composite("code-value-quantity", [{ system: "http://loinc.org", code: "8480-6" }, { gt: 140 }])`.
 *
 * @since 0.1.0
 * @category parameters
 */
export const composite = (
  name: string,
  ...tuples: ReadonlyArray<ReadonlyArray<Component>>
): Query => one(name, anyOf(tuples, (tuple) => tuple.map(printComponent).join("$")))

/**
 * Whether the element is absent.
 *
 * @since 0.1.0
 * @category parameters
 */
export const missing = (name: string, isMissing: boolean): Query => one(`${name}:missing`, String(isMissing))

/**
 * Parameters of a referenced resource (chaining): `chain("subject:Patient", FhirSearch.string("name", "peter"))`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const chain = (reference: string, query: Params): Query =>
  all(query).map(([name, value]) => [`${reference}.${name}`, value])

/**
 * Resources that other resources reference (`_has`, reverse chaining): patients with an Observation of a code are
 * `has("Observation", "patient", FhirSearch.token("code", "1234-5"))`. It nests.
 *
 * @since 0.1.0
 * @category combinators
 */
export const has = (resourceType: string, reference: string, query: Params): Query =>
  all(query).map(([name, value]) => [`_has:${resourceType}:${reference}:${name}`, value])

/**
 * With `iterate`, the path is also followed from included resources.
 *
 * @since 0.1.0
 * @category models
 */
export interface IncludeOptions {
  /** Also include resources of included resources (`:iterate`). Default false. */
  readonly iterate?: boolean | undefined
}

/**
 * Also returns the resources that the matches reference: `Observation:subject`, with an optional target type
 * (`Observation:subject:Patient`).
 *
 * @since 0.1.0
 * @category results
 */
export const include = (path: string, { iterate }: IncludeOptions = {}): Query =>
  one(iterate === true ? "_include:iterate" : "_include", path)

/**
 * Also returns the resources that reference the matches: `Provenance:target`.
 *
 * @since 0.1.0
 * @category results
 */
export const revInclude = (path: string, { iterate }: IncludeOptions = {}): Query =>
  one(iterate === true ? "_revinclude:iterate" : "_revinclude", path)

/**
 * The order of the matches by parameters; a minus is descending: `sort("-date", "status")`.
 *
 * @since 0.1.0
 * @category results
 */
export const sort = (...names: ReadonlyArray<string>): Query => one("_sort", names.join(","))

/**
 * The size of a page, which the server may lower. Included resources are not counted.
 *
 * @since 0.1.0
 * @category results
 */
export const count = (matches: number): Query => one("_count", String(matches))

/**
 * Which part of the resources is returned; `count` returns the total alone.
 *
 * @since 0.1.0
 * @category results
 */
export const summary = (part: "true" | "text" | "data" | "count" | "false"): Query => one("_summary", part)

/**
 * The elements that are returned.
 *
 * @since 0.1.0
 * @category results
 */
export const elements = (...names: ReadonlyArray<string>): Query => one("_elements", names.join(","))

/**
 * How exactly the server counts the matches for `Page.total`.
 *
 * @since 0.1.0
 * @category results
 */
export const total = (precision: "none" | "estimate" | "accurate"): Query => one("_total", precision)
