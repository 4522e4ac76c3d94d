/**
 * The EHR at which the app is registered, and the environment of the app.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ClientAuthentication } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Keys from "../support/keys.js"

const secret = Redacted.make("a secret the two of them share")
const keys = Effect.runSync(Effect.cached(Keys.generate("2026-a")))

/** The environment of a deployment. */
export const Environment = Layer.unwrapEffect(
  Effect.map(keys, ({ privateJwk }) =>
    Layer.setConfigProvider(ConfigProvider.fromMap(
      new Map([
        ["SMART_CLIENT_SECRET", Redacted.value(secret)],
        ["SMART_PRIVATE_KEY", Redacted.value(privateJwk)]
      ]),
      { pathDelim: "_" }
    )))
)

const registered = (method: ClientAuthentication.Method) =>
  Effect.map(keys, ({ publicJwk }): SandboxEhr.Client["authentication"] => {
    switch (method) {
      case "none":
        return { method }
      case "private_key_jwt":
        return { method, jwks: { keys: [publicJwk] } }
      default:
        return { method, secret }
    }
  })

/** In memory. It refuses a client that does not authenticate as it is registered. */
export const layer = Layer.unwrapEffect(
  ClientAuthentication.ClientAuthentication.pipe(
    Effect.flatMap(({ method }) => registered(method)),
    Effect.map((authentication) =>
      SandboxEhr.layerHttpClient({
        clients: [{
          clientId: "growth-chart",
          redirectUris: ["https://app.sandbox.test/callback"],
          authentication
        }]
      })
    )
  )
)

/** The user who approves. */
export const approve = (url: URL) => Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.approve(url))
