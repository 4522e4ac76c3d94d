/**
 * Distinguished names and general names of X.509 (RFC 5280, sections 4.1.2.4, 4.2.1.6 and 7.1), read from DER.
 */
import { safeText } from "../../http/Redaction.js"
import * as der from "./der.js"

/**
 * A distinguished name: one comparable text for each relative name, and what may be shown of the whole.
 *
 * @internal
 */
export interface Name {
  readonly rdns: ReadonlyArray<string>
  readonly display: string
  readonly emails: ReadonlyArray<string>
}

/** @internal */
export const sameName = (a: Name, b: Name): boolean =>
  a.rdns.length === b.rdns.length && a.rdns.every((rdn, i) => rdn === b.rdns[i])

const EMAIL = "2a864886f70d010901"

const SHORT: Readonly<Record<string, string>> = {
  "550403": "CN",
  "550406": "C",
  "550407": "L",
  "550408": "ST",
  "55040a": "O",
  "55040b": "OU",
  [EMAIL]: "emailAddress"
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** The character sets that a directory string may have. */
const CHARSETS: Readonly<Record<number, string>> = {
  0x0c: "utf-8",
  0x12: "latin1",
  0x13: "latin1",
  0x14: "latin1",
  0x16: "latin1",
  0x1a: "latin1",
  0x1e: "utf-16be"
}

const decode = (bytes: Uint8Array, element: der.Element): string | undefined => {
  const charset = CHARSETS[element.tag]
  return charset === undefined ? undefined : new TextDecoder(charset).decode(der.contentOf(bytes, element))
}

/** RFC 5280, section 7.1 and RFC 4518: case and white space do not matter, nor does the string type. */
const prepared = (text: string): string => text.normalize("NFKC").toLowerCase().trim().replace(/\s+/g, " ")

/** @internal */
export const readName = (bytes: Uint8Array, element: der.Element): Name | undefined => {
  const sets = element.tag === der.Tag.sequence ? der.children(bytes, element) : undefined
  if (sets === undefined) return undefined
  const rdns: Array<string> = []
  const shown: Array<string> = []
  const emails: Array<string> = []
  for (const set of sets) {
    const attributes = set.tag === der.Tag.set ? der.children(bytes, set) : undefined
    if (attributes === undefined || attributes.length === 0) return undefined
    const keys: Array<string> = []
    for (const attribute of attributes) {
      const [type = der.absent, value, ...rest] = der.partsOf(bytes, attribute)
      if (type.tag !== der.Tag.oid || value === undefined || rest.length > 0) return undefined
      const oid = hex(der.contentOf(bytes, type))
      const text = decode(bytes, value)
      keys.push(`${oid}=${text === undefined ? `#${hex(der.encodingOf(bytes, value))}` : prepared(text)}`)
      if (oid === EMAIL && text !== undefined) emails.push(text)
      const label = SHORT[oid]
      if (label !== undefined && text !== undefined) shown.push(`${label}=${text}`)
    }
    rdns.push(keys.sort().join("\u0000"))
  }
  // The common name is last in DER, and first for people.
  return { rdns, display: safeText(shown.reverse().join(", "), [], 100) || "without a name", emails }
}

/** @internal */
export type GeneralName =
  | { readonly form: "uri" | "dns" | "email"; readonly value: string }
  | { readonly form: "directory"; readonly value: Name }
  | { readonly form: "ip"; readonly value: Uint8Array }
  | { readonly form: "other"; readonly value: number }

const TEXT: Readonly<Record<number, "uri" | "dns" | "email">> = { 0x81: "email", 0x82: "dns", 0x86: "uri" }

/** Names of another form, an X.400 address, an EDI party and a registered identifier. */
const OTHER: ReadonlySet<number> = new Set([0xa0, 0xa3, 0xa5, 0x88])

/** @internal */
export const readGeneralName = (bytes: Uint8Array, element: der.Element): GeneralName | undefined => {
  const form = TEXT[element.tag]
  if (form !== undefined) {
    const value = der.ascii(der.contentOf(bytes, element))
    return value === undefined ? undefined : { form, value }
  }
  if (element.tag === 0xa4) {
    const inner = der.read(bytes, element.content, element.end)
    const value = inner?.end === element.end ? readName(bytes, inner) : undefined
    return value === undefined ? undefined : { form: "directory", value }
  }
  if (element.tag === 0x87) return { form: "ip", value: der.contentOf(bytes, element) }
  return OTHER.has(element.tag) ? { form: "other", value: element.tag } : undefined
}

/**
 * The general names inside `parent`.
 *
 * @internal
 */
export const readGeneralNames = (bytes: Uint8Array, parent: der.Element): ReadonlyArray<GeneralName> | undefined => {
  const names = der.children(bytes, parent)?.map((element) => readGeneralName(bytes, element))
  return names?.every((name) => name !== undefined) === true ? names : undefined
}

/** @internal */
export const uris = (names: ReadonlyArray<GeneralName>): ReadonlyArray<string> =>
  names.flatMap((name) => name.form === "uri" ? [name.value] : [])
