import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, ClientAuthenticationConfig, SigningKeys } from "effect-safire"

export const Public = ClientAuthentication.layerPublic

export const ConfidentialSymmetric = Layer.unwrapEffect(
  Effect.map(
    Config.redacted("SMART_CLIENT_SECRET"),
    (clientSecret) => ClientAuthentication.layerClientSecretBasic({ clientSecret })
  )
)

/** The key comes from `SMART_PRIVATE_KEY` and `SMART_KEY_ID`; RS384 or ES384 follows from it. */
export const ConfidentialAsymmetric = ClientAuthentication.layerPrivateKeyJwt({
  jwksUri: "https://app.example.org/.well-known/jwks.json"
}).pipe(Layer.provide(SigningKeys.layerConfig))

/** The kind of client for which the environment has credentials. */
export const FromEnvironment = ClientAuthenticationConfig.layer
