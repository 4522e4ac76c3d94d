/**
 * Proof Key for Code Exchange (RFC 7636), which SMART App Launch 2.2 requires of every client (requirement 13): `S256`,
 * never `plain`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SecureRandom from "../base/SecureRandom.js"
import * as Sha256 from "../base/Sha256.js"

/**
 * A verifier and its `S256` challenge (RFC 7636).
 *
 * @since 0.1.0
 * @category models
 */
export interface Challenge {
  /** `code_verifier`: 43 characters. It is sent with the code only. */
  readonly verifier: Redacted.Redacted
  /** `code_challenge`: the SHA-256 of the verifier in base64url. */
  readonly challenge: string
  /** `code_challenge_method`. */
  readonly method: "S256"
}

/**
 * Makes verifiers and their challenges.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** A new pair for every authorization request. */
  readonly generate: Effect.Effect<Challenge>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Pkce extends Context.Tag("effect-safire/Pkce")<Pkce, Service>() {}

/**
 * RFC 7636, section 4.2: the unpadded base64url of the SHA-256 of the verifier's ASCII characters.
 *
 * @since 0.1.0
 * @category constructors
 */
export const challengeOf = (verifier: Redacted.Redacted): Effect.Effect<string> =>
  Sha256.base64Url(Redacted.value(verifier))

/**
 * Makes the service with the `SecureRandom` of its environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service> = Effect.map(SecureRandom.SecureRandom, (random): Service => ({
  generate: Effect.gen(function*() {
    // 32 bytes make the 43 characters that section 4.1 recommends.
    const verifier = Redacted.make(yield* SecureRandom.base64Url(random, 32))
    return { verifier, challenge: yield* challengeOf(verifier), method: "S256" as const }
  })
}))

/**
 * Made anew for each use, so that a `SecureRandom` given to one client is not used by another.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Pkce> = Layer.fresh(Layer.effect(Pkce, make))
