import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, SigningKeys } from "effect-safire"

export const publicApp = ClientAuthentication.layerPublic

export const symmetricApp = Layer.unwrapEffect(
  Effect.map(
    Config.redacted("CLIENT_SECRET"),
    (clientSecret) => ClientAuthentication.layerClientSecretBasic({ clientSecret })
  )
)

export const asymmetricApp = ClientAuthentication.layerPrivateKeyJwt({ jwksUri: "https://app.example.org/jwks.json" })
  .pipe(Layer.provide(SigningKeys.layerConfig))
