/**
 * Every page of the demo app, of its EHR and of the sandbox, checked by axe-core: on a phone and on a desktop, in light
 * and in dark.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import axe from "axe-core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import type { Page } from "playwright-core"
import * as Chromium from "../support/Chromium.js"
import * as DemoApp from "../support/demoApp.js"
import { App } from "../support/demoApp.js"

type AxeModule = typeof axe

const { drive } = Chromium

const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } } as const

const SCHEMES = ["light", "dark"] as const

/** What axe says about the page as it is now, and whether the page is wider than the screen. */
const problemsOf = (page: Page, name: string, checkStructure: boolean) =>
  drive(() =>
    page.evaluate(async ({ checkStructure, name }) => {
      const { axe } = globalThis as unknown as { readonly axe: AxeModule }
      const { violations } = await axe.run(document, {
        iframes: false,
        resultTypes: ["violations"],
        // The structure is the same in light and in dark.
        ...(checkStructure ? {} : { runOnly: ["color-contrast"] })
      })
      const { clientWidth, scrollWidth } = document.documentElement
      return [
        ...violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${name}: ${id}: ${html.slice(0, 200)}`)),
        ...(scrollWidth > clientWidth ? [`${name}: scrolls sideways`] : [])
      ]
    }, { checkStructure, name })
  )

/** Checks the page in both schemes and both sizes. */
const check = (page: Page, name: string) =>
  Effect.gen(function*() {
    yield* drive(() => page.evaluate(axe.source))
    const problems: Array<string> = []
    for (const [size, viewport] of Object.entries(SIZES)) {
      yield* drive(() => page.setViewportSize(viewport))
      for (const colorScheme of SCHEMES) {
        yield* drive(() => page.emulateMedia({ colorScheme }))
        problems.push(...(yield* problemsOf(page, `${name}, ${size}, ${colorScheme}`, colorScheme === "light")))
      }
    }
    return problems
  })

const press = (page: Page, name: RegExp | string) => drive(() => page.getByRole("button", { name }).first().click())

const heading = (page: Page, name: RegExp | string) =>
  drive(() => page.getByRole("heading", { level: 1, name }).waitFor())

describe.skipIf(!Chromium.available)(`accessibility in Chromium${Chromium.condition}`, () => {
  layer(Layer.merge(DemoApp.layer, Chromium.layer), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.scoped("axe finds no violation on the pages of the app and of the EHR", () =>
      Effect.gen(function*() {
        const { baseUrl, ehrs } = yield* App
        const ehr = `http://127.0.0.1:${ehrs[0]?.port ?? 0}`
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        const problems: Array<string> = []
        const checkNow = (name: string) => Effect.map(check(page, name), (found) => void problems.push(...found))
        const checkAll = (origin: string, ...paths: ReadonlyArray<string>) =>
          Effect.forEach(paths, (path) => Effect.zipRight(drive(() => page.goto(`${origin}${path}`)), checkNow(path)))

        yield* checkAll(
          baseUrl,
          "/log",
          "/",
          "/servers/old",
          "/servers/ferry",
          "/backend?server=south",
          "/registration"
        )
        yield* checkAll(baseUrl, "/nowhere", "/launch?server=ferry")
        yield* checkAll(ehr, "/nowhere", "/login")
        yield* press(page, /Dr\. Ingrid Halvorsen/)
        yield* heading(page, "Patients")
        yield* checkAll(ehr, "/", "/access", "/clients", "/chart/patient-alpha")

        yield* drive(() => page.goto(`${baseUrl}/launch?server=north`))
        yield* heading(page, /requests access/)
        yield* checkNow("EHR: consent")
        yield* press(page, "Allow")
        yield* heading(page, /^Chart of/)
        yield* checkNow("App: chart")
        yield* drive(() => page.getByText("Blood pressure as a table").click())
        yield* checkNow("App: chart with an open table")
        yield* drive(() => page.getByRole("link", { name: "Session", exact: true }).click())
        yield* heading(page, /^Session/)
        yield* checkNow("App: session")
        yield* drive(() => page.getByRole("link", { name: "Introspection", exact: true }).click())
        yield* heading(page, /^Introspection/)
        yield* checkNow("App: introspection")
        yield* checkAll(baseUrl, "/", "/log", "/log?failed", "/log?polling")

        yield* drive(() => page.goto(`${ehr}/faults`))
        yield* press(page, /^The response is lost/)
        yield* checkAll(ehr, "/faults", "/access", "/log", "/chart/patient-beta?app=vital-lines")
        assert.deepStrictEqual(problems, [])
      }), 120_000)

    it.scoped(
      "axe finds no violation on the sandbox's own pages, and their policy allows their style",
      () =>
        Effect.gen(function*() {
          const clients = [{
            clientId: "growth-chart",
            name: "Growth chart",
            redirectUris: ["http://127.0.0.1:9/callback"],
            authentication: { method: "none" }
          }] as const
          const services = yield* Layer.build(
            SandboxEhr.layerServer({ clients, autoApprove: false }).pipe(
              Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
            )
          )
          const { endpoints, fhirBaseUrl } = Context.get(services, SandboxEhr.SandboxEhr)
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          const query = new URLSearchParams({
            response_type: "code",
            client_id: "growth-chart",
            redirect_uri: "http://127.0.0.1:9/callback",
            scope: "launch/patient openid fhirUser patient/*.rs",
            state: "state-of-the-app-0123456789",
            aud: fhirBaseUrl,
            code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            code_challenge_method: "S256"
          })
          const consent = `${endpoints.authorization}?${query.toString()}`
          yield* drive(() => page.goto(consent))
          yield* heading(page, "Sandbox EHR: allow access for Growth chart?")
          const problems = [...(yield* check(page, "consent"))]
          yield* drive(async () => {
            await page.getByRole("link", { name: "Approve for Patient/patient-beta, Mateo Villanueva" }).click()
          }).pipe(Effect.ignore)
          yield* drive(() => page.goto(endpoints.management))
          yield* drive(() => page.getByRole("button", { name: "Revoke access of growth-chart" }).waitFor())
          problems.push(...(yield* check(page, "granted access")))
          yield* drive(() => page.goto(`${consent}&client_id=unknown`))
          yield* heading(page, "Request refused")
          problems.push(...(yield* check(page, "refused")))
          assert.deepStrictEqual(problems, [])
          assert.deepStrictEqual(context.recorded.violations, [])
        }),
      60_000
    )
  })
})
