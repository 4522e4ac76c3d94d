/**
 * Reading the members of a JSON object that a server wrote: a member of the wrong shape counts as absent and is named, so that one sloppy member
 * does not cost the whole document.
 */
import * as Predicate from "effect/Predicate"

/** @internal */
export type JsonObject = Readonly<Record<string, unknown>>

/** @internal */
export const isJsonObject = (value: unknown): value is JsonObject => Predicate.isRecord(value)

/**
 * What `text` holds, if it is JSON: a byte order mark is tolerated, nothing is thrown.
 *
 * @internal
 */
export const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text) }
  } catch {
    return undefined
  }
}

/** @internal */
export interface Reader {
  readonly string: (member: string) => string | undefined
  readonly strings: (member: string) => ReadonlyArray<string> | undefined
  readonly boolean: (member: string) => boolean | undefined
  readonly object: (member: string) => JsonObject | undefined
  readonly objects: (member: string) => ReadonlyArray<JsonObject> | undefined
}

/** `null` is how many servers say absent: no problem is made of it. */
const read = <A>(
  object: JsonObject,
  refuse: (member: string, expected: string) => void,
  expected: string,
  is: (value: unknown) => value is A
) =>
(member: string): A | undefined => {
  const value = Object.hasOwn(object, member) ? object[member] : undefined
  if (value === undefined || value === null) return undefined
  if (is(value)) return value
  refuse(member, expected)
  return undefined
}

const isNonEmptyString = (value: unknown): value is string => typeof value === "string" && value !== ""
const isArrayOf = <A>(is: (value: unknown) => value is A) => (value: unknown): value is ReadonlyArray<A> =>
  Array.isArray(value) && value.every(is)

/** @internal */
export const reader = (object: JsonObject, refuse: (member: string, expected: string) => void): Reader => ({
  string: read(object, refuse, "a non-empty string", isNonEmptyString),
  strings: read(object, refuse, "an array of strings", isArrayOf(Predicate.isString)),
  boolean: read(object, refuse, "a boolean", Predicate.isBoolean),
  object: read(object, refuse, "an object", isJsonObject),
  objects: read(object, refuse, "an array of objects", isArrayOf(isJsonObject))
})

/**
 * The members whose names are not in `known`.
 *
 * @internal
 */
export const others = (object: JsonObject, known: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).filter(([member]) => !known.has(member)))
