/**
 * The two algorithms of SMART, RS384 and ES384: which public key a JWK holds (RFC 7518, section 6; SMART App Launch
 * 2.2, requirements 308 and 309), keys and signatures of WebCrypto, and signatures of key management services.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Predicate from "effect/Predicate"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { JsonObject } from "../../base/JsonReader.js"
import type { Algorithm, EcPublicJwk, PublicJwk, RsaPublicJwk } from "../PublicJwk.js"
import { badKey } from "./configurationError.js"

export type PublicKey =
  | {
    readonly alg: "RS384"
    readonly members: Pick<RsaPublicJwk, "kty" | "n" | "e">
    readonly signatureBytes: number
  }
  | {
    readonly alg: "ES384"
    readonly members: Pick<EcPublicJwk, "kty" | "crv" | "x" | "y">
    readonly signatureBytes: number
  }

/** A short value for an error message; a longer one could be part of a key. */
const shown = (value: unknown): string =>
  typeof value === "string" && /^[\w+./-]{1,20}$/.test(value) ? value : "something else"

const modulusOf = (n: string): Uint8Array => {
  const bytes = Either.getOrElse(Encoding.decodeBase64Url(n), () => new Uint8Array())
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? new Uint8Array() : bytes.subarray(first)
}

const bitsOf = (modulus: Uint8Array): number =>
  modulus.length === 0 ? 0 : modulus.length * 8 - (Math.clz32(modulus[0] ?? 0) - 24)

/** The public key of a JWK, or why SMART does not sign with it. */
export const parsePublicKey = (jwk: JsonObject): Either.Either<PublicKey, string> => {
  const { alg, crv, e, kty, n, use, x, y } = jwk
  if (use !== undefined && use !== "sig") return Either.left(`its use is ${shown(use)}, not sig`)
  const checkAlg = (key: PublicKey): Either.Either<PublicKey, string> =>
    alg === undefined || alg === key.alg
      ? Either.right(key)
      : Either.left(`its alg is ${shown(alg)}; SMART signs with ${key.alg} where the key is of type ${shown(kty)}`)
  if (kty === "RSA") {
    if (typeof n !== "string" || typeof e !== "string") return Either.left("an RSA key has the members n and e")
    const modulus = modulusOf(n)
    return bitsOf(modulus) < 2048
      ? Either.left(`an RSA key of ${bitsOf(modulus)} bits is too short; 2048 or more are needed`)
      : checkAlg({ alg: "RS384", members: { kty, n, e }, signatureBytes: modulus.length })
  }
  if (kty === "EC") {
    if (crv !== "P-384") return Either.left(`an EC key on ${shown(crv)} does not fit; ES384 needs P-384`)
    return typeof x === "string" && typeof y === "string"
      ? checkAlg({ alg: "ES384", members: { kty, crv, x, y }, signatureBytes: 96 })
      : Either.left("an EC key has the members x and y")
  }
  return Either.left(`a key of type ${shown(kty)} does not fit; SMART signs with RSA (RS384) or EC on P-384 (ES384)`)
}

const PRIVATE_MEMBERS = { RS384: ["d", "p", "q", "dp", "dq", "qi"], ES384: ["d"] } as const

/** The members that WebCrypto imports as a private key, without `key_ops`, `ext` and others. */
export const privateMembers = ({ alg, members }: PublicKey, jwk: JsonObject): JsonWebKey => ({
  ...members,
  ...Object.fromEntries(
    PRIVATE_MEMBERS[alg].flatMap((member) => {
      const value = jwk[member]
      return typeof value === "string" ? [[member, value]] : []
    })
  )
})

export const toJwk = (key: PublicKey, kid: string): PublicJwk =>
  key.alg === "RS384"
    ? { ...key.members, kid, alg: key.alg, use: "sig" }
    : { ...key.members, kid, alg: key.alg, use: "sig" }

/** Whether two are the same key, with or without the same `kid`. */
export const isSameKey = (a: PublicJwk, b: PublicJwk): boolean =>
  a.kty === "RSA" ? b.kty === "RSA" && a.n === b.n && a.e === b.e : b.kty === "EC" && a.x === b.x && a.y === b.y

/** Errors of WebCrypto and of jose may contain parts of a key: their texts are dropped. */
export const attempt = <A>(work: () => PromiseLike<A>, detail: string): Effect.Effect<A, ConfigurationError> =>
  Effect.tryPromise({ try: work, catch: () => badKey(detail) })

const IMPORT = {
  RS384: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
  ES384: { name: "ECDSA", namedCurve: "P-384" }
} as const

const SIGN = {
  RS384: { name: "RSASSA-PKCS1-v1_5" },
  ES384: { name: "ECDSA", hash: "SHA-384" }
} as const

/** Refuses a point that is not on its curve. */
export const importPublic = ({ alg, members }: PublicKey): Effect.Effect<CryptoKey, ConfigurationError> =>
  attempt(
    () => globalThis.crypto.subtle.importKey("jwk", members, IMPORT[alg], true, ["verify"]),
    "its public half is not a usable key"
  )

/** A handle that signs and cannot be read. */
export const importPrivate = (alg: Algorithm, members: JsonWebKey): Effect.Effect<CryptoKey, ConfigurationError> =>
  attempt(
    () => globalThis.crypto.subtle.importKey("jwk", members, IMPORT[alg], false, ["sign"]),
    "its private half is not a usable key (RSA needs n, e, d, p, q, dp, dq, qi; EC needs x, y, d)"
  )

export const sign = (
  alg: Algorithm,
  key: CryptoKey,
  bytes: Uint8Array
): Effect.Effect<Uint8Array, ConfigurationError> =>
  Effect.map(
    // WebCrypto's types require a copy with an ArrayBuffer of its own.
    attempt(
      () => globalThis.crypto.subtle.sign(SIGN[alg], key, new Uint8Array(bytes)),
      "the runtime cannot sign with it"
    ),
    (signature) => new Uint8Array(signature)
  )

const PROBE = new TextEncoder().encode("effect-safire")

/** Whether the public key verifies a signature of the private one. */
export const belongTogether = (
  alg: Algorithm,
  privateKey: CryptoKey,
  publicKey: CryptoKey
): Effect.Effect<boolean, ConfigurationError> =>
  Effect.flatMap(sign(alg, privateKey, PROBE), (signature) =>
    attempt(
      () => globalThis.crypto.subtle.verify(SIGN[alg], publicKey, new Uint8Array(signature), PROBE),
      "the runtime cannot verify with it"
    ))

/** Whether a key was made for an algorithm: WebCrypto binds an RSA key to its hash. */
export const isFor = (alg: Algorithm, key: CryptoKey): boolean => {
  const algorithm: object = key.algorithm
  const hash = Predicate.hasProperty(algorithm, "hash") && Predicate.hasProperty(algorithm.hash, "name")
    ? algorithm.hash.name
    : undefined
  return key.algorithm.name === IMPORT[alg].name && (alg === "ES384" || hash === "SHA-384")
}

/** One DER integer, padded to `size` bytes, and its end, which may be behind the bytes. */
const integerAt = (
  bytes: Uint8Array,
  at: number,
  size: number
): { readonly value: Uint8Array; readonly end: number } | undefined => {
  const length = bytes[at + 1] ?? 0
  const end = at + 2 + length
  if (bytes[at] !== 0x02 || length === 0) return undefined
  let from = at + 2
  while (from < end && bytes[from] === 0) from++
  if (end - from > size) return undefined
  const value = new Uint8Array(size)
  value.set(bytes.subarray(from, end), size - (end - from))
  return { value, end }
}

/**
 * An ECDSA signature in DER (RFC 3279, section 2.2.3: a sequence of two integers) in the format of a JWS (RFC 7518,
 * section 3.4). `size` is the size of one number: 48 for P-384, where the lengths in DER take one byte.
 */
export const derToJose = (bytes: Uint8Array, size: number): Uint8Array | undefined => {
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2) return undefined
  const r = integerAt(bytes, 2, size)
  const s = r === undefined ? undefined : integerAt(bytes, r.end, size)
  if (r === undefined || s === undefined || s.end !== bytes.length) return undefined
  const signature = new Uint8Array(2 * size)
  signature.set(r.value)
  signature.set(s.value, size)
  return signature
}
