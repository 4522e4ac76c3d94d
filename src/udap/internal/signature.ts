/**
 * Which keys and signature algorithms of X.509 are accepted, and the verification of a signature (RFC 5280, section
 * 6.1.3 (a)(1); RFC 8017, PKCS #1 v1.5; RFC 5758, ECDSA). RSASSA-PSS and Ed25519 are refused by name: a UDAP JWT cannot
 * be signed with such a key, and no trust community uses them.
 */
import type { BitString } from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as pki from "pkijs"
import type { Problem } from "../TrustError.js"
import type { Certificate } from "./certificate.js"

const ALGORITHMS: Readonly<Record<string, "RSA" | "EC">> = {
  "1.2.840.113549.1.1.11": "RSA",
  "1.2.840.113549.1.1.12": "RSA",
  "1.2.840.113549.1.1.13": "RSA",
  "1.2.840.10045.4.3.2": "EC",
  "1.2.840.10045.4.3.3": "EC",
  "1.2.840.10045.4.3.4": "EC"
}

const REFUSED: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.4": "MD5 with RSA",
  "1.2.840.113549.1.1.5": "SHA-1 with RSA",
  "1.2.840.113549.1.1.10": "RSASSA-PSS",
  "1.2.840.10045.4.1": "ECDSA with SHA-1",
  "1.2.840.10040.4.3": "DSA with SHA-1",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448"
}

const CURVES: ReadonlySet<string> = new Set(["P-256", "P-384", "P-521"])

const MIN_RSA_BITS = 2048
/** A larger modulus or exponent costs seconds of processor time. */
const MAX_RSA_BITS = 8192
const MAX_EXPONENT_BYTES = 8

/** @internal */
export interface Algorithm {
  readonly algorithmId: string
}

/** @internal */
export const algorithmProblem = ({ algorithmId }: Algorithm): Problem | undefined =>
  Object.hasOwn(ALGORITHMS, algorithmId) ? undefined : {
    reason: "UnsupportedAlgorithm",
    rule: "RFC 5280, 4.1.1.2",
    detail: `it is signed with ${REFUSED[algorithmId] ?? algorithmId}`
  }

/** An unsigned big-endian number without leading zeros; of zero, the last byte. */
const magnitude = (bytes: Uint8Array): Uint8Array => bytes.subarray(bytes.findIndex((byte) => byte !== 0))

const bitLength = (bytes: Uint8Array): number => bytes.length * 8 - Math.clz32(bytes[0] ?? 0) + 24

const keyOf = (certificate: Certificate): Either.Either<"RSA" | "EC", string> => {
  const info = certificate.x509.subjectPublicKeyInfo
  const key = info.parsedKey
  // The parser reads the key of an RSASSA-PSS certificate as any RSA key.
  if (key instanceof pki.RSAPublicKey && info.algorithm.algorithmId === "1.2.840.113549.1.1.1") {
    const bits = bitLength(magnitude(key.modulus.valueBlock.valueHexView))
    const exponent = magnitude(key.publicExponent.valueBlock.valueHexView)
    if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) return Either.left(`its RSA key has ${bits} bits`)
    const last = exponent.at(-1) ?? 0
    if (exponent.length > MAX_EXPONENT_BYTES || last % 2 === 0 || (exponent.length === 1 && last < 3)) {
      return Either.left("the exponent of its RSA key is not usable")
    }
    return Either.right("RSA")
  }
  if (key instanceof pki.ECPublicKey) {
    return CURVES.has(key.namedCurve) ? Either.right("EC") : Either.left(`its key is on the curve ${key.namedCurve}`)
  }
  return Either.left(`its key is of an unsupported kind (${info.algorithm.algorithmId})`)
}

/** @internal */
export const keyProblem = (certificate: Certificate): Problem | undefined => {
  const key = keyOf(certificate)
  return Either.isRight(key)
    ? undefined
    : { reason: "UnsupportedKey", rule: "RFC 5280, 4.1.2.7", detail: key.left }
}

/** @internal */
export interface Signed {
  /** The bytes that were signed. */
  readonly tbs: Uint8Array
  readonly algorithm: pki.AlgorithmIdentifier
  readonly signature: BitString
}

/**
 * Whether `signer`'s key made the signature. An algorithm that is not accepted, or is not one for such a key, never
 * verifies.
 *
 * @internal
 */
export const verifies = ({ algorithm, signature, tbs }: Signed, signer: Certificate): Effect.Effect<boolean> => {
  const key = keyOf(signer)
  if (Either.isLeft(key) || key.right !== ALGORITHMS[algorithm.algorithmId]) return Effect.succeed(false)
  return Effect.orElseSucceed(
    Effect.tryPromise(() =>
      pki.getCrypto(true).verifyWithPublicKey(
        new Uint8Array(tbs),
        signature,
        signer.x509.subjectPublicKeyInfo,
        algorithm
      )
    ),
    () => false
  )
}

/** @internal */
export const ofCertificate = ({ x509 }: Certificate): Signed => ({
  tbs: x509.tbsView,
  algorithm: x509.signatureAlgorithm,
  signature: x509.signatureValue
})
