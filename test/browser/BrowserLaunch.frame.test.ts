/**
 * The app in a frame of the EHR, which is another site: browsers give it a storage apart from the one it has by
 * itself, or none.
 */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { FrameLocator, Page } from "playwright-core"
import * as Chromium from "../support/Chromium.js"
import { App, APPROVALS, countingTokenRequests, follow, layer as appLayer } from "./browserApp.js"

/** A page of the EHR that embeds the app: at what path of the app is said in its query. */
const chart = Effect.gen(function*() {
  const { baseUrl } = yield* App
  const server = yield* NodeHttpServer.make(() => createServer(), { port: 0, host: "127.0.0.1" })
  yield* HttpServerRequest.HttpServerRequest.pipe(
    Effect.map(({ url }) => new URL(url, baseUrl).searchParams.get("app") ?? "/"),
    Effect.map((path) =>
      HttpServerResponse.text(
        `<!doctype html><html lang="en"><title>Chart</title><link rel="icon" href="data:,">` +
          `<iframe title="App" src="${baseUrl}${path}" width=900 height=700></iframe></html>`,
        { contentType: "text/html; charset=utf-8" }
      )
    ),
    HttpServer.serveEffect(),
    Effect.provideService(HttpServer.HttpServer, server)
  )
  return `http://127.0.0.1:${server.address._tag === "TcpAddress" ? server.address.port : 0}`
})

const embedded = (context: Chromium.Session, origin: string, path: string) =>
  Effect.gen(function*() {
    const { baseUrl, ehr } = yield* App
    const page = yield* context.newPage
    yield* Chromium.drive(() => page.goto(`${origin}/?app=${encodeURIComponent(path)}`))
    const isClean = Chromium.assertClean(context, { origins: [origin, baseUrl, new URL(ehr.fhirBaseUrl).origin] })
    return { isClean, page, frame: page.frameLocator("iframe") }
  })

const seesBeta = (frame: FrameLocator) =>
  Chromium.drive(() => frame.getByRole("heading", { name: "Mateo Villanueva" }).waitFor())

/** A launch in a popup of the framed page, in which the browser shows the app with another storage. */
const inPopup = (page: Page, frame: FrameLocator, decision: string) =>
  Effect.gen(function*() {
    const button = frame.getByRole("button", { name: "Sign in in a new window" })
    const [popup] = yield* Chromium.drive(() => Promise.all([page.waitForEvent("popup"), button.click()]))
    const requests = yield* countingTokenRequests(Effect.gen(function*() {
      const closed = popup.waitForEvent("close")
      yield* follow(popup, decision)
      yield* seesBeta(frame)
      yield* Chromium.drive(() => closed)
    }))
    assert.strictEqual(requests, 1)
  })

describe.skipIf(!Chromium.available)(`BrowserLaunch in a frame${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer({ frameAncestors: ["http://127.0.0.1:*"] })), {
    excludeTestServices: true
  })(
    (it) => {
      it.scoped("with storage, an EHR launch stays in the frame, and a popup sends its callback there", () =>
        Effect.gen(function*() {
          const origin = yield* chart
          const context = yield* Chromium.newProfile
          const launched = yield* embedded(context, origin, "/ehr-launch?patient=patient-beta")
          yield* Chromium.drive(() => launched.frame.getByRole("link", { name: "Approve" }).click())
          yield* seesBeta(launched.frame)
          yield* launched.isClean
          const { frame, page } = yield* embedded(context, origin, "/")
          yield* inPopup(page, frame, APPROVALS.beta)
        }))

      it.scoped("without storage, the page offers a popup, and a launch in it works", () =>
        Effect.gen(function*() {
          const origin = yield* chart
          const context = yield* Chromium.newContext()
          const { frame, isClean, page } = yield* embedded(context, origin, "/ehr-launch?patient=patient-beta")
          const said = yield* Chromium.drive(() => frame.getByRole("alert").innerText())
          assert.include(said, "Sign in in a new window")
          yield* inPopup(page, frame, "Approve")
          yield* isClean
        }))
    }
  )
})
