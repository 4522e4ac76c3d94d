/** A client that has a key pair: `npx tsx examples/client-types/confidential-asymmetric.ts`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, SigningKeys } from "effect-safire"
import { app, AppLive } from "./app.js"
import { Environment } from "./ehr.js"

const Authentication = ClientAuthentication.layerPrivateKeyJwt().pipe(Layer.provide(SigningKeys.layerConfig))

app.pipe(
  Effect.provide(AppLive.pipe(Layer.provideMerge(Authentication), Layer.provide(Environment))),
  NodeRuntime.runMain
)
