/**
 * The other side: an EHR at which the app is registered as the kind of client that it is, and the app's environment.
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

/** What a deployment has in its environment. */
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

/** In memory. It refuses a client that authenticates in any other way than it is registered for. */
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

/** The person who says yes. */
export const approve = (url: URL) => Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.approve(url))
