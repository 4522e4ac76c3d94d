/**
 * Cryptographically random bytes for `state`, `nonce`, PKCE verifiers and `jti`. Effect's `Random` is seeded and
 * predictable.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"

/**
 * A source of random bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `count` bytes from a cryptographic source. */
  readonly bytes: (count: number) => Effect.Effect<Uint8Array>
}

/**
 * WebCrypto unless a layer provides another source. Read when a service is built.
 *
 * @since 0.1.0
 * @category tags
 */
export class SecureRandom extends Context.Reference<SecureRandom>()("effect-safire/SecureRandom", {
  defaultValue: (): Service => ({
    bytes: (count) => Effect.sync(() => globalThis.crypto.getRandomValues(new Uint8Array(count)))
  })
}) {}

/**
 * Another source of random bytes, for tests.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (service: Service): Layer.Layer<never> => Layer.succeed(SecureRandom, service)

/**
 * `count` random bytes as unpadded base64url: 32 bytes make 43 characters.
 *
 * @since 0.1.0
 * @category combinators
 */
export const base64Url = (random: Service, count: number): Effect.Effect<string> =>
  Effect.map(random.bytes(count), Encoding.encodeBase64Url)
