/**
 * The WebCrypto of the platform, with the two algorithms of SMART. Its errors, and those of jose, may hold parts of a
 * key: their texts are dropped.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { Algorithm } from "../PublicJwk.js"
import { badKey } from "./configurationError.js"
import type { PublicKey } from "./publicKey.js"

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
