/**
 * The public half of a signing key, as it is published: key members, a `kid`, and nothing private (SMART App Launch
 * 2.2, requirements 293, 313, 314 and 315; RFC 7517, section 4).
 *
 * @since 0.1.0
 */

/**
 * The algorithms that every SMART client must support (requirements 308 and 309).
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = "RS384" | "ES384"

/**
 * A public RSA key. It has no private members.
 *
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
 * A public key on an elliptic curve. It has no private members.
 *
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
 * A public key that a client publishes (RFC 7517).
 *
 * @since 0.1.0
 * @category models
 */
export type PublicJwk = RsaPublicJwk | EcPublicJwk

/**
 * The keys that a client publishes at its JWKS URL, or registers.
 *
 * @since 0.1.0
 * @category models
 */
export interface JwkSet {
  readonly keys: ReadonlyArray<PublicJwk>
}

const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "k", "oth", "priv"]

/**
 * Whether a JWK has a member that must not be published.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isPrivate = (jwk: Readonly<Record<string, unknown>>): boolean =>
  PRIVATE_MEMBERS.some((member) => jwk[member] !== undefined)
