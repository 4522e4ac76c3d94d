/**
 * The sandbox EHR's site in a real Chromium, with a small app on another site: cookies, frames, windows and policies as
 * a browser has them.
 */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import type { FrameLocator, Page } from "playwright-core"
import * as EhrSite from "../../examples/app/ehr/index.js"
import * as Chromium from "../support/Chromium.js"
import { freePort } from "../support/freePort.js"

const { drive } = Chromium

const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

/** An app that begins a launch and says what came of it; the EHR may show it in a frame. */
const appOf = (ehr: SandboxEhr.Service, origin: string) =>
  Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
    const { pathname, searchParams } = new URL(request.url, origin)
    const launch = searchParams.get("launch")
    const query = new URLSearchParams({
      response_type: "code",
      client_id: "growth-chart",
      redirect_uri: `${origin}/callback`,
      scope: `${launch === null ? "launch/patient" : "launch"} openid fhirUser offline_access patient/*.rs`,
      state: "state-of-the-app-0123456789",
      aud: ehr.fhirBaseUrl,
      code_challenge: challenge,
      code_challenge_method: "S256",
      ...(launch === null ? {} : { launch })
    })
    if (pathname === "/launch") {
      return HttpServerResponse.empty({
        status: 303,
        headers: { location: `${ehr.endpoints.authorization}?${query.toString()}` }
      })
    }
    const came = searchParams.get("error") ?? (searchParams.has("code") ? "a code" : "nothing")
    return HttpServerResponse.text(
      `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1>App got ${came}</h1><a href="/launch">Log in</a></html>`,
      {
        contentType: "text/html",
        headers: { "content-security-policy": `frame-ancestors ${new URL(ehr.fhirBaseUrl).origin}` }
      }
    )
  })

const serve = Effect.gen(function*() {
  const port = yield* freePort
  const app = `http://localhost:${port}`
  const services = yield* Layer.build(
    EhrSite.layer({
      apps: [{ id: "growth", name: "Growth chart", launchUrl: `${app}/launch` }],
      clients: [{
        clientId: "growth-chart",
        name: "Growth chart",
        redirectUris: [`${app}/callback`],
        authentication: { method: "none" }
      }]
    }).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })))
  )
  const ehr = Context.get(services, SandboxEhr.SandboxEhr)
  yield* Layer.build(
    HttpServer.serve(appOf(ehr, app)).pipe(
      Layer.provide(NodeHttpServer.layer(() => createServer(), { port, host: "localhost" }))
    )
  )
  return { app, ehr, site: new URL(ehr.fhirBaseUrl).origin }
})

const heading = (page: Page | FrameLocator, text: RegExp | string) =>
  drive(() => page.getByRole("heading", { level: 1, name: text }).waitFor())

const button = (page: Page | FrameLocator, name: RegExp | string) => page.getByRole("button", { name })

const signIn = (page: Page, name: RegExp) => drive(() => button(page, name).click())

describe.skipIf(!Chromium.available)(`the sandbox EHR's site in Chromium${Chromium.condition}`, () => {
  layer(Chromium.layer, { excludeTestServices: true })((it) => {
    for (const javaScriptEnabled of [true, false]) {
      it.scoped(`asks a user who comes from an app for consent, ${javaScriptEnabled ? "with" : "without"} JavaScript, signed in or not`, () =>
        Effect.gen(function*() {
          const { app, ehr, site } = yield* serve
          const context = yield* Chromium.newContext({ javaScriptEnabled })
          const page = yield* context.newPage
          yield* drive(() => page.goto(app))
          yield* drive(() => page.getByRole("link", { name: "Log in" }).click())
          yield* heading(page, "Sign in")
          yield* signIn(page, /Dr\. Ingrid Halvorsen/)
          yield* heading(page, "Growth chart requests access")
          yield* drive(() => page.getByLabel(/Keep access after you leave/).uncheck())
          yield* drive(() => page.getByLabel("Mateo Villanueva").check())
          yield* drive(() => button(page, "Allow").dblclick({ noWaitAfter: true }))
          yield* heading(page, "App got a code")
          const [given, ...others] = yield* ehr.access
          assert.isEmpty(others)
          assert.notInclude(given?.scopes ?? [], "offline_access")
          assert.strictEqual(given?.context.patient, "patient-beta")

          // The cookie is strict, and yet the user does not have to sign in twice.
          yield* drive(() => page.getByRole("link", { name: "Log in" }).click())
          yield* heading(page, "Growth chart requests access")
          yield* drive(() => button(page, "Deny").click())
          yield* heading(page, "App got access_denied")
          if (javaScriptEnabled) yield* Chromium.assertClean(context, { origins: [app, site] })
        }))
    }

    it.scoped("launches the app in a frame of the record, and asks for consent in it", () =>
      Effect.gen(function*() {
        const { app, ehr, site } = yield* serve
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(site))
        yield* signIn(page, /Dr\. Asha Kulkarni/)
        yield* drive(() => button(page, /In the chart.*Ruth Okafor/).click())
        const frame = page.frameLocator("iframe[title=\"Growth chart\"]")
        yield* heading(frame, "Growth chart requests access")
        yield* drive(() => button(frame, "Allow").click())
        yield* heading(frame, "App got a code")
        assert.deepInclude((yield* ehr.access)[0]?.context, { patient: "patient-alpha", needPatientBanner: false })
        yield* drive(() => page.reload())
        yield* heading(frame, "Growth chart requests access")
        yield* Chromium.assertClean(context, { origins: [app, site] })
      }))

    it.scoped("launches two patients in two tabs, and again in the same tab", () =>
      Effect.gen(function*() {
        const { app, ehr, site } = yield* serve
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(site))
        yield* signIn(page, /Dr\. Ingrid Halvorsen/)
        for (const name of ["Ruth Okafor", "Mateo Villanueva"]) {
          const [tab] = yield* drive(() =>
            Promise.all([
              context.playwright.waitForEvent("page"),
              button(page, new RegExp(`^New tab.*${name}`)).click()
            ])
          )
          yield* heading(tab, "Growth chart requests access")
          yield* drive(() => button(tab, "Allow").click())
          yield* heading(tab, "App got a code")
        }
        assert.deepStrictEqual((yield* ehr.access).map(({ context }) => context.patient), [
          "patient-alpha",
          "patient-beta"
        ])
        yield* drive(() => button(page, /^This tab.*Mei Chau/).click())
        yield* heading(page, "Growth chart requests access")
        yield* drive(() => page.goBack())
        yield* heading(page, "Patients")
        yield* drive(() => page.goForward())
        yield* heading(page, "Growth chart requests access")
        yield* Chromium.assertClean(context, { origins: [app, site] })
      }))

    it.scoped("two clicks on a button have the effect of one", () =>
      Effect.gen(function*() {
        const { app, ehr, site } = yield* serve
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(`${site}/faults`))
        yield* drive(() => button(page, /Dr\. Ingrid Halvorsen/).dblclick({ noWaitAfter: true }))
        yield* heading(page, "Faults")
        yield* drive(() => button(page, /^The response is lost/).dblclick({ noWaitAfter: true }))
        yield* drive(() => button(page, /^Switch off The response is lost/).waitFor())
        yield* drive(() => page.getByLabel("Delay").check())
        yield* drive(() => page.getByLabel("Seconds").fill("3"))
        yield* drive(() => button(page, "Switch on").dblclick({ noWaitAfter: true }))
        yield* drive(() => button(page, /^Switch off 3 s late/).waitFor())
        assert.deepStrictEqual((yield* ehr.pendingFaults).map(({ remaining: left, step }) => [step, left]), [[
          "token",
          1
        ], [
          "token",
          1
        ]])
        yield* drive(() => button(page, "Switch all off").dblclick({ noWaitAfter: true }))
        yield* drive(() => page.getByText("No faults are pending.").waitFor())
        yield* drive(() => button(page, "Take the EHR down").dblclick({ noWaitAfter: true }))
        yield* drive(() => button(page, "Bring the EHR up").dblclick({ noWaitAfter: true }))
        yield* drive(() => button(page, "Take the EHR down").waitFor())
        assert.deepStrictEqual(yield* ehr.pendingFaults, [])
        yield* drive(() => button(page, "Sign out").dblclick({ noWaitAfter: true }))
        yield* heading(page, "Sign in")
        yield* Chromium.assertClean(context, { origins: [app, site] })
      }))

    it.scoped("can be used with the keyboard alone", () =>
      Effect.gen(function*() {
        const { app, ehr, site } = yield* serve
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        const press = (...keys: ReadonlyArray<string>) =>
          Effect.forEach(keys, (key) => drive(() => page.keyboard.press(key)), { discard: true })
        const focused = drive(() => page.evaluate(() => document.activeElement?.textContent?.trim() ?? ""))
        yield* drive(() => page.goto(`${app}/launch`))
        yield* heading(page, "Sign in")
        yield* press("Tab")
        assert.strictEqual(yield* focused, "Skip to the content")
        yield* press("Enter", "Tab")
        assert.match(yield* focused, /^Dr\. Ingrid Halvorsen/)
        yield* press("Enter")
        yield* heading(page, "Growth chart requests access")
        // Past the skip link, the name of the hospital and the sign-out button: the first scope, taken away; then the
        // patient.
        yield* press("Tab", "Enter", "Tab", "Space", "Tab", "Tab", "Tab", "Tab", "Tab", "ArrowDown", "Tab")
        assert.strictEqual(yield* focused, "Allow")
        yield* press("Enter")
        yield* heading(page, "App got a code")
        const [given] = yield* ehr.access
        assert.deepStrictEqual(given?.scopes, ["openid", "fhirUser", "offline_access", "patient/*.rs"])
        assert.strictEqual(given?.context.patient, "patient-beta")
        yield* Chromium.assertClean(context, { origins: [app, site] })
      }))

    it.scoped("has no page that scrolls sideways on a phone, or that a policy cuts off", () =>
      Effect.gen(function*() {
        const { app, site } = yield* serve
        const context = yield* Chromium.newContext({ viewport: { width: 360, height: 740 } })
        const page = yield* context.newPage
        yield* drive(() => page.goto(site))
        yield* signIn(page, /Dr\. Ingrid Halvorsen/)
        yield* heading(page, "Patients")
        for (
          const path of [
            "/",
            "/chart/patient-alpha",
            "/access",
            "/clients",
            "/log",
            "/faults",
            "/login",
            "/consent?ticket=x"
          ]
        ) {
          yield* drive(() => page.goto(`${site}${path}`))
          const [content, screen] = yield* drive(() =>
            page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const)
          )
          assert.isAtMost(content, screen, path)
        }
        yield* Chromium.assertClean(context, {
          origins: [app, site],
          consoleErrors: [/the server responded with a status of 410/]
        })
      }))
  })
})
