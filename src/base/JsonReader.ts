/**
 * Reading the members of a JSON object that a server wrote: a member of the wrong shape counts as absent and is named, so that one sloppy member
 * does not cost the whole document.
 */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

/** @internal */
export type JsonObject = Readonly<Record<string, unknown>>

/** @internal */
export const isJsonObject = (value: unknown): value is JsonObject => Predicate.isRecord(value)

/** Where a number may be too large: an exponent of three digits, or three hundred digits. Each run of digits is looked at once, not from each of its digits. */
const MAYBE_INFINITE = /[eE]\+?\d{3}|(?<!\d)\d{300}/

/** `1e999` is valid JSON, is read as `Infinity`, and could not be written again. A list instead of recursion: a document may nest without end. */
const withoutInfinity = (root: unknown): unknown => {
  if (typeof root === "number") return Number.isFinite(root) ? root : null
  const open = [root]
  for (const value of open) {
    if (typeof value !== "object" || value === null) continue
    for (const [name, member] of Object.entries(value)) {
      if (typeof member === "object") open.push(member)
      // Assigning to `__proto__` would change the prototype instead.
      else if (typeof member === "number" && !Number.isFinite(member)) {
        Object.defineProperty(value, name, { value: null, enumerable: true, writable: true, configurable: true })
      }
    }
  }
  return root
}

/**
 * What `text` holds, if it is JSON: a byte order mark is tolerated, nothing is thrown. A number too large for JavaScript is `null`.
 *
 * @internal
 */
export const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    const json = text.startsWith("\uFEFF") ? text.slice(1) : text
    const value: unknown = JSON.parse(json)
    return { value: MAYBE_INFINITE.test(json) ? withoutInfinity(value) : value }
  } catch {
    return undefined
  }
}

/** Deeper nesting means nothing in OAuth, and `JSON.stringify`, `structuredClone` and schemas recurse. */
const MAX_DEPTH = 64

const isTooDeep = (value: unknown): boolean => {
  let level: Array<unknown> = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    const next: Array<unknown> = []
    for (const one of level) {
      if (typeof one !== "object" || one === null) continue
      for (const inner of Object.values(one)) next.push(inner)
    }
    level = next
  }
  return false
}

/**
 * The members that code which recurses can handle. One that nests too deep, or that would set a prototype where it is copied, counts as absent and is named.
 *
 * @internal
 */
export const withoutDeepMembers = (
  object: JsonObject,
  refuse: (member: string, expected: string) => void
): JsonObject => {
  const bad = Object.keys(object).filter((member) => member === "__proto__" || isTooDeep(object[member]))
  if (bad.length === 0) return object
  for (const member of bad) refuse(member, `a value of at most ${MAX_DEPTH} levels`)
  return others(object, new Set(bad))
}

/** @internal */
export interface JsonReader {
  readonly string: (member: string) => string | undefined
  readonly redacted: (member: string) => Redacted.Redacted | undefined
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
export const reader = (object: JsonObject, refuse: (member: string, expected: string) => void): JsonReader => {
  const string = read(object, refuse, "a non-empty string", isNonEmptyString)
  return {
    string,
    redacted: (member) => {
      const value = string(member)
      return value === undefined ? undefined : Redacted.make(value)
    },
    strings: read(object, refuse, "an array of strings", isArrayOf(Predicate.isString)),
    boolean: read(object, refuse, "a boolean", Predicate.isBoolean),
    object: read(object, refuse, "an object", isJsonObject),
    objects: read(object, refuse, "an array of objects", isArrayOf(isJsonObject))
  }
}

/**
 * The members whose names are not in `known`.
 *
 * @internal
 */
export const others = (object: JsonObject, known: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).filter(([member]) => !known.has(member)))
