/**
 * What the platform's WebCrypto does with the keys of this room. What it, or jose, says in an error may hold what it was given, so none of that is
 * kept.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import type { Algorithm, Described } from "../PublicJwk.js"

/** @internal */
export const bad = (detail: string): ConfigurationError =>
  new ConfigurationError({ reason: "BadKey", fields: ["signingKey"], detail })

/** @internal */
export const attempt = <A>(work: () => PromiseLike<A>, detail: string): Effect.Effect<A, ConfigurationError> =>
  Effect.tryPromise({ try: work, catch: () => bad(detail) })

const IMPORT = {
  RS384: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
  ES384: { name: "ECDSA", namedCurve: "P-384" }
} as const

const SIGN = {
  RS384: { name: "RSASSA-PKCS1-v1_5" },
  ES384: { name: "ECDSA", hash: "SHA-384" }
} as const

/**
 * The public half, proved to be a key: a point that is not on its curve is refused.
 *
 * @internal
 */
export const importPublic = (described: Described): Effect.Effect<CryptoKey, ConfigurationError> =>
  attempt(
    () => globalThis.crypto.subtle.importKey("jwk", described.members, IMPORT[described.alg], true, ["verify"]),
    "its public half is no usable key"
  )

/**
 * A handle that signs and cannot be read.
 *
 * @internal
 */
export const importPrivate = (alg: Algorithm, members: JsonWebKey): Effect.Effect<CryptoKey, ConfigurationError> =>
  attempt(
    () => globalThis.crypto.subtle.importKey("jwk", members, IMPORT[alg], false, ["sign"]),
    "its private half is no usable key (RSA needs n, e, d, p, q, dp, dq, qi; EC needs x, y, d)"
  )

/** @internal */
export const sign = (
  alg: Algorithm,
  key: CryptoKey,
  bytes: Uint8Array
): Effect.Effect<Uint8Array, ConfigurationError> =>
  Effect.map(
    // The copy has an ArrayBuffer of its own, which WebCrypto's types ask for.
    attempt(
      () => globalThis.crypto.subtle.sign(SIGN[alg], key, new Uint8Array(bytes)),
      "the runtime does not sign with it"
    ),
    (signature) => new Uint8Array(signature)
  )

const PROBE = new TextEncoder().encode("effect-safire")

/**
 * Whether what the one key signs the other verifies.
 *
 * @internal
 */
export const belongTogether = (
  alg: Algorithm,
  privateKey: CryptoKey,
  publicKey: CryptoKey
): Effect.Effect<boolean, ConfigurationError> =>
  Effect.flatMap(sign(alg, privateKey, PROBE), (signature) =>
    attempt(
      () => globalThis.crypto.subtle.verify(SIGN[alg], publicKey, new Uint8Array(signature), PROBE),
      "the runtime does not verify with it"
    ))

/**
 * Whether a key was made for an algorithm: WebCrypto binds an RSA key to its hash.
 *
 * @internal
 */
export const isFor = (alg: Algorithm, key: CryptoKey): boolean => {
  const algorithm: object = key.algorithm
  const hash = Predicate.hasProperty(algorithm, "hash") && Predicate.hasProperty(algorithm.hash, "name")
    ? algorithm.hash.name
    : undefined
  return key.algorithm.name === IMPORT[alg].name && (alg === "ES384" || hash === "SHA-384")
}
