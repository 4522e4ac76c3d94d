import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Sessions, SessionStore, SmartServers } from "effect-safire"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"
import { SmartLive } from "./client.js"

/** A page of your app. A person without a session sees a page with a link to the login. */
const Dashboard = HttpLayerRouter.add(
  "GET",
  "/dashboard",
  Effect.gen(function*() {
    const session = yield* CurrentSession.CurrentSession
    const tokens = yield* session.tokens
    return HttpServerResponse.text(`patient in context: ${tokens.context.patient ?? "none"}`)
  })
).pipe(Layer.provide(CurrentSession.required.layer))

/** `/launch`, `/callback` and `/logout`. Needs a `ClientAuthentication` and an `HttpClient`. */
export const Routes = Layer.mergeAll(SmartRoutes.layer, Dashboard).pipe(
  Layer.provide(WebApp.layer({ baseUrl: "https://app.example.org", afterLogin: "/dashboard" })),
  Layer.provide([Sessions.layer, SmartServers.layerTrustedIssuers]),
  Layer.provide(SessionStore.layerMemory),
  Layer.provide(SmartServers.layerFromClient),
  Layer.provide(SmartLive)
)
