/**
 * Whether the sandbox trusts a certificate chain (UDAP Security STU2, section 7.1; RFC 5280, section 6): it shares no
 * code with the path validation of `effect-safire/udap`, and knows only its own authorities.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as pkijs from "pkijs"
import { Oid } from "./pki.js"
import { parse, type UdapPki } from "./udapPki.js"

/** The sandbox does not trust a chain. */
export class Untrusted extends Data.TaggedError("Untrusted")<{ readonly description: string }> {}

/** A trusted certificate. */
export interface Trusted {
  readonly community: string
  /** The URIs of the subject alternative name. */
  readonly uris: ReadonlyArray<string>
}

const SHA1 = new Set(["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"])
const MAX_PATH = 4

const extensionOf = (certificate: pkijs.Certificate, oid: string): unknown =>
  certificate.extensions?.find(({ extnID }) => extnID === oid)?.parsedValue

const namesOf = (certificate: pkijs.Certificate): ReadonlyArray<pkijs.GeneralName> => {
  const value = extensionOf(certificate, Oid.subjectAltName)
  return value instanceof pkijs.AltName ? value.altNames : []
}

const text = (value: unknown): ReadonlyArray<string> => typeof value === "string" ? [value] : []

/** The URIs of the subject alternative name. */
export const uris = (certificate: pkijs.Certificate): ReadonlyArray<string> =>
  namesOf(certificate).flatMap(({ type, value }) => type === 6 ? text(value) : [])

/** The first byte of the key usage; undefined without one. */
const keyUsage = (certificate: pkijs.Certificate): number | undefined => {
  const extension = certificate.extensions?.find(({ extnID }) => extnID === Oid.keyUsage)
  // Tag, length, the number of unused bits.
  return extension === undefined ? undefined : extension.extnValue.valueBlock.valueHexView[3]
}

const permits = (constraints: pkijs.NameConstraints, uri: string): boolean => {
  const host = URL.canParse(uri) ? new URL(uri).hostname : ""
  const bases = (constraints.permittedSubtrees ?? []).flatMap(({ base }) => base.type === 6 ? text(base.value) : [])
  return bases.length === 0 || bases.some((base) => base.startsWith(".") ? host.endsWith(base) : host === base)
}

const problemOfIssuer = (
  issuer: pkijs.Certificate,
  authoritiesBelow: number,
  leafUris: ReadonlyArray<string>
): string | undefined => {
  const constraints = extensionOf(issuer, Oid.basicConstraints)
  if (!(constraints instanceof pkijs.BasicConstraints) || !constraints.cA) {
    return "an issuer is not a certification authority"
  }
  if (typeof constraints.pathLenConstraint === "number" && authoritiesBelow > constraints.pathLenConstraint) {
    return "the chain is longer than the path length of an issuer allows"
  }
  if (((keyUsage(issuer) ?? 0xff) & 0x04) === 0) return "the key of an issuer may not sign certificates"
  const names = extensionOf(issuer, Oid.nameConstraints)
  return names instanceof pkijs.NameConstraints && !leafUris.every((uri) => permits(names, uri))
    ? "the name constraints of an issuer do not permit the URI"
    : undefined
}

const problemOfPath = (pki: UdapPki, path: ReadonlyArray<pkijs.Certificate>, now: number): string | undefined => {
  const [leaf] = path
  const names = leaf === undefined ? [] : uris(leaf)
  if (leaf !== undefined && ((keyUsage(leaf) ?? 0xff) & 0x80) === 0) return "the certificate's key may not sign"
  for (const [index, certificate] of path.entries()) {
    if (certificate.notBefore.value.getTime() > now) return "a certificate of the chain is not yet valid"
    if (certificate.notAfter.value.getTime() < now) return "a certificate of the chain has expired"
    if (index < path.length - 1 && SHA1.has(certificate.signatureAlgorithm.algorithmId)) {
      return "a certificate of the chain is signed with SHA-1"
    }
    const issued = pki.issuerOf(certificate)
    if (issued?.revoked.some(({ serial }) => serial.isEqual(certificate.serialNumber)) === true) {
      return "a certificate of the chain is revoked"
    }
    const problem = index === 0 ? undefined : problemOfIssuer(certificate, index - 1, names)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** The path from a certificate to a root, over the other certificates. */
const pathTo = (
  leaf: pkijs.Certificate,
  root: pkijs.Certificate,
  others: ReadonlyArray<pkijs.Certificate>
): Effect.Effect<ReadonlyArray<pkijs.Certificate> | undefined> =>
  Effect.gen(function*() {
    const path = [leaf]
    while (path.length <= MAX_PATH) {
      const last = path[path.length - 1] ?? leaf
      let next: pkijs.Certificate | undefined
      for (const candidate of [root, ...others]) {
        if (path.includes(candidate) || !candidate.subject.isEqual(last.issuer)) continue
        const verifies = yield* Effect.orElseSucceed(Effect.tryPromise(() => last.verify(candidate)), () => false)
        if (verifies) {
          next = candidate
          break
        }
      }
      if (next === undefined) return undefined
      path.push(next)
      if (next === root) return path
    }
    return undefined
  })

/** Validates a chain, DER, with the certificate of the signer first. */
export const validate = (
  pki: UdapPki,
  chain: ReadonlyArray<Uint8Array>
): Effect.Effect<Trusted, Untrusted> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const certificates = yield* Effect.mapError(
      Effect.forEach(chain, parse),
      () => new Untrusted({ description: "a certificate of the chain is malformed" })
    )
    const [leaf, ...others] = certificates
    if (leaf === undefined) return yield* new Untrusted({ description: "the chain is empty" })
    for (const community of pki.communities) {
      const { x509: root } = yield* pki.root(community)
      const { x509: intermediate } = yield* pki.intermediate(community)
      const path = yield* pathTo(leaf, root, [...others, intermediate])
      if (path === undefined) continue
      const problem = problemOfPath(pki, path, now)
      return problem === undefined
        ? { community, uris: uris(leaf) }
        : yield* new Untrusted({ description: problem })
    }
    return yield* new Untrusted({ description: "the chain leads to the root of no community" })
  })
