/** A client that shares a secret with the server: `npx tsx examples/client-types/confidential-symmetric.ts`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication } from "effect-safire"
import { app, AppLive } from "./app.js"
import { Environment } from "./ehr.js"

const Authentication = Layer.unwrapEffect(
  Effect.map(
    Config.redacted("SMART_CLIENT_SECRET"),
    (clientSecret) => ClientAuthentication.layerClientSecretBasic({ clientSecret })
  )
)

app.pipe(
  Effect.provide(AppLive.pipe(Layer.provideMerge(Authentication), Layer.provide(Environment))),
  NodeRuntime.runMain
)
