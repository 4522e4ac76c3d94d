import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Sessions, SessionStore, SmartServers } from "effect-safire"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"

/** A page of your app, for a person who is logged in. The library renews its tokens. */
const PatientPage = HttpLayerRouter.add(
  "GET",
  "/patient",
  Effect.gen(function*() {
    const session = yield* CurrentSession.CurrentSession
    const { context } = yield* session.tokens
    return HttpServerResponse.text(`This is the app, for patient ${context.patient}.`)
  })
).pipe(Layer.provide(CurrentSession.required.layer))

/** `/launch`, `/callback` and `/logout`, for the servers of `ServersLive` above. */
export const AppLive = Layer.mergeAll(SmartRoutes.layer, PatientPage).pipe(
  Layer.provide(WebApp.layer({ baseUrl: "https://app.example.org", afterLogin: "/patient" })),
  Layer.provide(Layer.mergeAll(Sessions.layer, SmartServers.layerTrustedIssuers)),
  Layer.provide(SessionStore.layerMemory)
)
