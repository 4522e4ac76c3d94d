/**
 * The Online Certificate Status Protocol (RFC 6960; RFC 5019): the request, and what a response says. `pkijs` parses
 * responses and is not asked whether they are valid: it checks neither their dates nor who signed them.
 */
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as pki from "pkijs"
import {
  type Certificate,
  extendedKeyUsages,
  extensionOf,
  Oid,
  parse as parseCertificate,
  same
} from "./certificate.js"
import type { Status, Unusable } from "./crl.js"
import * as der from "./der.js"
import * as names from "./names.js"
import { iso, type Times } from "./pathRules.js"
import { algorithmProblem, ofCertificate, verifies } from "./signature.js"

/** @internal */
export const maxBytes = 32_768

const limits = { depth: 32, elements: 1_500 }
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
const ACCESS_OCSP = "1.3.6.1.5.5.7.48.1"
const BASIC = "1.3.6.1.5.5.7.48.1.1"
const SHA1 = "1.3.14.3.2.26"

/** A response without an end has only the status at the time when it was made. */
const WITHOUT_END_MILLIS = 300_000

const unusable = (rule: string, detail: string): Unusable => ({ rule: `RFC 6960, ${rule}`, detail })
const not = (because: Unusable): Status => ({ _tag: "Unusable", ...because })

/**
 * The URLs of the issuer's responders (RFC 5280, section 4.2.2.1).
 *
 * @internal
 */
export const responders = (certificate: Certificate): ReadonlyArray<string> => {
  const bytes = extensionOf(certificate, Oid.authorityInfoAccess)
  return der.partsOf(bytes, der.single(bytes)).flatMap((access) => {
    const [method = der.absent, location = der.absent] = der.partsOf(bytes, access)
    const name = der.oid(bytes, method) === ACCESS_OCSP ? names.readGeneralName(bytes, location) : undefined
    return name?.form === "uri" ? [name.value] : []
  })
}

/**
 * A request about one certificate. RFC 5019, section 2.1.1: its id is made with SHA-1, which every responder knows.
 *
 * @internal
 */
export const request = (certificate: Certificate, issuer: Certificate): Effect.Effect<Uint8Array | undefined> =>
  Effect.orElseSucceed(
    Effect.tryPromise(() => {
      const made = new pki.OCSPRequest()
      return made.createForCertificate(certificate.x509, { hashAlgorithm: "SHA-1", issuerCertificate: issuer.x509 })
        .then(() => new Uint8Array(made.toSchema(true).toBER()))
    }),
    () => undefined
  )

const STATUSES: Readonly<Record<number, string>> = {
  1: "malformedRequest",
  2: "internalError",
  3: "tryLater",
  5: "sigRequired",
  6: "unauthorized"
}

const parseParts = (
  bytes: Uint8Array
): { readonly status: number; readonly basic: pki.BasicOCSPResponse | undefined } => {
  const outer = pki.OCSPResponse.fromBER(new Uint8Array(bytes))
  const status = outer.responseStatus.valueBlock.valueDec
  const inner = outer.responseBytes
  if (status !== 0 || inner?.responseType !== BASIC) return { status, basic: undefined }
  return { status, basic: pki.BasicOCSPResponse.fromBER(new Uint8Array(inner.response.valueBlock.valueHexView)) }
}

/**
 * A response, parsed within limits.
 *
 * @internal
 */
export const parse = (bytes: Uint8Array): Either.Either<pki.BasicOCSPResponse, Unusable> => {
  if (bytes.length > maxBytes || typeof der.count(bytes, limits) !== "number") {
    return Either.left(unusable("4.2.1", "it is not one DER-encoded OCSP response"))
  }
  const parsed = Either.try(() => parseParts(bytes))
  if (Either.isLeft(parsed)) return Either.left(unusable("4.2.1", "it is malformed"))
  const { basic, status } = parsed.right
  if (status !== 0) return Either.left(unusable("2.3", `the responder answered ${STATUSES[status] ?? status}`))
  return basic === undefined
    ? Either.left(unusable("4.2.1", "it is not a basic response"))
    : Either.right(basic)
}

/** The certificate that the responder signs with: the issuer's own, or one that the issuer made for this (4.2.2.2). */
const signerOf = (
  response: pki.BasicOCSPResponse,
  issuer: Certificate,
  { now, skew }: Times
): Effect.Effect<Either.Either<Certificate, Unusable>> =>
  Effect.gen(function*() {
    const algorithm = algorithmProblem(response.signatureAlgorithm)
    if (algorithm !== undefined) return Either.left(unusable("4.3", algorithm.detail))
    const signed = {
      tbs: response.tbsResponseData.tbsView,
      algorithm: response.signatureAlgorithm,
      signature: response.signature
    }
    if (yield* verifies(signed, issuer)) return Either.right(issuer)
    const rule = "4.2.2.2"
    for (const one of (response.certs ?? []).slice(0, 4)) {
      const parsed = parseCertificate(new Uint8Array(one.toSchema().toBER()))
      if (Either.isLeft(parsed)) continue
      const delegate = parsed.right
      if (same(delegate, issuer) || !(yield* verifies(signed, delegate))) continue
      if (!names.sameName(delegate.issuer, issuer.subject) || !(yield* verifies(ofCertificate(delegate), issuer))) {
        return Either.left(unusable(rule, "the responder's certificate is not by the issuer of the certificate"))
      }
      if (!extendedKeyUsages(delegate).includes(OCSP_SIGNING)) {
        return Either.left(unusable(rule, "the responder's certificate is not for signing OCSP responses"))
      }
      if (now > delegate.notAfter || now + skew < delegate.notBefore) {
        return Either.left(unusable(rule, "the responder's certificate has expired or is not yet valid"))
      }
      return Either.right(delegate)
    }
    return Either.left(unusable("3.2", "its signature is by neither the issuer of the certificate nor its responder"))
  })

const matches = (
  single: pki.SingleResponse,
  certificate: Certificate,
  issuer: Certificate
): Effect.Effect<boolean> =>
  Effect.orElseSucceed(
    Effect.tryPromise(() => {
      const { certID } = single
      const expected = new pki.CertID()
      // With another algorithm, the digests differ.
      const hashAlgorithm = certID.hashAlgorithm.algorithmId === SHA1 ? "SHA-1" : "SHA-256"
      return expected.createForCertificate(certificate.x509, { hashAlgorithm, issuerCertificate: issuer.x509 })
        .then(() => expected.isEqual(certID))
    }),
    () => false
  )

/** The status is a context-specific tag. */
const tagOf = (single: pki.SingleResponse): number | undefined => {
  const block: unknown = single.certStatus
  return block instanceof asn1.BaseBlock ? block.idBlock.tagNumber : undefined
}

/**
 * What a response says about a certificate that `issuer` signed. `isUnrevoked` is asked about a responder's certificate
 * that does not exempt itself.
 *
 * @internal
 */
export const status = (
  response: pki.BasicOCSPResponse,
  certificate: Certificate,
  issuer: Certificate,
  times: Times,
  isUnrevoked: (delegate: Certificate) => Effect.Effect<boolean>
): Effect.Effect<Status> =>
  Effect.gen(function*() {
    const { now, skew } = times
    let single: pki.SingleResponse | undefined
    for (const one of response.tbsResponseData.responses.slice(0, 8)) {
      if (yield* matches(one, certificate, issuer)) single = one
    }
    if (single === undefined) return not(unusable("3.2", "it is about another certificate"))
    const from = single.thisUpdate.getTime()
    const until = single.nextUpdate?.getTime() ?? from + WITHOUT_END_MILLIS
    // Not a number where a date is malformed.
    if (!(now + skew >= from)) return not(unusable("3.2", `it is not valid before ${iso(from)}`))
    if (!(now <= until)) return not(unusable("3.2", `it ended on ${iso(until)}`))
    const critical = [
      ...(single.singleExtensions ?? []),
      ...(response.tbsResponseData.responseExtensions ?? [])
    ].find((extension) => extension.critical)
    if (critical !== undefined) {
      return not(unusable("4.4", `it has the unknown critical extension ${critical.extnID}`))
    }
    const signer = yield* signerOf(response, issuer, times)
    if (Either.isLeft(signer)) return not(signer.left)
    const delegate = signer.right
    if (delegate !== issuer && !delegate.extensions.has(Oid.ocspNoCheck) && !(yield* isUnrevoked(delegate))) {
      return not(unusable("4.2.2.2.1", "whether the responder's own certificate is revoked is not known"))
    }
    switch (tagOf(single)) {
      case 0:
        return { _tag: "Good", until: Math.min(until, delegate.notAfter) } as const
      case 1:
        return { _tag: "Revoked" } as const
      default:
        return not(unusable("2.2", "the responder does not know the certificate"))
    }
  })
