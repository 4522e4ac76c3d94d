/** `BrowserLaunch` in a real Firefox: a launch, a reload, and tabs that share a session by Web Locks and storage. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import * as Firefox from "../support/Firefox.js"
import { App, countingTokenRequests, layer as appLayer, type Place, tokenRequests } from "./browserApp.js"

const NAME = "Mateo Villanueva"

const visit = (tokens: Place) =>
  Effect.gen(function*() {
    const { baseUrl } = yield* App
    const { newPage } = yield* Firefox.Firefox
    const page = yield* newPage
    yield* page.goto(`${baseUrl}/`)
    yield* page.text(`localStorage.setItem("browser-app:tokens", "${tokens}")`)
    yield* page.reload
    return page
  })

const signIn = (page: Firefox.Page) =>
  Effect.gen(function*() {
    yield* page.click("button", "Sign in")
    yield* page.click("a", "Approve for Patient/patient-beta, Mateo Villanueva")
    yield* page.sees("h1, h2", NAME)
  })

describe.skipIf(!Firefox.available)(`BrowserLaunch in Firefox${Firefox.condition}`, () => {
  layer(Layer.merge(Firefox.layer, appLayer()), { excludeTestServices: true, timeout: 120_000 })((it) => {
    it.scoped("a launch signs in, leaves no code in the address, and survives a reload", () =>
      Effect.gen(function*() {
        const page = yield* visit("sessionStorage")
        yield* signIn(page)
        assert.notMatch(yield* page.text("location.href"), /[?&](code|state)=/)
        const requests = yield* countingTokenRequests(Effect.zipRight(page.reload, page.sees("h1, h2", NAME)))
        assert.strictEqual(requests, 0)
      }), 120_000)

    it.scoped("two tabs share a session, renew it with one request, and end it together", () =>
      Effect.gen(function*() {
        const { baseUrl, ehr } = yield* App
        const { newPage } = yield* Firefox.Firefox
        const one = yield* visit("localStorage")
        yield* signIn(one)
        const two = yield* newPage
        yield* two.goto(`${baseUrl}/`)
        yield* two.sees("h1, h2", NAME)
        yield* ehr.fault("token", SandboxEhr.Fault.delay("1500 millis"))
        const expiry = `document.querySelector("#expires").innerText`
        const requests = yield* countingTokenRequests(Effect.all(
          [one, two].map((page) =>
            Effect.zipRight(page.click("button", "Renew the token"), page.sees("button", "Renew the token"))
          ),
          { concurrency: 2 }
        ))
        assert.strictEqual(requests, 1)
        assert.strictEqual((yield* tokenRequests).at(-1)?.form["grant_type"], "refresh_token")
        assert.strictEqual(yield* one.text(expiry), yield* two.text(expiry))
        yield* one.click("button", "Log out")
        yield* one.sees("button", "Sign in")
        yield* two.click("button", "Renew the token")
        yield* two.sees("button", "Sign in")
      }), 120_000)
  })
})
