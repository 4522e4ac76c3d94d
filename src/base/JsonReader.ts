/**
 * Reads the members of a JSON object (RFC 8259) of a server. A member of the wrong type counts as absent and is
 * reported, so that one malformed member does not invalidate the document.
 */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

/** @internal */
export type JsonObject = Readonly<Record<string, unknown>>

/** @internal */
export const isJsonObject = (value: unknown): value is JsonObject => Predicate.isRecord(value)

/** Where an exponent may be too large: three digits. */
const LARGE_EXPONENT = /\d[eE]\+?\d{3}/

/** With an exponent of two digits, a number of fewer digits is finite. */
const MANY_DIGITS = 200

const isDigit = (text: string, index: number): boolean => {
  const code = text.charCodeAt(index)
  return code >= 48 && code <= 57
}

/** Whether the text has that many digits in a row. Such a row has one of the indexes that are looked at. */
const hasManyDigits = (text: string): boolean => {
  for (let index = MANY_DIGITS - 1; index < text.length; index += MANY_DIGITS) {
    if (!isDigit(text, index)) continue
    let [from, to] = [index, index + 1]
    // Shorter than two steps of the index, or the index before would have found the row.
    while (isDigit(text, from - 1)) from -= 1
    while (isDigit(text, to)) to += 1
    if (to - from >= MANY_DIGITS) return true
  }
  return false
}

/** Whether a number may be too large for JavaScript. Each text is searched, so the search is fast and linear. */
const mayHaveInfinity = (text: string): boolean => LARGE_EXPONENT.test(text) || hasManyDigits(text)

/**
 * `1e999` is valid JSON, but `JSON.parse` reads it as `Infinity`, which cannot be encoded. A list instead of
 * recursion: the nesting depth is not limited.
 */
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

const withoutByteOrderMark = (text: string): string => text.charCodeAt(0) === 0xfeff ? text.slice(1) : text

/**
 * The JSON value of a text, or `undefined`. A byte order mark is tolerated; a number too large for JavaScript becomes
 * `null`.
 *
 * @internal
 */
export const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(withoutByteOrderMark(text))
    return { value: mayHaveInfinity(text) ? withoutInfinity(value) : value }
  } catch {
    return undefined
  }
}

/**
 * `parseJson` for the lines of a text, which is searched for large numbers once. Returns `undefined` for what is not
 * JSON.
 *
 * @internal
 */
export const lineParser = (text: string): (line: string) => unknown => {
  if (mayHaveInfinity(text)) return (line) => parseJson(line)?.value
  return (line) => {
    try {
      return JSON.parse(withoutByteOrderMark(line))
    } catch {
      return undefined
    }
  }
}

/** OAuth uses no deeper nesting; `JSON.stringify`, `structuredClone` and schemas recurse. */
const MAX_DEPTH = 64

const isTooDeep = (value: unknown): boolean => {
  // Most members of a response are text.
  if (typeof value !== "object") return false
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
 * The members that recursive code can process. A member with too deep nesting, or with the name `__proto__`, counts as
 * absent and is reported.
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

type Refuse = (member: string, expected: string) => void

/** `null` counts as absent and is not reported: many servers send it. */
const read =
  <A>(object: JsonObject, refuse: Refuse, expected: string, is: (value: unknown) => value is A) =>
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
const isArrayOfStrings = isArrayOf(Predicate.isString)
const isArrayOfObjects = isArrayOf(isJsonObject)

/**
 * Reads members by their types. A getter makes its function at each access: take the functions that you need once.
 *
 * @internal
 */
export class JsonReader {
  constructor(private readonly members: JsonObject, private readonly refuse: Refuse) {}

  get string(): (member: string) => string | undefined {
    return read(this.members, this.refuse, "a non-empty string", isNonEmptyString)
  }

  get redacted(): (member: string) => Redacted.Redacted | undefined {
    const { string } = this
    return (member) => {
      const value = string(member)
      return value === undefined ? undefined : Redacted.make(value)
    }
  }

  get strings(): (member: string) => ReadonlyArray<string> | undefined {
    return read(this.members, this.refuse, "an array of strings", isArrayOfStrings)
  }

  get boolean(): (member: string) => boolean | undefined {
    return read(this.members, this.refuse, "a boolean", Predicate.isBoolean)
  }

  get object(): (member: string) => JsonObject | undefined {
    return read(this.members, this.refuse, "an object", isJsonObject)
  }

  get objects(): (member: string) => ReadonlyArray<JsonObject> | undefined {
    return read(this.members, this.refuse, "an array of objects", isArrayOfObjects)
  }
}

/** @internal */
export const reader = (object: JsonObject, refuse: Refuse): JsonReader => new JsonReader(object, refuse)

/**
 * The members whose names are not in `known`.
 *
 * @internal
 */
export const others = (object: JsonObject, known: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(
    Object.keys(object).filter((member) => !known.has(member)).map((member) => [member, object[member]])
  )
