/** A client that cannot store a secret, such as a page or a phone app: `npx tsx examples/client-types/public.ts`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication } from "effect-safire"
import { app, AppLive } from "./app.js"
import { Environment } from "./ehr.js"

const Authentication = ClientAuthentication.layerPublic

app.pipe(
  Effect.provide(AppLive.pipe(Layer.provideMerge(Authentication), Layer.provide(Environment))),
  NodeRuntime.runMain
)
