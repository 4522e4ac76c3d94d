/**
 * Which public key a JWK holds, and whether SMART can sign with it (RFC 7518, section 6; SMART App Launch 2.2,
 * requirements 308 and 309).
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type * as jose from "jose"
import type { JsonObject } from "../../base/JsonReader.js"
import type { EcPublicJwk, PublicJwk, RsaPublicJwk } from "../PublicJwk.js"

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
export const parse = (jwk: JsonObject): Either.Either<PublicKey, string> => {
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
export const privateMembers = ({ alg, members }: PublicKey, jwk: JsonObject): jose.JWK => ({
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
