/** `BrowserLaunch` in a real browser: what reloads and the back button do to a launch and to a session. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Chromium from "../support/Chromium.js"
import {
  App,
  approve,
  assertClean,
  assertNoTraces,
  browser,
  countingTokenRequests,
  follow,
  layer as appLayer,
  press,
  problem,
  seesChart,
  seesStart,
  visit
} from "./browserApp.js"

describe.skipIf(!Chromium.available)(`BrowserLaunch in one tab${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer()), { excludeTestServices: true })((it) => {
    it.scoped("a reload at each step continues the launch, and no code is sent twice", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const context = yield* browser("sessionStorage")
        const page = yield* visit(context)
        let callback = ""
        page.on("request", (request) => {
          if (request.url().startsWith(`${baseUrl}/?code=`)) callback = request.url()
        })
        const reload = Chromium.drive(() => page.reload())
        yield* reload
        yield* press(page, "Sign in")
        yield* Chromium.drive(() => page.getByRole("link", { name: "Deny" }).waitFor())
        yield* reload
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          yield* reload
          yield* seesChart(page, "Beta")
          // The callback a second time, as from a log or a bookmark: the session it led to.
          assert.include(callback, "code=")
          yield* Chromium.drive(() => page.goto(callback))
          yield* seesChart(page, "Beta")
        }))
        assert.strictEqual(requests, 0)
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("tokens in memory end with the page, and a used callback is SessionGone", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const context = yield* browser("memory")
        const page = yield* visit(context)
        let callback = ""
        page.on("request", (request) => {
          if (request.url().startsWith(`${baseUrl}/?code=`)) callback = request.url()
        })
        yield* press(page, "Sign in")
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        yield* Chromium.drive(() => page.reload())
        yield* seesStart(page)
        yield* Chromium.drive(() => page.goto(callback))
        assert.include(yield* problem(page), "used before")
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("the back button leads to a working page, from the consent and after the launch", () =>
      Effect.gen(function*() {
        const context = yield* browser("memory")
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* Chromium.drive(() => page.getByRole("link", { name: "Deny" }).waitFor())
        yield* Chromium.drive(() => page.goBack())
        yield* seesStart(page)
        yield* press(page, "Sign in")
        yield* approve(page, "alpha")
        yield* seesChart(page, "Alpha")
        // The consent page again, whose decision was used.
        yield* Chromium.drive(() => page.goBack())
        yield* Chromium.drive(() => page.goForward())
        yield* seesStart(page)
        yield* assertNoTraces(page)
        yield* assertClean(context, [/400 \(Bad Request\)/])
      }))

    it.scoped("the back button after an EHR launch does not launch again", () =>
      Effect.gen(function*() {
        const context = yield* browser("sessionStorage")
        const page = yield* visit(context)
        yield* follow(page, "Launch for Beta")
        yield* follow(page, "Approve")
        yield* seesChart(page, "Beta")
        yield* Chromium.drive(() => page.goBack())
        yield* Chromium.drive(() => page.goBack())
        yield* seesChart(page, "Beta")
        yield* assertNoTraces(page)
      }))
  })
})
