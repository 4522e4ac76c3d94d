/**
 * Checks that a line is a FHIR resource in JSON (RFC 8259) without building its value, several times as fast as
 * `JSON.parse`. It accepts only lines that `JSON.parse` accepts. A line that it does not accept may still be valid:
 * `JSON.parse` decides. The bytes must be UTF-8, which is not checked here.
 *
 * @internal
 */

/** The `resourceType` of the line that was checked last: its first byte and the byte after it, without quotes. */
export interface TypeRange {
  from: number
  to: number
}

const TAB = 9
const NEWLINE = 10
const RETURN = 13
const SPACE = 32
const QUOTE = 34
const COMMA = 44
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57
const COLON = 58
const OPENING_BRACKET = 91
const BACKSLASH = 92
const CLOSING_BRACKET = 93
const OPENING_BRACE = 123
const CLOSING_BRACE = 125

const codes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

const RESOURCE_TYPE = codes("resourceType")
const LITERALS: Readonly<Record<number, Uint8Array>> = Object.fromEntries(
  ["true", "false", "null"].map((name) => [name.charCodeAt(0), codes(name)])
)

/** The bytes that may follow a backslash, except `u`. */
const ESCAPED = codes("\"\\/bfnrt")
const HEXADECIMAL = codes("0123456789ABCDEFabcdef")

/** Resources are nested less deeply. */
const MAX_DEPTH = 64

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= ZERO && byte <= NINE

const hasBytes = (bytes: Uint8Array, from: number, expected: Uint8Array): boolean => {
  for (let index = 0; index < expected.length; index++) {
    if (bytes[from + index] !== expected[index]) return false
  }
  return true
}

const isSpace = (byte: number | undefined): boolean => byte === SPACE || byte === TAB || byte === RETURN

/** The index after the white space; a newline ends the line. */
export const skipSpace = (bytes: Uint8Array, from: number): number => {
  let at = from
  while (isSpace(bytes[at])) at += 1
  return at
}

/** The index after an escape that begins after its backslash, or -1. */
const endOfEscape = (bytes: Uint8Array, from: number): number => {
  const byte = bytes[from] ?? 0
  if (byte !== 117) return ESCAPED.includes(byte) ? from + 1 : -1
  for (let at = from + 1; at < from + 5; at++) {
    if (!HEXADECIMAL.includes(bytes[at] ?? 0)) return -1
  }
  return from + 5
}

/** The index of the quote after the rest of a string, or -1. */
const endOfString = (bytes: Uint8Array, from: number, mayEscape: boolean): number => {
  let at = from
  for (;;) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) return at
    if (byte === BACKSLASH) {
      at = mayEscape ? endOfEscape(bytes, at + 1) : -1
      if (at < 0) return -1
    } else if (byte < SPACE) return -1
    else at += 1
  }
}

/** The index after at least one digit, or -1. */
const endOfDigits = (bytes: Uint8Array, from: number): number => {
  let at = from
  while (isDigit(bytes[at])) at += 1
  return at === from ? -1 : at
}

/** The index after a number, or -1. An exponent is left to `JSON.parse`. */
const endOfNumber = (bytes: Uint8Array, from: number): number => {
  const first = bytes[from] === MINUS ? from + 1 : from
  const at = bytes[first] === ZERO ? first + 1 : endOfDigits(bytes, first)
  return at >= 0 && bytes[at] === POINT ? endOfDigits(bytes, at + 1) : at
}

/** The index after `true`, `false` or `null`, or -1. */
const endOfLiteral = (bytes: Uint8Array, from: number): number => {
  const literal = LITERALS[bytes[from] ?? 0]
  return literal !== undefined && hasBytes(bytes, from, literal) ? from + literal.length : -1
}

const isResourceType = (bytes: Uint8Array, from: number, to: number): boolean =>
  to - from === RESOURCE_TYPE.length && hasBytes(bytes, from, RESOURCE_TYPE)

/** Whether each open bracket is that of an object. */
const isObjectAt = new Uint8Array(MAX_DEPTH + 1)

/**
 * The index after the newline of a line that is an object with a non-empty text as `resourceType`, or -1 for a line
 * that `JSON.parse` must check. `type` is set. `view` has the same bytes.
 */
export const endOfResource = (bytes: Uint8Array, view: DataView, from: number, type: TypeRange): number => {
  if (bytes[from] !== OPENING_BRACE) return -1
  type.from = type.to = 0
  const lastWord = view.byteLength - 4
  let at = from + 1
  let depth = 1
  let isObject = true
  isObjectAt[depth] = 1
  let isKey = true
  let isType = false
  for (;;) {
    // Most values follow without white space: the call would take as long as the rest.
    if ((bytes[at] ?? 0) <= SPACE) at = skipSpace(bytes, at)
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) {
      const start = at + 1
      at = start
      // Four bytes at a time, because most bytes are in strings. In a function, it would take half as long again.
      while (at <= lastWord) {
        const word = view.getInt32(at, true)
        // Without this bit, a quote is the smallest byte after the control characters.
        const quote = word ^ 0x02020202
        const backslash = word ^ 0x5c5c5c5c
        // The lowest bit is that of the first quote, backslash or control character.
        const found = (((quote - 0x21212121) & ~quote) | ((backslash - 0x01010101) & ~backslash)) & 0x80808080
        if (found !== 0) {
          at += (31 - Math.clz32(found & -found)) >> 3
          break
        }
        at += 4
      }
      // With an escape, a name could also be `resourceType`.
      if (bytes[at] !== QUOTE) at = endOfString(bytes, at, !isKey && !isType)
      if (at < 0) return -1
      const end = at
      at += 1
      if (isKey) {
        isType = depth === 1 && isResourceType(bytes, start, end)
        if ((bytes[at] ?? 0) <= SPACE) at = skipSpace(bytes, at)
        if (bytes[at] !== COLON) return -1
        at += 1
        isKey = false
        continue
      }
      if (isType) {
        isType = false
        type.from = start
        type.to = end
      }
    } else if (isKey || isType) return -1
    else if (byte === OPENING_BRACE || byte === OPENING_BRACKET) {
      if (depth === MAX_DEPTH) return -1
      depth += 1
      isObject = isKey = byte === OPENING_BRACE
      isObjectAt[depth] = isObject ? 1 : 0
      at = skipSpace(bytes, at + 1)
      // The end of an empty one is processed below.
      if (bytes[at] !== byte + 2) continue
      isKey = false
    } else {
      at = byte === MINUS || isDigit(byte) ? endOfNumber(bytes, at) : endOfLiteral(bytes, at)
      if (at < 0) return -1
    }
    for (;;) {
      if ((bytes[at] ?? 0) <= SPACE) at = skipSpace(bytes, at)
      const next = bytes[at]
      at += 1
      if (next === COMMA) {
        isKey = isObject
        break
      }
      if (next !== (isObject ? CLOSING_BRACE : CLOSING_BRACKET)) return -1
      depth -= 1
      if (depth === 0) {
        at = skipSpace(bytes, at)
        return bytes[at] === NEWLINE && type.to > type.from ? at + 1 : -1
      }
      isObject = isObjectAt[depth] === 1
    }
  }
}
