import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Sessions, SessionStore, SmartServers } from "effect-safire"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"
import { SmartLive } from "./client.js"

/** A page of your own, for whoever is logged in. Without a session there is another page instead, and a way to the start. */
const Dashboard = HttpLayerRouter.add(
  "GET",
  "/dashboard",
  Effect.gen(function*() {
    const session = yield* CurrentSession.CurrentSession
    const tokens = yield* session.tokens
    return HttpServerResponse.text(`patient in context: ${tokens.context.patient ?? "none"}`)
  })
).pipe(Layer.provide(CurrentSession.required.layer))

/** `GET /launch`, for EHRs and for people; `GET` and `POST /callback`; `POST /logout`. Needs a `ClientAuthentication` and an `HttpClient`. */
export const Routes = Layer.mergeAll(SmartRoutes.layer, Dashboard).pipe(
  Layer.provide(WebApp.layer({ baseUrl: "https://app.example.org", afterLogin: "/dashboard" })),
  Layer.provide([Sessions.layer, SmartServers.layerTrustedIssuers]),
  Layer.provide(SessionStore.layerMemory),
  Layer.provide(SmartServers.layerFromClient),
  Layer.provide(SmartLive)
)
