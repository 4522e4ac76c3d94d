/**
 * A certificate within limits, parsed by `pkijs` and checked for what a parser must refuse (RFC 5280, sections 4.1 and
 * 4.2).
 */
import * as Either from "effect/Either"
import * as pki from "pkijs"
import type { Problem } from "../TrustError.js"
import * as der from "./der.js"
import * as names from "./names.js"

/** @internal */
export const limits = {
  certificateBytes: 16_384,
  extensions: 32,
  depth: 24,
  /** A certificate of a trust community has 100 to 300: parsing costs 8 µs an element. */
  elements: 500
} as const

/** @internal */
export interface Extension {
  readonly critical: boolean
  readonly value: Uint8Array
  /** What `pkijs` made of the value. */
  readonly parsed: unknown
}

/** @internal */
export interface Certificate {
  readonly der: Uint8Array
  readonly x509: pki.Certificate
  readonly subject: names.Name
  readonly issuer: names.Name
  readonly serial: Uint8Array
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: ReadonlyMap<string, Extension>
  readonly alternativeNames: ReadonlyArray<names.GeneralName>
}

/** @internal */
export const Oid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  issuerAltName: "2.5.29.18",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyIdentifier: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  ocspNoCheck: "1.3.6.1.5.5.7.48.1.5"
} as const

const fault = (reason: Problem["reason"], rule: string, detail: string): Either.Either<never, Problem> =>
  Either.left({ reason, rule: `RFC 5280, ${rule}`, detail })

/** A name list that is malformed must not count as absent: a constraint would not apply to it. */
const readAlternativeNames = (extension: Extension | undefined): ReadonlyArray<names.GeneralName> | undefined => {
  if (extension === undefined) return []
  const sequence = der.single(extension.value)
  return sequence?.tag === der.Tag.sequence ? names.readGeneralNames(extension.value, sequence) : undefined
}

/** The parts of `TBSCertificate` that are read here because `pkijs` is lenient about them. */
const readParts = (bytes: Uint8Array) => {
  const { absent, partsOf } = der
  const [tbs, outer = absent, signature = absent, ...more] = partsOf(bytes, der.single(bytes))
  // Version 1 has no version; 4.1.2.1 asks for version 3 wherever there are extensions, and without extensions nothing
  // can be a path.
  const [version = absent, serial = absent, inner = absent, issuer = absent, validity, subject = absent] = partsOf(
    bytes,
    tbs
  )
  if (
    version.tag !== 0xa0 || !der.equal(der.contentOf(bytes, version), new Uint8Array([2, 1, 2])) ||
    serial.tag !== der.Tag.integer || signature.tag !== der.Tag.bitString || bytes[signature.content] !== 0 ||
    more.length > 0
  ) return undefined
  const [notBefore = absent, notAfter = absent] = partsOf(bytes, validity)
  const from = der.time(bytes, notBefore)
  const to = der.time(bytes, notAfter)
  const issuerName = names.readName(bytes, issuer)
  const subjectName = names.readName(bytes, subject)
  // 4.1.2.4: an issuer has a name.
  if (
    from === undefined || to === undefined || issuerName === undefined || subjectName === undefined ||
    issuerName.rdns.length === 0
  ) return undefined
  return {
    serial: der.contentOf(bytes, serial),
    sameAlgorithm: der.equal(der.encodingOf(bytes, inner), der.encodingOf(bytes, outer)),
    issuer: issuerName,
    subject: subjectName,
    notBefore: from,
    notAfter: to
  }
}

const parseAll = (bytes: Uint8Array): pki.Certificate => pki.Certificate.fromBER(new Uint8Array(bytes))

const extensionsOf = (x509: pki.Certificate): ReadonlyArray<readonly [string, Extension]> =>
  (x509.extensions ?? []).map((extension) => [
    extension.extnID,
    {
      critical: extension.critical,
      value: extension.extnValue.valueBlock.valueHexView,
      parsed: extension.parsedValue
    }
  ])

/** The extensions that a decision is based on: each must be one well-formed value, critical or not. */
const PARSED: ReadonlySet<string> = new Set(Object.values(Oid).filter((oid) => oid !== Oid.ocspNoCheck))

/** @internal */
export const parse = (bytes: Uint8Array): Either.Either<Certificate, Problem> => {
  if (bytes.length > limits.certificateBytes) {
    return fault("TooLarge", "4.1", `it has ${bytes.length} bytes, more than ${limits.certificateBytes}`)
  }
  const elements = der.count(bytes, limits)
  if (elements === "TooLarge") return fault("TooLarge", "4.1", `it has more than ${limits.elements} elements`)
  const malformed = fault("Malformed", "4.1", "it is not one DER-encoded X.509 certificate of version 3")
  const parts = elements === "Malformed" ? undefined : readParts(bytes)
  if (parts === undefined) return malformed
  const parsed = Either.try(() => {
    const x509 = parseAll(bytes)
    return { x509, listed: extensionsOf(x509) }
  })
  if (Either.isLeft(parsed)) return malformed
  const { listed, x509 } = parsed.right
  if (listed.length > limits.extensions) {
    return fault("TooLarge", "4.2", `it has ${listed.length} extensions, more than ${limits.extensions}`)
  }
  const extensions = new Map(listed)
  if (extensions.size !== listed.length) return fault("DuplicateExtension", "4.2", "it has an extension twice")
  if (!parts.sameAlgorithm) {
    return fault("AlgorithmMismatch", "4.1.1.2", "the signature algorithm inside differs from the one outside")
  }
  const broken = listed.find(([oid, { value }]) => PARSED.has(oid) && der.single(value) === undefined)
  const alternativeNames = readAlternativeNames(extensions.get(Oid.subjectAltName))
  if (broken !== undefined || alternativeNames === undefined) {
    return fault("Malformed", "4.2.1", `its extension ${broken?.[0] ?? Oid.subjectAltName} is malformed`)
  }
  return Either.right({ ...parts, der: bytes, x509, extensions, alternativeNames })
}

/**
 * The value of an extension. Without it: no bytes.
 *
 * @internal
 */
export const extensionOf = ({ extensions }: Certificate, oid: string): Uint8Array =>
  extensions.get(oid)?.value ?? new Uint8Array()

/** @internal */
export const isSelfIssued = ({ issuer, subject }: Certificate): boolean => names.sameName(issuer, subject)

/** @internal */
export const same = (a: Certificate, b: Certificate): boolean => der.equal(a.der, b.der)

/** @internal */
export interface BasicConstraints {
  readonly ca: boolean
  readonly pathLength: number | undefined
}

/** @internal */
export const basicConstraints = (certificate: Certificate): BasicConstraints => {
  const found = certificate.extensions.get(Oid.basicConstraints)?.parsed
  if (!(found instanceof pki.BasicConstraints)) return { ca: false, pathLength: undefined }
  const { cA, pathLenConstraint } = found
  // A number of more than 32 bits is an object, whose value is 0: no authority may follow.
  const length = typeof pathLenConstraint === "number" ? pathLenConstraint : pathLenConstraint?.valueBlock.valueDec
  return { ca: cA, pathLength: length }
}

/** @internal */
export const KeyUsage = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const

/**
 * Whether the key usage allows something. A certificate without the extension allows everything (4.2.1.3).
 *
 * @internal
 */
export const allows = (certificate: Certificate, usage: keyof typeof KeyUsage): boolean => {
  const value = certificate.extensions.get(Oid.keyUsage)?.value
  if (value === undefined) return true
  const bits = der.single(value)
  return bits?.tag === der.Tag.bitString && ((value[bits.content + 1] ?? 0) & KeyUsage[usage]) !== 0
}

/** @internal */
export const extendedKeyUsages = (certificate: Certificate): ReadonlyArray<string> => {
  const found = certificate.extensions.get(Oid.extendedKeyUsage)?.parsed
  return found instanceof pki.ExtKeyUsage ? found.keyPurposes : []
}

/**
 * The URIs of the subject alternative name, character by character (UDAP-48).
 *
 * @internal
 */
export const uris = (certificate: Certificate): ReadonlyArray<string> => names.uris(certificate.alternativeNames)

/**
 * The public key as DER `SubjectPublicKeyInfo`.
 *
 * @internal
 */
export const publicKeyInfo = ({ x509 }: Certificate): Uint8Array<ArrayBuffer> =>
  new Uint8Array(x509.subjectPublicKeyInfo.toSchema().toBER())
