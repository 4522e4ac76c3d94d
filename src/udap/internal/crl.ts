/**
 * Certificate revocation lists (RFC 5280, sections 5 and 6.3.3). The list of revoked certificates is scanned as bytes
 * and in portions, because parsing it costs 100 µs an entry: the event loop goes on while a list of 16 MiB is searched.
 */
import * as asn1 from "asn1js"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as pki from "pkijs"
import { allows, basicConstraints, type Certificate, extensionOf, Oid } from "./certificate.js"
import * as der from "./der.js"
import * as names from "./names.js"
import { iso, type Times } from "./pathRules.js"
import { algorithmProblem, type Signed, verifies } from "./signature.js"

/** The certificates that a list covers, if it does not cover all of its issuer (5.2.5). */
interface Scope {
  readonly points: ReadonlyArray<names.GeneralName> | undefined
  readonly only: "Users" | "Authorities" | undefined
}

/** @internal */
export interface Crl {
  readonly der: Uint8Array
  readonly issuer: names.Name
  readonly thisUpdate: number
  readonly nextUpdate: number
  readonly revoked: der.Element | undefined
  readonly scope: Scope
  readonly signed: Signed
}

/**
 * The reason why a list cannot be used: the rule, and the problem.
 *
 * @internal
 */
export interface Unusable {
  readonly rule: string
  readonly detail: string
}

const unusable = (rule: string, detail: string): Unusable => ({ rule: `RFC 5280, ${rule}`, detail })

const malformed = unusable("5.1", "it is not one DER-encoded CRL of version 2")

const CRL_NUMBER = "2.5.29.20"
const DELTA = "2.5.29.27"
const ISSUING_DISTRIBUTION_POINT = "2.5.29.28"

/**
 * The full names of a `DistributionPointName`; `undefined` for one relative to the issuer, and for what is malformed.
 */
const readPoint = (bytes: Uint8Array, name: der.Element): ReadonlyArray<names.GeneralName> | undefined => {
  const [full, ...more] = der.children(bytes, name) ?? []
  return full?.tag === 0xa0 && more.length === 0 ? names.readGeneralNames(bytes, full) : undefined
}

const samePoint = (a: names.GeneralName, b: names.GeneralName): boolean =>
  (a.form === "uri" && b.form === "uri" && a.value === b.value) ||
  (a.form === "directory" && b.form === "directory" && names.sameName(a.value, b.value))

const readScope = (value: Uint8Array): Either.Either<Scope, Unusable> => {
  const rule = "5.2.5"
  const sequence = der.single(value)
  const parts = sequence?.tag === der.Tag.sequence ? der.children(value, sequence) : undefined
  if (parts === undefined) return Either.left(unusable(rule, "its scope is malformed"))
  const isSet = (tag: number) => parts.some((part) => part.tag === tag && value[part.content] !== 0)
  if (parts.some(({ tag }) => tag === 0x83)) return Either.left(unusable(rule, "it covers some reasons only"))
  if (isSet(0x84)) return Either.left(unusable(rule, "it is an indirect CRL"))
  if (isSet(0x85)) return Either.left(unusable(rule, "it covers attribute certificates only"))
  const point = parts.find(({ tag }) => tag === 0xa0)
  const points = point === undefined ? undefined : readPoint(value, point)
  if (point !== undefined && points === undefined) {
    return Either.left(unusable(rule, "its distribution point has no full name"))
  }
  return Either.right({ points, only: isSet(0x81) ? "Users" : isSet(0x82) ? "Authorities" : undefined })
}

/** Of a list and of each entry. A few are defined. */
const MAX_EXTENSIONS = 32
/** Everything but the list of revoked certificates is small. */
const MAX_NAME_BYTES = 4_096

interface CrlExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

const readExtensions = (bytes: Uint8Array, list: der.Element): ReadonlyArray<CrlExtension> | undefined => {
  const found = der.children(bytes, list, MAX_EXTENSIONS)?.map((extension): CrlExtension | undefined => {
    const [type = der.absent, first = der.absent, second, ...more] = der.partsOf(bytes, extension)
    const value = second ?? first
    if (type.tag !== der.Tag.oid || value.tag !== der.Tag.octetString || more.length > 0) return undefined
    return {
      oid: der.oid(bytes, type),
      critical: second !== undefined && bytes[first.content] !== 0,
      value: der.contentOf(bytes, value)
    }
  })
  return found?.every((extension) => extension !== undefined) === true ? found : undefined
}

/** The extensions of a list: one sequence with an explicit tag. */
const readExplicit = (bytes: Uint8Array, explicit: der.Element): ReadonlyArray<CrlExtension> | undefined => {
  const inner = der.contentOf(bytes, explicit)
  const list = der.single(inner)
  return list?.tag === der.Tag.sequence ? readExtensions(inner, list) : undefined
}

const scopeOf = (extensions: ReadonlyArray<CrlExtension>): Either.Either<Scope, Unusable> => {
  if (new Set(extensions.map(({ oid }) => oid)).size !== extensions.length) {
    return Either.left(unusable("5.2", "it has an extension twice"))
  }
  for (const { critical, oid } of extensions) {
    if (oid === DELTA) return Either.left(unusable("5.2.4", "it is a delta CRL"))
    if (critical && oid !== ISSUING_DISTRIBUTION_POINT && oid !== CRL_NUMBER && oid !== Oid.authorityKeyIdentifier) {
      return Either.left(unusable("5.2", `it has the unknown critical extension ${oid}`))
    }
  }
  const scope = extensions.find(({ oid }) => oid === ISSUING_DISTRIBUTION_POINT)
  return scope === undefined ? Either.right({ points: undefined, only: undefined }) : readScope(scope.value)
}

const parseAlgorithm = (bytes: Uint8Array, element: der.Element) =>
  Either.try(() =>
    new pki.AlgorithmIdentifier({ schema: asn1.fromBER(new Uint8Array(der.encodingOf(bytes, element))).result })
  )

/** The parts of `TBSCertList`: the list and its extensions are optional, and `nextUpdate` is expected (5.1.2.5). */
const readParts = (bytes: Uint8Array, tbs: der.Element | undefined) => {
  const { absent, partsOf } = der
  const [version = absent, algorithm = absent, issuer = absent, thisUpdate = absent, nextUpdate = absent, ...rest] =
    partsOf(bytes, tbs, 7)
  const takeIf = (tag: number) => rest[0]?.tag === tag ? rest.shift() : undefined
  const revoked = takeIf(der.Tag.sequence)
  const explicit = takeIf(0xa0)
  if (
    !der.equal(der.encodingOf(bytes, version), new Uint8Array([2, 1, 1])) || rest.length > 0 ||
    issuer.end - issuer.start > MAX_NAME_BYTES
  ) return undefined
  const name = names.readName(bytes, issuer)
  const from = der.time(bytes, thisUpdate)
  const extensions = explicit === undefined ? [] : readExplicit(bytes, explicit)
  if (name === undefined || from === undefined || extensions === undefined) return undefined
  return {
    algorithm,
    issuer: name,
    thisUpdate: from,
    nextUpdate: der.time(bytes, nextUpdate),
    revoked,
    extensions
  }
}

/**
 * Everything but the list of revoked certificates: no work that grows with its size.
 *
 * @internal
 */
export const parse = (bytes: Uint8Array): Either.Either<Crl, Unusable> => {
  const { absent } = der
  const [tbs = absent, outer = absent, bits = absent] = der.partsOf(bytes, der.single(bytes), 3)
  const parts = readParts(bytes, tbs)
  if (
    parts === undefined || bits.tag !== der.Tag.bitString || bytes[bits.content] !== 0 ||
    outer.end - outer.start > 256 || bits.end - bits.start > 2048
  ) return Either.left(malformed)
  const { nextUpdate } = parts
  if (!der.equal(der.encodingOf(bytes, parts.algorithm), der.encodingOf(bytes, outer))) {
    return Either.left(unusable("5.1.1.2", "the signature algorithm inside differs from the one outside"))
  }
  // Without it a list would be valid for ever; conforming authorities include it.
  if (nextUpdate === undefined) return Either.left(unusable("5.1.2.5", "it does not say when it ends"))
  const algorithm = parseAlgorithm(bytes, outer)
  if (Either.isLeft(algorithm)) return Either.left(malformed)
  const refused = algorithmProblem(algorithm.right)
  if (refused !== undefined) return Either.left(unusable("5.1.1.2", refused.detail))
  return Either.map(scopeOf(parts.extensions), (scope) => ({
    der: bytes,
    issuer: parts.issuer,
    thisUpdate: parts.thisUpdate,
    nextUpdate,
    revoked: parts.revoked,
    scope,
    signed: {
      tbs: der.encodingOf(bytes, tbs),
      algorithm: algorithm.right,
      signature: new asn1.BitString({ valueHex: new Uint8Array(bytes.subarray(bits.content + 1, bits.end)) })
    }
  }))
}

/** The entries between two turns of the event loop: a few milliseconds. */
const PORTION = 20_000
/** By the real clock, also in tests. `Effect.yieldNow` is a microtask: the event loop would not go on. */
const nextTurn = Clock.make().sleep(Duration.zero)

type Scan = "Revoked" | "NotRevoked" | "Malformed" | "CriticalEntryExtension"

/**
 * A critical extension of an entry, such as the issuer of an indirect CRL, may mean that the entry is about another
 * certificate (5.3).
 */
const hasCriticalExtension = (bytes: Uint8Array, extensions: der.Element): boolean => {
  const found = readExtensions(bytes, extensions)
  return found === undefined || found.some(({ critical }) => critical)
}

const matches = (bytes: Uint8Array, serial: der.Element, wanted: Uint8Array): boolean => {
  if (serial.end - serial.content !== wanted.length) return false
  // The end of a serial number differs more often than its start.
  for (let i = wanted.length - 1; i >= 0; i--) if (bytes[serial.content + i] !== wanted[i]) return false
  return true
}

/** From `offset` on, at most a portion: where to go on, or the result. */
const scanPortion = (bytes: Uint8Array, offset: number, end: number, wanted: Uint8Array): number | Scan => {
  let at = offset
  for (let n = 0; n < PORTION; n++) {
    if (at >= end) return "NotRevoked"
    const entry = der.read(bytes, at, end) ?? der.absent
    const serial = entry.tag === der.Tag.sequence ? der.read(bytes, entry.content, entry.end) : undefined
    if (serial?.tag !== der.Tag.integer) return "Malformed"
    if (matches(bytes, serial, wanted)) return "Revoked"
    const date = der.read(bytes, serial.end, entry.end)
    if (date === undefined) return "Malformed"
    if (date.end < entry.end) {
      const extensions = der.read(bytes, date.end, entry.end)
      if (extensions === undefined) return "Malformed"
      if (hasCriticalExtension(bytes, extensions)) return "CriticalEntryExtension"
    }
    at = entry.end
  }
  return at
}

const scan = (crl: Crl, serial: Uint8Array): Effect.Effect<Scan> => {
  const { revoked } = crl
  if (revoked === undefined) return Effect.succeed("NotRevoked")
  const from = (offset: number): Effect.Effect<Scan> =>
    Effect.suspend(() => {
      const next = scanPortion(crl.der, offset, revoked.end, serial)
      return typeof next === "number" ? Effect.zipRight(nextTurn, from(next)) : Effect.succeed(next)
    })
  return from(revoked.content)
}

/**
 * The names of a certificate's distribution points, without those that cover some reasons only or name another issuer
 * (4.2.1.13).
 */
const readPoints = (certificate: Certificate): ReadonlyArray<names.GeneralName> => {
  const bytes = extensionOf(certificate, Oid.crlDistributionPoints)
  return der.partsOf(bytes, der.single(bytes)).flatMap((point) => {
    const parts = der.partsOf(bytes, point)
    const name = parts.find(({ tag }) => tag === 0xa0)
    return name === undefined || parts.length > 1 ? [] : readPoint(bytes, name) ?? []
  })
}

/**
 * The URLs of CRLs in a certificate.
 *
 * @internal
 */
export const distributionPoints = (certificate: Certificate): ReadonlyArray<string> => [
  ...new Set(names.uris(readPoints(certificate)))
]

/**
 * Whether a list is its issuer's and is about a certificate: `undefined` where it is about others, which is not a fault
 * of the list.
 *
 * @internal
 */
const covers = ({ issuer, scope }: Crl, certificate: Certificate): Unusable | undefined => {
  if (!names.sameName(issuer, certificate.issuer)) {
    return unusable("6.3.3 (b)(1)", "it is by another issuer than the certificate")
  }
  const isAuthority = basicConstraints(certificate).ca
  if ((scope.only === "Users" && isAuthority) || (scope.only === "Authorities" && !isAuthority)) {
    return unusable("6.3.3 (b)(2)", isAuthority ? "it covers no authorities" : "it covers authorities only")
  }
  if (scope.points !== undefined) {
    const own = readPoints(certificate)
    if (!scope.points.some((point) => own.some((one) => samePoint(one, point)))) {
      return unusable("6.3.3 (b)(2)", "it is for another distribution point than the certificate's")
    }
  }
  return undefined
}

/** @internal */
export type Status =
  | { readonly _tag: "Good"; readonly until: number }
  | { readonly _tag: "Revoked" }
  | ({ readonly _tag: "Unusable" } & Unusable)

const not = (because: Unusable): Status => ({ _tag: "Unusable", ...because })

/**
 * The status of a certificate in a list that `issuer` signed. The signature is checked before the entries are read.
 *
 * @internal
 */
export const status = (
  crl: Crl,
  certificate: Certificate,
  issuer: Certificate,
  { now, skew }: Times
): Effect.Effect<Status> =>
  Effect.gen(function*() {
    const foreign = covers(crl, certificate)
    if (foreign !== undefined) return not(foreign)
    if (now + skew < crl.thisUpdate) {
      return not(unusable("6.3.3 (a)", `it is not valid before ${iso(crl.thisUpdate)}`))
    }
    if (now > crl.nextUpdate) return not(unusable("6.3.3 (a)", `it ended on ${iso(crl.nextUpdate)}`))
    if (!allows(issuer, "cRLSign")) {
      return not(unusable("6.3.3 (f)", "its issuer's key usage does not allow signing CRLs"))
    }
    if (!(yield* verifies(crl.signed, issuer))) {
      return not(unusable("6.3.3 (g)", "its signature is not by the issuer of the certificate"))
    }
    const found = yield* scan(crl, certificate.serial)
    switch (found) {
      case "Revoked":
        return { _tag: "Revoked" } as const
      case "NotRevoked":
        return { _tag: "Good", until: crl.nextUpdate } as const
      case "CriticalEntryExtension":
        return not(unusable("5.3", "one of its entries has a critical extension"))
      case "Malformed":
        return not(unusable("5.1.2.6", "its list of revoked certificates is malformed"))
    }
  })
