/** "Failed to fetch", explained by a real browser. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import type { Page } from "playwright-core"
import * as Chromium from "../support/Chromium.js"
import { App, approve, browser, layer as appLayer, press, problem, seesChart, visit } from "./browserApp.js"

const REFUSED = SandboxEhr.Fault.headers({ set: { "access-control-allow-origin": "https://other.example" } })

describe.skipIf(!Chromium.available)(`FetchFailure${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer()), { excludeTestServices: true })((it) => {
    const restored = Effect.zipRight(
      Effect.scope,
      Effect.addFinalizer(() => Effect.flatMap(App, ({ ehr }) => ehr.clearFaults))
    )

    it.scoped("a discovery document that allows other origins only is Cors", () =>
      Effect.gen(function*() {
        yield* restored
        const { baseUrl, ehr } = yield* App
        yield* ehr.fault("discovery", REFUSED, 100)
        const context = yield* browser()
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        const said = yield* problem(page)
        assert.include(said, `${new URL(ehr.fhirBaseUrl).host} does not allow this page to read its response`)
        assert.include(said, `"Access-Control-Allow-Origin: ${baseUrl}"`)
        // The launch is not spoilt by it.
        yield* ehr.clearFaults
        yield* Effect.sleep("6 seconds")
        yield* press(page, "Sign in")
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        yield* Chromium.assertClean(context, {
          origins: [baseUrl, new URL(ehr.fhirBaseUrl).origin],
          consoleErrors: [/blocked by CORS policy/, /Failed to load resource: net::ERR_FAILED/]
        })
      }))

    it.scoped("a token endpoint that allows other origins only is Cors, too", () =>
      Effect.gen(function*() {
        yield* restored
        const { ehr } = yield* App
        yield* ehr.fault("token", REFUSED, 100)
        const context = yield* browser()
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* approve(page, "beta")
        assert.include(yield* problem(page), "does not allow this page to read its response")
      }))

    it.scoped("a server that breaks every connection is Unreachable", () =>
      Effect.gen(function*() {
        yield* restored
        const { ehr } = yield* App
        yield* ehr.fault("discovery", SandboxEhr.Fault.drop, 100)
        const context = yield* browser()
        const page = yield* visit(context)
        const popups: Array<Page> = []
        page.on("popup", (popup) => popups.push(popup))
        yield* press(page, "Sign in in a new window")
        assert.include(yield* problem(page), "does not respond to this browser")
        assert.deepStrictEqual(popups.map((popup) => popup.isClosed()), [true])
      }))

    it.scoped("a browser without a network is Offline", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        yield* Chromium.drive(() => context.playwright.setOffline(true))
        yield* press(page, "Sign in")
        assert.include(yield* problem(page), "offline")
      }))
  })

  layer(Layer.merge(Chromium.layer, appLayer({ connectSrc: [] })), { excludeTestServices: true })(
    "with a Content Security Policy of the page",
    (it) => {
      it.scoped("a server that the policy forbids is ContentSecurityPolicy", () =>
        Effect.gen(function*() {
          const { ehr } = yield* App
          const context = yield* browser()
          const page = yield* visit(context)
          yield* press(page, "Sign in")
          assert.include(yield* problem(page), `add ${new URL(ehr.fhirBaseUrl).origin} to its connect-src`)
        }))
    }
  )
})
