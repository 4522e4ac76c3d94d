/**
 * The values of search parameters in text, with FHIR's prefixes and escapes (FHIR R4, sections 3.1.1.4 and 3.1.1.5).
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"

/**
 * One value, or several of which one must match (FHIR's "or"). For "and", pass the parameter twice to `all`.
 *
 * @since 0.1.0
 * @category models
 */
export type OneOrMore<A> = A | ReadonlyArray<A>

/**
 * A code: without a system (any system matches), in a system, or in no system (`system: ""`); a system alone matches
 * all its codes. A Coding and an Identifier have this form.
 *
 * @since 0.1.0
 * @category models
 */
export type Token =
  | string
  | boolean
  | { readonly system?: string | undefined; readonly code?: string | undefined; readonly value?: string | undefined }

/**
 * A number with a unit. Without `system` and `code`, the unit is not compared.
 *
 * @since 0.1.0
 * @category models
 */
export type Quantity = number | {
  readonly value: number | string
  readonly system?: string | undefined
  readonly code?: string | undefined
}

/**
 * A date in the precision that it is compared in (`2024`, `2024-05`, `2024-05-17T12:00:00Z`), or an instant.
 *
 * @since 0.1.0
 * @category models
 */
export type DateValue = string | DateTime.DateTime

/**
 * The prefixes of numbers, dates and quantities. `sa` and `eb`: starts after, ends before; `ap`: approximately.
 *
 * @since 0.1.0
 * @category models
 */
export type Prefix = "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap"

/**
 * A value, several of which one must match, or comparisons that must all hold: `{ ge: "2024", lt: "2025" }`.
 *
 * @since 0.1.0
 * @category models
 */
export type Comparable<A> = OneOrMore<A> | { readonly [P in Prefix]?: OneOrMore<A> | undefined }

/**
 * A part of a composite value.
 *
 * @since 0.1.0
 * @category models
 */
export type Component = Token | Quantity | { readonly [P in Prefix]?: DateValue | Quantity | undefined }

const PREFIXES: ReadonlyArray<Prefix> = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]

/**
 * A text in which `\`, `,`, `$` and `|` have no meaning (FHIR R4, section 3.1.1.5.7), for values in plain records.
 *
 * @since 0.1.0
 * @category constructors
 */
export const escape = (text: string): string => text.replace(/[\\,$|]/g, "\\$&")

const isList = <A>(value: OneOrMore<A> | object): value is ReadonlyArray<A> => Array.isArray(value)

export const anyOf = <A>(values: OneOrMore<A>, print: (value: A) => string): string =>
  (isList<A>(values) ? values : [values]).map(print).join(",")

export const printToken = (token: Token): string => {
  if (typeof token === "string") return escape(token)
  if (typeof token === "boolean") return String(token)
  const { system } = token
  const code = escape(token.code ?? token.value ?? "")
  return system === undefined ? code : `${escape(system)}|${code}`
}

export const printDate = (date: DateValue): string => typeof date === "string" ? escape(date) : DateTime.formatIso(date)

export const printQuantity = (quantity: Quantity): string => {
  if (typeof quantity === "number") return String(quantity)
  const { code, system, value } = quantity
  const number = escape(String(value))
  return system === undefined && code === undefined ? number : `${number}|${escape(system ?? "")}|${escape(code ?? "")}`
}

type Comparison<A> = { readonly [P in Prefix]?: OneOrMore<A> | undefined }

const isComparison = <A>(value: unknown): value is Comparison<A> =>
  typeof value === "object" && value !== null && PREFIXES.some((prefix) => Object.hasOwn(value, prefix))

/** The texts of which all must match. */
export const comparisons = <A>(value: Comparable<A>, print: (value: A) => string): ReadonlyArray<string> =>
  isComparison(value)
    ? PREFIXES.flatMap((prefix) => {
      const operand = value[prefix]
      return operand === undefined ? [] : [anyOf(operand, (each) => prefix + print(each))]
    })
    : [anyOf(value, print)]

const printOperand = (operand: DateValue | Quantity): string =>
  typeof operand === "string" || DateTime.isDateTime(operand) ? printDate(operand) : printQuantity(operand)

/** A value in text is that of an Identifier; with a code, it is that of a Quantity. */
const isToken = (component: Token | Quantity): component is Token =>
  typeof component !== "number" &&
  !(typeof component === "object" && (typeof component.value === "number" ||
    (component.value !== undefined && component.code !== undefined)))

export const printComponent = (component: Component): string =>
  isComparison<DateValue | Quantity>(component)
    ? comparisons<DateValue | Quantity>(component, printOperand)[0] ?? ""
    : isToken(component)
    ? printToken(component)
    : printQuantity(component)
