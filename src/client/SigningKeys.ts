/**
 * The keys with which a client signs, and the key set that it publishes (SMART App Launch 2.2, "Client
 * Authentication: Asymmetric"; RFC 7515, RFC 7517).
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Settings from "../base/Settings.js"
import { isSameKey } from "./internal/algorithms.js"
import { badKey } from "./internal/configurationError.js"
import * as Jws from "./internal/jws.js"
import * as KeyRotation from "./KeyRotation.js"
import type * as PublicJwk from "./PublicJwk.js"
import * as SigningKey from "./SigningKey.js"

export type { Sign, SignOptions } from "./internal/jws.js"

/**
 * The keys of a client: they sign its assertions, and their public halves are published.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The claims as a compact JWS, signed with the first key whose algorithm the server accepts. */
  readonly sign: Jws.Sign
  /** The key set to publish: public members only, each `kid` once. Run it for every response, because keys rotate. */
  readonly publicJwks: Effect.Effect<PublicJwk.JwkSet>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class SigningKeys extends Context.Tag("effect-safire/SigningKeys")<SigningKeys, Service>() {}

type Key = SigningKey.PublishedKey | SigningKey.SigningKey

/** One key for each `kid`. Of copies of one key, the one that signs; two different keys are an error. */
const distinct = (keys: ReadonlyArray<Key>): Effect.Effect<ReadonlyArray<Key>, ConfigurationError> =>
  Effect.suspend(() => {
    const byKid = new Map<string, Key>()
    for (const key of keys) {
      const known = byKid.get(key.kid)
      if (known !== undefined && !isSameKey(known.publicJwk, key.publicJwk)) {
        return badKey(`two different keys have the kid ${key.kid}; a server cannot tell them apart`)
      }
      if (known === undefined || !SigningKey.isSigningKey(known)) byKid.set(key.kid, key)
    }
    return Effect.succeed([...byKid.values()])
  })

/**
 * All keys are published; the first that the server accepts signs. `signing` is the `kid` of the only key that may
 * sign, for a set that already contains its successor.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  keys: ReadonlyArray<SigningKey.PublishedKey | SigningKey.SigningKey>,
  options?: { readonly signing?: string | undefined } | undefined
): Effect.Effect<Service, ConfigurationError> =>
  Effect.gen(function*() {
    const published = yield* distinct(keys)
    const signing = options?.signing
    const signers = published.filter(SigningKey.isSigningKey)
      .filter(({ kid }) => signing === undefined || kid === signing)
    if (signers.length === 0) {
      return yield* badKey(
        signing === undefined
          ? "none of the keys is private"
          : "the private keys have other kids than the one that is to sign"
      )
    }
    const jwks = { keys: published.map(({ publicJwk }) => publicJwk) }
    return { sign: Jws.sign(Effect.succeed(signers)), publicJwks: Effect.succeed(jwks) }
  })

const layerEach = <Options>(
  options: ReadonlyArray<Options>,
  toKey: (options: Options) => Effect.Effect<SigningKey.SigningKey, ConfigurationError>
): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(SigningKeys, Effect.flatMap(Effect.forEach(options, toKey), (keys) => make(keys)))

/**
 * One or several PEM keys; the first that the server accepts signs.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPem = (
  ...keys: readonly [SigningKey.PemOptions, ...ReadonlyArray<SigningKey.PemOptions>]
): Layer.Layer<SigningKeys, ConfigurationError> => layerEach(keys, SigningKey.fromPem)

/**
 * A JWK, or a JWK Set of which `kid` selects the key that signs (default: the first that the server accepts).
 *
 * @since 0.1.0
 * @category layers
 */
export const layerJwk = (options: SigningKey.JwkOptions): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(
    SigningKeys,
    Effect.flatMap(SigningKey.fromJwk(options), (keys) => make(keys, { signing: options.kid }))
  )

/**
 * One or several key pairs of WebCrypto.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCryptoKey = (
  ...keys: readonly [SigningKey.CryptoKeyOptions, ...ReadonlyArray<SigningKey.CryptoKeyOptions>]
): Layer.Layer<SigningKeys, ConfigurationError> => layerEach(keys, SigningKey.fromCryptoKey)

/**
 * One or several keys of a key management service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSigner = (
  ...signers: readonly [SigningKey.Signer, ...ReadonlyArray<SigningKey.Signer>]
): Layer.Layer<SigningKeys, ConfigurationError> => layerEach(signers, SigningKey.fromSigner)

/**
 * A key that can be replaced while the program runs, and the service that replaces it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRotating = (
  options: KeyRotation.Options
): Layer.Layer<SigningKeys | KeyRotation.KeyRotation, ConfigurationError> =>
  Layer.effectContext(
    Effect.map(
      KeyRotation.make(options),
      (rotation) => Context.make(SigningKeys, rotation).pipe(Context.add(KeyRotation.KeyRotation, rotation))
    )
  )

const config = Config.nested("SMART")(
  Config.all({ privateKey: Settings.secret("PRIVATE_KEY"), kid: Settings.text("KEY_ID") })
)

/**
 * The keys in `SMART_PRIVATE_KEY` (PEM, JWK or JWK Set), of which `SMART_KEY_ID` selects the one that signs. None if
 * the variable is absent or blank.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeConfig: Effect.Effect<Option.Option<Service>, ConfigError | ConfigurationError> = Effect.gen(
  function*() {
    const { kid, privateKey } = yield* config
    if (privateKey === undefined) return Option.none()
    return yield* SigningKey.fromText({ text: privateKey, kid }).pipe(
      Effect.flatMap((keys) => make(keys, { signing: kid })),
      Effect.asSome,
      Effect.mapError(({ detail, reason }) => configurationError(reason, ["SMART_PRIVATE_KEY"], detail))
    )
  }
)

/**
 * From `SMART_PRIVATE_KEY` and `SMART_KEY_ID`: see `makeConfig`. Built for each use, from the configuration that it
 * is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig: Layer.Layer<SigningKeys, ConfigError | ConfigurationError> = Layer.fresh(Layer.effect(
  SigningKeys,
  Effect.flatMap(
    makeConfig,
    Effect.mapError(() => configurationError("Missing", ["SMART_PRIVATE_KEY"], "set it to the key to sign with"))
  )
))
