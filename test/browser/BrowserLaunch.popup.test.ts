/** Popups in a real browser that fail, and callbacks without a launch. */
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
  layer as appLayer,
  openPopup,
  press,
  problem,
  seesChart,
  seesStart,
  visit
} from "./browserApp.js"

describe.skipIf(!Chromium.available)(`BrowserLaunch and its popups${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer()), { excludeTestServices: true })((it) => {
    it.scoped("fails with PopupBlocked without a click, and the same window works", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        yield* Chromium.drive(() =>
          context.playwright.addInitScript(() => {
            addEventListener("load", () => {
              const press = () => {
                const button = document.querySelector<HTMLButtonElement>("#sign-in-popup")
                if (button?.checkVisibility() === true && !button.disabled) button.click()
                else setTimeout(press, 50)
              }
              if (document.querySelector("#sign-in-popup") !== null) press()
            })
          })
        )
        const page = yield* visit(context)
        assert.include(yield* problem(page), "blocked the new window")
        yield* press(page, "Sign in")
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        yield* assertClean(context)
      }))

    it.scoped("fails with PopupClosed when the user closes the popup, and the next popup works", () =>
      Effect.gen(function*() {
        const context = yield* browser("sessionStorage")
        const page = yield* visit(context)
        const popup = yield* openPopup(page)
        yield* Chromium.drive(() => popup.close())
        assert.include(yield* problem(page), "closed before")
        const next = yield* openPopup(page)
        yield* approve(next, "beta")
        yield* seesChart(page, "Beta")
        yield* Chromium.drive(() => page.reload())
        yield* seesChart(page, "Beta")
        yield* assertClean(context)
      }))

    it.scoped("a popup whose page no longer waits ends with LaunchNotFound and sends no code", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        const [givenUp] = [yield* openPopup(page), yield* press(page, "Cancel")]
        const left = yield* openPopup(page)
        yield* Chromium.drive(() => page.reload())
        const requests = yield* countingTokenRequests(
          Effect.forEach([givenUp, left], (popup) =>
            Effect.gen(function*() {
              yield* approve(popup, "beta")
              assert.include(yield* problem(popup), "not started in this tab")
              yield* assertNoTraces(popup)
            }))
        )
        assert.strictEqual(requests, 0)
        yield* assertClean(context)
      }))

    it.scoped("a callback without a launch in this browser is refused before any request", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          const page = yield* visit(
            context,
            "/?code=theirs&state=00000000000000000000000000000000&iss=https%3A%2F%2Fehr.example"
          )
          assert.include(yield* problem(page), "not started in this tab")
          yield* assertNoTraces(page)
          yield* seesStart(page)
        }))
        assert.strictEqual(requests, 0)
        yield* assertClean(context)
      }))

    it.scoped("the callback of another browser's launch is refused", () =>
      Effect.gen(function*() {
        const { baseUrl, ehr } = yield* App
        const [theirs, ours] = [yield* browser("sessionStorage"), yield* browser("sessionStorage")]
        const attacker = yield* visit(theirs)
        yield* press(attacker, "Sign in")
        yield* Chromium.drive(() => attacker.getByRole("link", { name: "Deny" }).waitFor())
        const { href } = yield* ehr.approve(attacker.url())
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          const page = yield* visit(ours, href.slice(baseUrl.length))
          assert.include(yield* problem(page), "not started in this tab")
        }))
        assert.strictEqual(requests, 0)
        yield* assertClean(ours)
      }))

    it.scoped("a launch from an EHR that is not configured is refused before any request", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context, "/?iss=https%3A%2F%2Fehr.evil.example%2Ffhir&launch=x")
        assert.include(yield* problem(page), "does not come from the record system")
        yield* assertClean(context)
      }))
  })
})
