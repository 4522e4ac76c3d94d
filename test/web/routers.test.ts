import { createServer, get } from "node:http"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, Sessions, SessionStore, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { SmartRoutes, WebApp } from "effect-safire/web"

const BASE = "https://app.sandbox.test"

const webApp = (options?: Partial<WebApp.Options>) => Layer.orDie(WebApp.layer({ baseUrl: BASE, ...options }))

const serversAt = (redirectUri: string) =>
  Layer.unwrapEffect(Effect.map(SandboxEhr.SandboxEhr, ({ fhirBaseUrl }) =>
    SmartServers.layer({
      hospital: {
        fhirBaseUrl,
        clientId: "sandbox-public-app",
        redirectUri,
        scopes: ["launch/patient", "patient/*.rs"],
        authentication: ClientAuthentication.layerPublic
      }
    }))).pipe(Layer.orDie)

/** All that the routes need but a router and a `WebApp`. */
const servicesAt = (redirectUri = `${BASE}/callback`) =>
  Layer.mergeAll(Sessions.layer, SmartServers.layerTrustedIssuers).pipe(
    Layer.provide(SessionStore.layerMemory),
    Layer.provideMerge(serversAt(redirectUri)),
    Layer.provideMerge(SandboxEhr.layerHttpClient())
  )

const onPort = NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }).pipe(Layer.orDie)

const originOf = (server: HttpServer.HttpServer): string =>
  server.address._tag === "TcpAddress" ? `http://127.0.0.1:${server.address.port}` : ""

/** Without `fetch`, whose `Sec-Fetch-Mode` is not a navigation. */
const locationOf = (url: string) =>
  Effect.async<{ readonly status: number | undefined; readonly location: string }>((resume) => {
    get(url, (response) => {
      response.resume()
      resume(Effect.succeed({ status: response.statusCode, location: response.headers.location ?? "" }))
    }).on("error", (error) => resume(Effect.die(error)))
  })

const quiet = { disableListenLog: true, disableLogger: true }

/** Whether `/launch` under the address leads to the EHR. */
const launches = (address: string) =>
  Effect.map(locationOf(`${address}/launch`), ({ location, status }) => {
    assert.strictEqual(status, 303)
    assert.match(location, /^https:\/\/ehr\.sandbox\.test\/auth\/authorize\?/)
  })

describe("SmartRoutes on a router", () => {
  it.scopedLive("`HttpLayerRouter.serve(SmartRoutes.layer)` serves the routes, each added once", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(
        HttpLayerRouter.serve(SmartRoutes.layer, quiet).pipe(
          Layer.provide(webApp()),
          Layer.provide(servicesAt()),
          Layer.provideMerge(onPort)
        )
      )
      const address = originOf(Context.get(context, HttpServer.HttpServer))
      yield* launches(address)
      assert.strictEqual((yield* locationOf(`${address}/callback?state=x&code=y`)).status, 400)
      assert.strictEqual((yield* locationOf(`${address}/nowhere`)).status, 404)
    }))

  it.scopedLive("one app is served on two ports of one program", () =>
    Effect.gen(function*() {
      const served = HttpLayerRouter.serve(SmartRoutes.layer, quiet)
      const port = () => Layer.fresh(onPort)
      const addresses: Array<string> = []
      const note = Layer.effectDiscard(Effect.map(HttpServer.HttpServer, (server) => addresses.push(originOf(server))))
      yield* Layer.build(
        Layer.mergeAll(
          Layer.merge(Layer.fresh(served), Layer.fresh(note)).pipe(Layer.provide(port())),
          Layer.merge(Layer.fresh(served), Layer.fresh(note)).pipe(Layer.provide(port()))
        ).pipe(Layer.provide(webApp()), Layer.provide(servicesAt()))
      )
      assert.strictEqual(new Set(addresses).size, 2)
      for (const address of addresses) yield* launches(address)
    }))

  it.scopedLive("two apps on one router have their own routes, each from its own `WebApp`", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(
        HttpLayerRouter.serve(
          Layer.merge(
            SmartRoutes.layer.pipe(
              Layer.provide(webApp({ baseUrl: `${BASE}/one` })),
              Layer.provide(servicesAt(`${BASE}/one/callback`))
            ),
            SmartRoutes.layer.pipe(
              Layer.provide(webApp({ baseUrl: `${BASE}/two`, sessionCookie: "two" })),
              Layer.provide(servicesAt(`${BASE}/two/callback`))
            )
          ),
          quiet
        ).pipe(Layer.provideMerge(onPort))
      )
      const address = originOf(Context.get(context, HttpServer.HttpServer))
      yield* launches(`${address}/one`)
      yield* launches(`${address}/two`)
      assert.strictEqual((yield* locationOf(`${address}/launch`)).status, 404)
    }))

  it.scopedLive.each([["first", 0], ["second", 1]] as const)(
    "two apps on one router share their servers, and the %s one alone waits at the redirect URI that it has as its own",
    ([, its]) =>
      Effect.gen(function*() {
        const apps = [
          webApp(),
          webApp({ sessionCookie: "two", paths: { launch: "/two", callback: "/return", logout: "/leave" } })
        ]
        const [one, two] = apps.map((app) => SmartRoutes.layer.pipe(Layer.provide(app)))
        assert.isTrue(one !== undefined && two !== undefined)
        if (one === undefined || two === undefined) return
        const context = yield* Layer.build(
          HttpLayerRouter.serve(Layer.merge(one, two), quiet).pipe(
            Layer.provide(servicesAt(its === 0 ? `${BASE}/callback` : `${BASE}/return`)),
            Layer.provideMerge(onPort)
          )
        )
        const address = originOf(Context.get(context, HttpServer.HttpServer))
        const statuses = [yield* locationOf(`${address}/launch`), yield* locationOf(`${address}/two`)]
        assert.deepStrictEqual(statuses.map(({ status }) => status), its === 0 ? [303, 500] : [500, 303])
      })
  )

  it.scopedLive("`toHttpEffect(SmartRoutes.layer)` serves two apps of one program", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(Layer.provideMerge(webApp(), servicesAt()))
      const other = yield* Layer.build(Layer.provideMerge(webApp({ paths: { launch: "/start" } }), servicesAt()))
      const ask = (path: string) =>
        Effect.provideService(
          HttpServerRequest.HttpServerRequest,
          HttpServerRequest.fromWeb(new Request(`${BASE}${path}`))
        )
      const app = yield* Effect.provide(HttpLayerRouter.toHttpEffect(SmartRoutes.layer), context)
      assert.strictEqual((yield* ask("/launch")(app)).status, 303)
      const second = yield* HttpLayerRouter.toHttpEffect(SmartRoutes.layer).pipe(
        Effect.provide(other),
        Effect.provideServiceEffect(Layer.CurrentMemoMap, Layer.makeMemoMap)
      )
      assert.strictEqual((yield* ask("/start")(second)).status, 303)
    }))

  it.live("`toWebHandler` handles a fetch request", () =>
    Effect.gen(function*() {
      const { dispose, handler } = HttpLayerRouter.toWebHandler(
        SmartRoutes.layer.pipe(Layer.provide(webApp()), Layer.provide(servicesAt())),
        { disableLogger: true }
      )
      const response = yield* Effect.promise(() => handler(new Request(`${BASE}/launch`)))
      assert.strictEqual(response.status, 303)
      yield* Effect.promise(dispose)
    }))

  it.scopedLive("routes of an app beside them are untouched", () =>
    Effect.gen(function*() {
      const page = HttpLayerRouter.add("GET", "/", HttpServerResponse.text("the app's own"))
      const context = yield* Layer.build(
        HttpLayerRouter.serve(Layer.merge(SmartRoutes.layer, page), quiet).pipe(
          Layer.provide(webApp()),
          Layer.provide(servicesAt()),
          Layer.provideMerge(onPort)
        )
      )
      const address = originOf(Context.get(context, HttpServer.HttpServer))
      yield* launches(address)
      assert.strictEqual((yield* locationOf(address)).status, 200)
    }))
})
