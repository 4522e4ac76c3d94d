/**
 * The keys this client signs with, and the set it publishes (SMART App Launch 2.2, "Client Authentication: Asymmetric"; RFC 7515, RFC 7517).
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../base/ConfigurationError.js"
import * as Jws from "./internal/jws.js"
import * as KeyRotation from "./KeyRotation.js"
import * as PublicJwk from "./PublicJwk.js"
import type { CryptoKeyOptions, JwkOptions, PemOptions, PublishedKey, Signer } from "./SigningKey.js"
import * as SigningKey from "./SigningKey.js"

/**
 * @since 0.1.0
 * @category models
 */
export type SignOptions = Jws.SignOptions

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The claims as a compact JWS, signed with the first key whose algorithm is wanted. */
  readonly sign: Jws.Sign
  /** What to publish: public members only, no `kid` twice. Read it anew for every answer, because keys rotate. */
  readonly publicJwks: Effect.Effect<PublicJwk.JwkSet>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SigningKeys extends Context.Tag("effect-safire/SigningKeys")<SigningKeys, Service>() {}

/** One key to a `kid`: of copies of the same key the one that signs is kept, different keys are a mistake. */
const distinct = (
  keys: ReadonlyArray<PublishedKey | SigningKey.SigningKey>
): Effect.Effect<ReadonlyArray<PublishedKey | SigningKey.SigningKey>, ConfigurationError> =>
  Effect.suspend(() => {
    const byKid = new Map<string, PublishedKey | SigningKey.SigningKey>()
    for (const key of keys) {
      const known = byKid.get(key.kid)
      if (known !== undefined && !PublicJwk.isSameKey(known.publicJwk, key.publicJwk)) {
        return new ConfigurationError({
          reason: "BadKey",
          fields: ["signingKey"],
          detail: `two different keys are called ${key.kid}; a server could not tell them apart`
        })
      }
      if (known === undefined || !SigningKey.isSigningKey(known)) byKid.set(key.kid, key)
    }
    return Effect.succeed([...byKid.values()])
  })

/**
 * Of several keys the first that fits signs; all are published. `signing` names the only one that may sign, where another is the successor that
 * servers should know before it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  keys: ReadonlyArray<PublishedKey | SigningKey.SigningKey>,
  options?: { readonly signing?: string | undefined } | undefined
): Effect.Effect<Service, ConfigurationError> =>
  Effect.gen(function*() {
    const known = yield* distinct(keys)
    const signing = options?.signing
    const signers = known.filter(SigningKey.isSigningKey).filter(({ kid }) => signing === undefined || kid === signing)
    if (signers.length === 0) {
      return yield* new ConfigurationError({
        reason: "BadKey",
        fields: ["signingKey"],
        detail: signing === undefined
          ? "there is no private key among them"
          : "no private key among them has the kid that is to sign"
      })
    }
    const jwks = { keys: known.map(({ publicJwk }) => publicJwk) }
    return { sign: Jws.sign(() => Effect.succeed(signers)), publicJwks: Effect.succeed(jwks) }
  })

/**
 * One or several PEM keys; the first that fits signs.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPem = (
  ...keys: readonly [PemOptions, ...ReadonlyArray<PemOptions>]
): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(SigningKeys, Effect.flatMap(Effect.forEach(keys, SigningKey.fromPem), (keys) => make(keys)))

const makeJwk = (options: JwkOptions): Effect.Effect<Service, ConfigurationError> =>
  Effect.flatMap(SigningKey.fromJwk(options), (keys) => make(keys, { signing: options.kid }))

/**
 * A JWK, or a JWK Set of which `kid` selects the one that signs (without it the first that fits).
 *
 * @since 0.1.0
 * @category layers
 */
export const layerJwk = (options: JwkOptions): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(SigningKeys, makeJwk(options))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerCryptoKey = (
  ...keys: readonly [CryptoKeyOptions, ...ReadonlyArray<CryptoKeyOptions>]
): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(SigningKeys, Effect.flatMap(Effect.forEach(keys, SigningKey.fromCryptoKey), (keys) => make(keys)))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerSigner = (
  ...signers: readonly [Signer, ...ReadonlyArray<Signer>]
): Layer.Layer<SigningKeys, ConfigurationError> =>
  Layer.effect(SigningKeys, Effect.flatMap(Effect.forEach(signers, SigningKey.fromSigner), (keys) => make(keys)))

/**
 * Keys that change while the program runs, with the handle that changes them.
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

/**
 * From the text of a PEM key, a JWK or a JWK Set. Errors name `field`.
 *
 * @internal
 */
export const makeText = (
  options: { readonly text: Redacted.Redacted; readonly kid?: string | undefined; readonly field: string }
): Effect.Effect<Service, ConfigurationError> =>
  SigningKey.fromText(options).pipe(
    Effect.flatMap((keys) => make(keys, { signing: options.kid })),
    Effect.mapError(({ detail, reason }) => new ConfigurationError({ reason, fields: [options.field], detail }))
  )

/**
 * `SMART_PRIVATE_KEY` and `SMART_KEY_ID`; what is left blank counts as absent.
 *
 * @internal
 */
export const config: Config.Config<{
  readonly privateKey: Option.Option<Redacted.Redacted>
  readonly kid: Option.Option<string>
}> = Config.all({
  privateKey: Config.map(
    Config.option(Config.redacted("PRIVATE_KEY")),
    Option.filter((key) => Redacted.value(key).trim() !== "")
  ),
  kid: Config.map(Config.option(Config.string("KEY_ID")), Option.filter((kid) => kid.trim() !== ""))
}).pipe(Config.nested("SMART"))

/**
 * From `SMART_PRIVATE_KEY` (PEM, JWK or JWK Set) and `SMART_KEY_ID`. Made anew for each use, from the configuration it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig: Layer.Layer<SigningKeys, ConfigError | ConfigurationError> = Layer.fresh(Layer.effect(
  SigningKeys,
  Effect.flatMap(config, ({ kid, privateKey }): Effect.Effect<Service, ConfigurationError> =>
    Option.isNone(privateKey)
      ? new ConfigurationError({
        reason: "Missing",
        fields: ["SMART_PRIVATE_KEY"],
        detail: "there is no key to sign with"
      })
      : makeText({ text: privateKey.value, kid: Option.getOrUndefined(kid), field: "SMART_PRIVATE_KEY" }))
))
