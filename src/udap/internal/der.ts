/**
 * A strict reader of DER (X.690): definite and minimal lengths, one-byte tags. It bounds untrusted input before `pkijs`
 * sees it, because `asn1js` also accepts BER and bytes after the value, and it reads what `pkijs` would be too slow
 * for.
 */

import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** @internal */
export interface Element {
  readonly tag: number
  /** The start of the element, the start of its content, and its end. */
  readonly start: number
  readonly content: number
  readonly end: number
}

/** @internal */
export const Tag = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
} as const

/**
 * The element at `offset`, if it ends at or before `limit`.
 *
 * @internal
 */
export const read = (bytes: Uint8Array, offset: number, limit: number): Element | undefined => {
  const tag = bytes[offset] ?? 0
  // Where bytes are missing: a length without end, which DER does not have.
  const first = bytes[offset + 1] ?? 0x80
  // A tag number of 31 or more needs further bytes; X.509 has none.
  if ((tag & 0x1f) === 0x1f) return undefined
  if (first < 0x80) {
    const end = offset + 2 + first
    return end > limit ? undefined : { tag, start: offset, content: offset + 2, end }
  }
  const content = offset + 2 + (first & 0x7f)
  let length = 0
  // Beyond the limit the length does not matter.
  for (let i = offset + 2; i < content; i++) length = length * 256 + (bytes[i] ?? 0)
  // DER, section 10.1: the shortest form.
  if (length < 0x80 || (bytes[offset + 2] ?? 0) === 0) return undefined
  const end = content + length
  return end > limit ? undefined : { tag, start: offset, content, end }
}

/**
 * The one element that `bytes` is.
 *
 * @internal
 */
export const single = (bytes: Uint8Array): Element | undefined => {
  const element = read(bytes, 0, bytes.length)
  return element?.end === bytes.length ? element : undefined
}

/**
 * The elements inside a constructed one, if there are no more than `max`.
 *
 * @internal
 */
export const children = (bytes: Uint8Array, parent: Element, max = 1_000): ReadonlyArray<Element> | undefined => {
  const found: Array<Element> = []
  for (let offset = parent.content; offset < parent.end;) {
    const element = read(bytes, offset, parent.end)
    if (element === undefined || found.length === max) return undefined
    found.push(element)
    offset = element.end
  }
  return found
}

/** In the place of a part that is missing. */
export const absent: Element = { tag: 0, start: 0, content: 0, end: 0 }

/**
 * The parts of a SEQUENCE. Empty for any other element, and for one that is malformed.
 *
 * @internal
 */
export const partsOf = (bytes: Uint8Array, element: Element | undefined, max?: number): ReadonlyArray<Element> =>
  element?.tag === Tag.sequence ? children(bytes, element, max) ?? [] : []

/** @internal */
export const contentOf = (bytes: Uint8Array, { content, end }: Element): Uint8Array => bytes.subarray(content, end)

/** @internal */
export const encodingOf = (bytes: Uint8Array, { end, start }: Element): Uint8Array => bytes.subarray(start, end)

/** @internal */
export const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

/**
 * The text of an IA5String: ASCII, without control characters.
 *
 * @internal
 */
export const ascii = (bytes: Uint8Array): string | undefined =>
  bytes.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...bytes) : undefined

/**
 * An OBJECT IDENTIFIER with dots. A part beyond what a number holds makes it differ from all that are known, which is
 * all it is compared with.
 *
 * @internal
 */
export const oid = (bytes: Uint8Array, element: Element): string => {
  const parts: Array<number> = []
  let part = 0
  for (const byte of contentOf(bytes, element)) {
    part = part * 128 + (byte & 0x7f)
    if ((byte & 0x80) !== 0) continue
    if (parts.length === 0) {
      const first = Math.min(2, Math.floor(part / 40))
      parts.push(first, part - first * 40)
    } else parts.push(part)
    part = 0
  }
  return parts.join(".")
}

/**
 * Milliseconds of a UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5: Zulu, with seconds, without fractions).
 *
 * @internal
 */
export const time = (bytes: Uint8Array, element: Element): number | undefined => {
  const text = ascii(contentOf(bytes, element)) ?? ""
  const digits = element.tag === Tag.utcTime
    ? `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`
    : element.tag === Tag.generalizedTime
    ? text
    : ""
  const iso = digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6.000Z")
  const at = iso === digits ? Option.none() : DateTime.make(iso)
  // A 31st of February would be another day.
  return Option.isSome(at) && DateTime.formatIso(at.value) === iso ? DateTime.toEpochMillis(at.value) : undefined
}

/** @internal */
export interface Limits {
  readonly depth: number
  readonly elements: number
}

/**
 * How many elements `bytes` holds, also inside octet and bit strings, whose content `asn1js` tries to read as ASN.1.
 *
 * @internal
 */
export const count = (bytes: Uint8Array, limits: Limits): number | "Malformed" | "TooLarge" => {
  let total = 0
  /** Whether the whole range is well-formed; `undefined` once a limit is passed. */
  const walk = (from: number, to: number, depth: number): boolean | undefined => {
    if (depth > limits.depth) return undefined
    for (let offset = from; offset < to;) {
      const element = read(bytes, offset, to)
      if (element === undefined) return false
      if (++total > limits.elements) return undefined
      const { content, end, tag } = element
      if ((tag & 0x20) !== 0) {
        const inside = walk(content, end, depth + 1)
        if (inside !== true) return inside
      } else if (tag === Tag.octetString || tag === Tag.bitString) {
        // Content other than ASN.1 is allowed, but a limit applies.
        if (walk(content + (tag === Tag.bitString ? 1 : 0), end, depth + 1) === undefined) return undefined
      }
      offset = end
    }
    return true
  }
  const whole = single(bytes) === undefined ? false : walk(0, bytes.length, 0)
  return whole === undefined ? "TooLarge" : whole ? total : "Malformed"
}
