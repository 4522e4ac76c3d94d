/**
 * The keys the app signs with: one of each kind that SMART knows, made when the app starts. They cannot be taken out of the process. An app with more than
 * one process has them from where its secrets are kept (`SigningKeys.layerPem`, `layerJwk`).
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigurationError } from "effect-safire"
import { SigningKeys } from "effect-safire"
import * as jose from "jose"

export type KeyKind = "RS384" | "ES384"

const generate = (kind: KeyKind): Effect.Effect<CryptoKeyPair> => Effect.promise(() => jose.generateKeyPair(kind))

/** Both in one set: which of them signs follows from what the server says it accepts. */
export const layer: Layer.Layer<SigningKeys.SigningKeys, ConfigurationError> = Layer.unwrapEffect(
  Effect.map(
    Effect.all([generate("ES384"), generate("RS384")]),
    ([ec, rsa]) => SigningKeys.layerCryptoKey({ ...ec, kid: "app-es384" }, { ...rsa, kid: "app-rs384" })
  )
)

/** Where the public halves are published. */
export const JWKS_PATH = "/.well-known/jwks.json"
