/**
 * Removes known secrets from a server's text. Servers repeat a code, a token or a client secret in their errors, and
 * escape it: for a URL, for HTML, for JSON, in base64, or in several of these at once.
 *
 * @internal
 */
import * as Encoding from "effect/Encoding"

export const REDACTED = "<redacted>"

/** The rest of a text is never shown, so that the work is bounded. */
const WINDOW = 4096
const MAX_SECRET = 16_384
/** Text that is still escaped after this many passes is dropped: it may contain a secret. */
const MAX_PASSES = 4
/** A part of a long secret counts as the secret: the server may have shortened or split it. */
const FRAGMENT = 16
const SHORTEST_LONG = 12
const SHORTEST = 4

/** The UTF-8 bytes of a text, one character each, with the place in the text that each of them came from. */
interface Traced {
  readonly bytes: string
  readonly from: ReadonlyArray<number>
  readonly to: ReadonlyArray<number>
}

const utf8 = new TextEncoder()

const bytesOf = (text: string): string =>
  /^[\u0000-\u007f]*$/.test(text) ? text : Array.from(utf8.encode(text), (byte) => String.fromCharCode(byte)).join("")

const ESCAPE =
  /%([0-9a-f]{2})|&#x([0-9a-f]{1,6});?|&#(\d{1,7});?|&(amp|lt|gt|quot|apos);?|&([a-z]{2,12});|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|\\(.)/gi

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'" }

const charOf = (code: number): string => code > 0x10ffff ? " " : bytesOf(String.fromCodePoint(code))

/**
 * What one escape stands for. An entity of another name is punctuation, and the control characters of JSON are gaps.
 */
const unescaped = (match: RegExpExecArray): string => {
  const [, percent, hexEntity, entity, named, other, unicode, hex, single] = match
  const code = percent ?? hex
  if (code !== undefined) return String.fromCharCode(parseInt(code, 16))
  if (hexEntity !== undefined || unicode !== undefined) return charOf(parseInt(hexEntity ?? unicode ?? "", 16))
  if (entity !== undefined) return charOf(Number(entity))
  if (named !== undefined) return ENTITIES[named.toLowerCase()] ?? " "
  return other !== undefined || /[nrtbf]/.test(single ?? "") ? " " : single ?? ""
}

const traced = (text: string): Traced => {
  const bytes: Array<string> = []
  const from: Array<number> = []
  const to: Array<number> = []
  let at = 0
  for (const char of text) {
    // A secret may be interrupted by control characters, which are not shown either.
    if (!/\p{C}/u.test(char)) {
      for (const byte of bytesOf(char)) {
        bytes.push(byte)
        from.push(at)
        to.push(at + char.length)
      }
    }
    at += char.length
  }
  return { bytes: bytes.join(""), from, to }
}

/** One pass over every kind of escape at once, or `undefined` without one. */
const unescapedOnce = (self: Traced): Traced | undefined => {
  const bytes: Array<string> = []
  const from: Array<number> = []
  const to: Array<number> = []
  const copy = (start: number, end: number): void => {
    for (let at = start; at < end; at++) {
      bytes.push(self.bytes.charAt(at))
      from.push(self.from[at] ?? 0)
      to.push(self.to[at] ?? 0)
    }
  }
  let last = 0
  for (const match of self.bytes.matchAll(ESCAPE)) {
    const end = match.index + match[0].length
    copy(last, match.index)
    for (const byte of unescaped(match)) {
      bytes.push(byte)
      from.push(self.from[match.index] ?? 0)
      to.push(self.to[end - 1] ?? 0)
    }
    last = end
  }
  if (last === 0) return undefined
  copy(last, self.bytes.length)
  return { bytes: bytes.join(""), from, to }
}

/** Letters and digits alone: what every encoding keeps, and what base64 and base64url have in common. */
const isKept = (byte: string): boolean => /[a-z0-9\u0080-\u00ff]/i.test(byte)

const skeletonOf = (bytes: string): string => bytes.toLowerCase().replace(/[^a-z0-9\u0080-\u00ff]/g, "")

const skeletonTraced = (self: Traced): Traced => {
  const kept = Array.from({ length: self.bytes.length }, (_, at) => at).filter((at) => isKept(self.bytes.charAt(at)))
  return {
    bytes: skeletonOf(self.bytes),
    from: kept.map((at) => self.from[at] ?? 0),
    to: kept.map((at) => self.to[at] ?? 0)
  }
}

/**
 * What base64 makes of a secret wherever it stands in what is encoded, without the characters that its neighbours
 * decide.
 */
const base64Of = (secret: string): ReadonlyArray<string> =>
  [0, 1, 2].map((offset) => {
    const encoded = Encoding.encodeBase64(utf8.encode("\u0000".repeat(offset) + secret))
    const complete = Math.floor((offset + utf8.encode(secret).length) * 8 / 6)
    return encoded.slice(Math.ceil(offset * 8 / 6), complete)
  })

const spellingsOf = (secret: string): ReadonlyArray<string> => {
  const encoded = base64Of(secret)
  return [
    bytesOf(secret),
    bytesOf(secret.replaceAll(" ", "+")),
    ...encoded,
    ...encoded.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))
  ]
}

type Mark = (from: number, to: number) => void

const markExact = (text: Traced, spelling: string, mark: Mark): void => {
  for (let at = text.bytes.indexOf(spelling); at >= 0; at = text.bytes.indexOf(spelling, at + 1)) {
    mark(text.from[at] ?? 0, text.to[at + spelling.length - 1] ?? 0)
  }
}

/**
 * Where every run of so many characters stands: looked up once per run of a secret, so that the work is linear in both.
 */
const indexOf = (text: string, length: number): Map<string, Array<number>> => {
  const index = new Map<string, Array<number>>()
  for (let at = 0; at + length <= text.length; at++) {
    const run = text.slice(at, at + length)
    const places = index.get(run)
    if (places === undefined) index.set(run, [at])
    else places.push(at)
  }
  return index
}

const markFragments = (text: Traced, skeletons: ReadonlyArray<string>, mark: Mark): void => {
  const indexes = new Map<number, Map<string, Array<number>>>()
  for (const skeleton of skeletons) {
    const length = Math.min(FRAGMENT, skeleton.length)
    const index = indexes.get(length) ?? indexOf(text.bytes, length)
    indexes.set(length, index)
    for (let at = 0; at + length <= skeleton.length; at++) {
      const run = skeleton.slice(at, at + length)
      for (const place of index.get(run) ?? []) mark(text.from[place] ?? 0, text.to[place + length - 1] ?? 0)
      index.delete(run)
    }
  }
}

/**
 * The beginning of a text without any of `secrets`, however each of them is encoded there. Linear in the lengths of the
 * secrets; the length of the text that counts is bounded.
 */
export const redact = (whole: string, secrets: ReadonlyArray<string>): string => {
  const text = whole.slice(0, WINDOW)
  const known = [...new Set(secrets)].filter((secret) => secret.length >= SHORTEST)
  if (known.length === 0) return text
  const spellings = known.flatMap((secret) => spellingsOf(secret.slice(0, MAX_SECRET)))
  const exact = [...new Set(spellings)]
  const skeletons = [...new Set(spellings.map(skeletonOf))].filter(({ length }) => length >= SHORTEST_LONG)

  // How many marked ranges begin and end at each place.
  const changes = new Int32Array(text.length + 1)
  const mark: Mark = (from, to) => {
    changes[from] = (changes[from] ?? 0) + 1
    changes[to] = (changes[to] ?? 0) - 1
  }
  let level: Traced | undefined = traced(text)
  for (let pass = 0; level !== undefined; pass++) {
    if (pass > MAX_PASSES) return REDACTED
    for (const spelling of exact) markExact(level, spelling, mark)
    markFragments(skeletonTraced(level), skeletons, mark)
    level = unescapedOnce(level)
  }

  let shown = ""
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const before = depth
    depth += changes[at] ?? 0
    if (depth === 0) shown += text.charAt(at)
    else if (before === 0) shown += REDACTED
  }
  return shown
}

/** A JSON Web Token is a credential, also one that this client does not know. */
const JWT = /eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g

/**
 * A server's text as one printable line of limited length, without any of `secrets` in any encoding. Every text of a
 * server passes through here before it becomes part of an error, a warning or a log line.
 */
export const safeText = (text: string, secrets: ReadonlyArray<string>, maxLength = 300): string => {
  const line = redact(text, secrets).replace(JWT, REDACTED).replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim()
  // Half of a surrogate pair is not text.
  return line.length > maxLength ? `${line.slice(0, maxLength).replace(/[\ud800-\udbff]$/, "")}…` : line
}
