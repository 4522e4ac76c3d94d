import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { ClientAuthentication, KeyRotation, SigningKey, SigningKeys } from "effect-safire"
import { SmartRoutes } from "effect-safire/web"

export const RotatingKey = (pem: Redacted.Redacted) =>
  Layer.unwrapEffect(
    Effect.map(SigningKey.fromPem({ pem, kid: "key-v1" }), (key) => SigningKeys.layerRotating({ key }))
  )

/** Signs with the current key. */
export const Authentication = ClientAuthentication.layerPrivateKeyJwt({
  jwksUri: "https://app.example.org/.well-known/jwks.json"
})

/** Publishes the next key, the current one, and those whose assertions may still be valid. */
export const JwksRoute = SmartRoutes.layerJwks()

/** Publishes the new key, signs with it when all servers have it, and removes the old one. `rollback` undoes it. */
export const rotate = (pem: Redacted.Redacted) =>
  Effect.gen(function*() {
    const rotation = yield* KeyRotation.KeyRotation
    return yield* rotation.rotate(yield* SigningKey.fromPem({ pem, kid: "key-v2" }))
  })
