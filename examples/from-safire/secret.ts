import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication } from "effect-safire"

/** If the server responds `invalid_client`, the previous secret is tried once, with a warning in the log. */
export const RotatingSecret = Layer.unwrapEffect(
  Effect.map(
    Config.all({
      clientSecret: Config.redacted("SMART_CLIENT_SECRET"),
      previousSecret: Config.withDefault(Config.redacted("SMART_CLIENT_SECRET_PREVIOUS"), undefined)
    }),
    ClientAuthentication.layerClientSecretBasic
  )
)
