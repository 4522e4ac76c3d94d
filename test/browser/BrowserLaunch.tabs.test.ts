/** `BrowserLaunch` in a real browser: what other tabs do to a launch and to a session. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import * as Chromium from "../support/Chromium.js"
import {
  App,
  approve,
  assertClean,
  browser,
  countingTokenRequests,
  follow,
  layer as appLayer,
  press,
  seesChart,
  seesStart,
  tokenRequests,
  visit
} from "./browserApp.js"

describe.skipIf(!Chromium.available)(`BrowserLaunch in tabs${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer()), { excludeTestServices: true })((it) => {
    it.scoped("two concurrent tabs each keep their own patient", () =>
      Effect.gen(function*() {
        const context = yield* browser("sessionStorage")
        const [one, two] = [yield* visit(context), yield* visit(context)]
        yield* press(one, "Sign in")
        yield* press(two, "Sign in")
        yield* approve(two, "beta")
        yield* approve(one, "alpha")
        yield* seesChart(one, "Alpha")
        yield* seesChart(two, "Beta")
        yield* Effect.all([
          Chromium.drive(() => one.reload()),
          Chromium.drive(() => two.reload())
        ], { concurrency: 2 })
        yield* seesChart(one, "Alpha")
        yield* seesChart(two, "Beta")
        yield* press(one, "Log out")
        yield* seesStart(one)
        yield* press(two, "Renew the token")
        yield* Chromium.drive(() => two.getByText("1 times").waitFor())
        yield* seesChart(two, "Beta")
        yield* assertClean(context)
      }))

    it.scoped("two tabs share a session, renew it with one request, and end it together", () =>
      Effect.gen(function*() {
        const { ehr } = yield* App
        const context = yield* browser("localStorage")
        const one = yield* visit(context)
        yield* press(one, "Sign in")
        yield* approve(one, "beta")
        yield* seesChart(one, "Beta")
        const two = yield* visit(context)
        yield* seesChart(two, "Beta")

        yield* ehr.fault("token", SandboxEhr.Fault.delay("1500 millis"))
        const requests = yield* countingTokenRequests(
          Effect.all(
            [one, two].map((page) =>
              Effect.zipRight(
                press(page, "Renew the token"),
                Chromium.drive(() => page.getByRole("button", { name: "Renew the token", disabled: false }).waitFor())
              )
            ),
            { concurrency: 2 }
          )
        )
        assert.strictEqual(requests, 1)
        assert.strictEqual((yield* tokenRequests).at(-1)?.form["grant_type"], "refresh_token")
        assert.strictEqual(
          yield* Chromium.drive(() => one.locator("#expires").innerText()),
          yield* Chromium.drive(() => two.locator("#expires").innerText())
        )

        yield* press(one, "Log out")
        yield* seesStart(one)
        yield* press(two, "Renew the token")
        yield* seesStart(two)
        yield* assertClean(context)
      }))

    it.scoped("with localStorage, a launch in another tab does not change the patient of the first", () =>
      Effect.gen(function*() {
        const context = yield* browser("localStorage")
        const one = yield* visit(context)
        yield* press(one, "Sign in")
        yield* approve(one, "alpha")
        yield* seesChart(one, "Alpha")
        const two = yield* visit(context, "/ehr-launch?patient=patient-beta")
        yield* follow(two, "Approve")
        yield* seesChart(two, "Beta")
        yield* Chromium.drive(() => one.reload())
        yield* seesChart(one, "Alpha")
        yield* assertClean(context)
      }))

    it.scoped("a duplicated tab does not have the session of the first", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const context = yield* browser("sessionStorage")
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        // A window that a page opens starts with a copy of its session storage, as a duplicated tab does.
        const [copy] = yield* Chromium.drive(() =>
          Promise.all([page.waitForEvent("popup"), page.evaluate((url) => void window.open(url), `${baseUrl}/`)])
        )
        yield* seesStart(copy)
        assert.deepStrictEqual(
          yield* Chromium.drive(() =>
            copy.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith("effect-safire:session:")))
          ),
          []
        )
        yield* Chromium.drive(() => page.reload())
        yield* seesChart(page, "Beta")
        yield* press(page, "Renew the token")
        yield* Chromium.drive(() => page.getByText("1 times").waitFor())
        yield* assertClean(context)
      }))
  })
})
