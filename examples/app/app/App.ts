/**
 * The app as one layer: hospitals, sessions, transport and pages. In your own app, replace `SessionStore.layerMemory`
 * with a persistent store and `Keys.layer` with keys from a vault.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  BackendServices,
  type ConfigurationError,
  Discovery,
  FhirClient,
  Registration,
  Sessions,
  SessionStore,
  type SigningKeys,
  SmartServers
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SmartRoutes, WebApp } from "effect-safire/web"
import * as Assets from "../ui/Assets.js"
import { asset } from "../ui/Assets.js"
import * as Events from "./Events.js"
import type { Hospital } from "./Hospital.js"
import * as Hospitals from "./Hospitals.js"
import * as Keys from "./Keys.js"
import { onLaunch } from "./Launches.js"
import * as Layout from "./Layout.js"
import * as Backend from "./pages/Backend.js"
import * as Chart from "./pages/Chart.js"
import * as Home from "./pages/Home.js"
import * as Log from "./pages/Log.js"
import { notFound } from "./pages/NotFound.js"
import * as Problem from "./pages/Problem.js"
import * as RegistrationPage from "./pages/Registration.js"
import * as Server from "./pages/Server.js"
import * as Session from "./pages/Session.js"
import type { Prospect } from "./Registrations.js"
import * as Registrations from "./Registrations.js"

export interface Options {
  /** The app as browsers see it. */
  readonly baseUrl: string
  readonly hospitals: Effect.Effect<ReadonlyArray<Hospital>, ConfigurationError, SigningKeys.SigningKeys>
  readonly prospects: ReadonlyArray<Prospect>
  /** The origins of EHRs that show the app in a frame. */
  readonly embeddedBy: ReadonlyArray<string>
}

const style = HttpLayerRouter.addAll(Effect.all([asset("app.css", "text/css; charset=utf-8", import.meta.url)]))

const elsewhere = HttpLayerRouter.addAll(
  Effect.map(Layout.Layout, ({ page }) => [HttpLayerRouter.route("*", "*", Effect.sync(() => page(notFound)))])
)

const pages = Layer.mergeAll(
  Home.layer,
  Server.layer,
  Session.layer,
  Chart.layer,
  Backend.layer,
  RegistrationPage.layer,
  Log.layer,
  Assets.layer,
  style,
  elsewhere,
  SmartRoutes.layer,
  SmartRoutes.layerJwks({ path: Keys.JWKS_PATH }),
  Events.layerSessions
)

/** The routes, to be served at `baseUrl`. */
export const layer = ({ baseUrl, embeddedBy, hospitals, prospects }: Options) =>
  Layer.unwrapEffect(
    Effect.map(hospitals, (configured) => {
      const layout = Layout.make({
        embeddedBy,
        ehrOrigins: [...configured.map(({ server }) => server), ...prospects].map(({ fhirBaseUrl }) =>
          new URL(fhirBaseUrl).origin
        )
      })
      const web = WebApp.layer({
        baseUrl,
        // A session, a cookie and a path for each launch: two patients in two tabs do not mix.
        afterLogin: "/sessions/:session/chart",
        sessionCookie: "vital_lines",
        embeddedBy,
        onLaunch,
        errorPage: Problem.page(layout),
        allowInsecureLocalhost: true
      })
      const servers = SmartServers.layer(Object.fromEntries(configured.map(({ key, server }) => [key, server])))
      const smart = Layer.mergeAll(
        Sessions.layer,
        SmartServers.layerTrustedIssuers,
        BackendServices.layer,
        FhirClient.layer,
        Layer.provide(Registration.layer, Discovery.layer())
      ).pipe(Layer.provide(SessionStore.layerMemory), Layer.provideMerge(servers))
      return pages.pipe(
        Layer.provide(Layer.provide(Registrations.layer(prospects), SessionStore.layerMemory)),
        Layer.provide(smart),
        Layer.provide(Layer.mergeAll(Hospitals.layer(configured), Layer.succeed(Layout.Layout, layout), web)),
        Layer.provide(Events.layer)
      )
    })
  ).pipe(Layer.provide(Keys.layer), Layer.provide(NodeTransport.layer()))

/** On the server that is provided. */
export const serve = (options: Options) =>
  HttpLayerRouter.serve(layer(options), { disableLogger: true, disableListenLog: true })
