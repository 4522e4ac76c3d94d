/**
 * The app's signing keys, one for each algorithm of SMART, generated at start and not exportable. An app with several
 * processes loads them from its secret store (`SigningKeys.layerPem`, `layerJwk`).
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigurationError } from "effect-safire"
import { SigningKeys } from "effect-safire"
import * as jose from "jose"

export type KeyKind = "RS384" | "ES384"

const generate = (kind: KeyKind): Effect.Effect<CryptoKeyPair> => Effect.promise(() => jose.generateKeyPair(kind))

/** Both keys in one set; the server's metadata decides which one signs. */
export const layer: Layer.Layer<SigningKeys.SigningKeys, ConfigurationError> = Layer.unwrapEffect(
  Effect.map(
    Effect.all([generate("ES384"), generate("RS384")]),
    ([ec, rsa]) => SigningKeys.layerCryptoKey({ ...ec, kid: "app-es384" }, { ...rsa, kid: "app-rs384" })
  )
)

/** The path of the public keys. */
export const JWKS_PATH = "/.well-known/jwks.json"
