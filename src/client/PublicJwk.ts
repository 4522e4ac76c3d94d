/**
 * The public half of a signing key, as it is published: bare key members, a `kid`, and nothing that is anyone else's business (SMART App Launch 2.2,
 * requirements 293, 313, 314 and 315; RFC 7517, section 4).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type * as jose from "jose"
import type { JsonObject } from "../base/JsonReader.js"

/**
 * The algorithms that every SMART client must know (requirements 308 and 309).
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = "RS384" | "ES384"

/**
 * @since 0.1.0
 * @category models
 */
export interface RsaPublicJwk {
  readonly kty: "RSA"
  readonly n: string
  readonly e: string
  readonly kid: string
  readonly alg: "RS384"
  readonly use: "sig"
}

/**
 * @since 0.1.0
 * @category models
 */
export interface EcPublicJwk {
  readonly kty: "EC"
  readonly crv: "P-384"
  readonly x: string
  readonly y: string
  readonly kid: string
  readonly alg: "ES384"
  readonly use: "sig"
}

/**
 * @since 0.1.0
 * @category models
 */
export type PublicJwk = RsaPublicJwk | EcPublicJwk

/**
 * What a client publishes at its JWKS URL, or registers.
 *
 * @since 0.1.0
 * @category models
 */
export interface JwkSet {
  readonly keys: ReadonlyArray<PublicJwk>
}

/** @internal */
export type Described =
  | {
    readonly alg: "RS384"
    readonly members: { readonly kty: "RSA"; readonly n: string; readonly e: string }
    readonly signatureBytes: number
  }
  | {
    readonly alg: "ES384"
    readonly members: { readonly kty: "EC"; readonly crv: "P-384"; readonly x: string; readonly y: string }
    readonly signatureBytes: number
  }

const PRIVATE: Readonly<Record<Algorithm, ReadonlyArray<string>>> = {
  RS384: ["d", "p", "q", "dp", "dq", "qi"],
  ES384: ["d"]
}

const SECRET = ["d", "p", "q", "dp", "dq", "qi", "k", "oth", "priv"]

/**
 * Whether a JWK holds anything that must not be published.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPrivate = (jwk: Readonly<Record<string, unknown>>): boolean =>
  SECRET.some((member) => jwk[member] !== undefined)

/**
 * A word from a key for an error message, if it looks like a word and not like a key.
 *
 * @internal
 */
export const shown = (value: unknown): string =>
  typeof value === "string" && /^[\w+./-]{1,20}$/.test(value) ? value : "something else"

const modulusOf = (n: string): Uint8Array => {
  const bytes = Either.getOrElse(Encoding.decodeBase64Url(n), () => new Uint8Array())
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? new Uint8Array() : bytes.subarray(first)
}

const bitsOf = (modulus: Uint8Array): number =>
  modulus.length === 0 ? 0 : modulus.length * 8 - (Math.clz32(modulus[0] ?? 0) - 24)

/**
 * What kind of key it is and which of its members are public, or why it is none that SMART knows.
 *
 * @internal
 */
export const describe = (jwk: JsonObject): Either.Either<Described, string> => {
  const { alg, crv, e, kty, n, use, x, y } = jwk
  if (use !== undefined && use !== "sig") return Either.left(`its use is ${shown(use)}, not sig`)
  const fits = (expected: Algorithm, described: Described): Either.Either<Described, string> =>
    alg === undefined || alg === expected
      ? Either.right(described)
      : Either.left(`its alg is ${shown(alg)}; SMART signs with ${expected} where the key is of type ${shown(kty)}`)
  if (kty === "RSA") {
    if (typeof n !== "string" || typeof e !== "string") return Either.left("an RSA key has the members n and e")
    const modulus = modulusOf(n)
    return bitsOf(modulus) < 2048
      ? Either.left(`an RSA key of ${bitsOf(modulus)} bits is too short; 2048 or more are needed`)
      : fits("RS384", { alg: "RS384", members: { kty, n, e }, signatureBytes: modulus.length })
  }
  if (kty === "EC") {
    if (crv !== "P-384") return Either.left(`an EC key on ${shown(crv)} does not fit; ES384 needs P-384`)
    return typeof x === "string" && typeof y === "string"
      ? fits("ES384", { alg: "ES384", members: { kty, crv, x, y }, signatureBytes: 96 })
      : Either.left("an EC key has the members x and y")
  }
  return Either.left(`a key of type ${shown(kty)} does not fit; SMART signs with RSA (RS384) or EC on P-384 (ES384)`)
}

/**
 * The members WebCrypto wants of a private key, without `key_ops`, `ext` and whatever else came with them.
 *
 * @internal
 */
export const privateMembers = (described: Described, jwk: JsonObject): jose.JWK => ({
  ...described.members,
  ...Object.fromEntries(
    PRIVATE[described.alg].flatMap((member) => {
      const value = jwk[member]
      return typeof value === "string" ? [[member, value]] : []
    })
  )
})

/** @internal */
export const make = (described: Described, kid: string): PublicJwk =>
  described.alg === "RS384"
    ? { ...described.members, kid, alg: described.alg, use: "sig" }
    : { ...described.members, kid, alg: described.alg, use: "sig" }

/**
 * Whether two are the same key, whatever they are called.
 *
 * @internal
 */
export const isSameKey = (a: PublicJwk, b: PublicJwk): boolean =>
  a.kty === "RSA" ? b.kty === "RSA" && a.n === b.n && a.e === b.e : b.kty === "EC" && a.x === b.x && a.y === b.y
