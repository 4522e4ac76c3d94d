/** The example app in a browser: served once for all tests of a suite, and what a person does with it. */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SandboxEhr } from "effect-safire/testing"
import type { Page } from "playwright-core"
import { type Options, serve } from "../../examples/browser-app/serve.js"
import * as Chromium from "../support/Chromium.js"

export class App extends Context.Tag("test/browserApp")<
  App,
  { readonly baseUrl: string; readonly ehr: SandboxEhr.Service }
>() {}

export const layer = (options?: Options) => Layer.scoped(App, serve(0, options))

export type Place = "memory" | "sessionStorage" | "localStorage"

/** A browser of its own, in which the setting was made before. */
export const browser = (tokens: Place = "memory") =>
  Effect.gen(function*() {
    const { baseUrl } = yield* App
    const localStorage = [{ name: "browser-app:tokens", value: tokens }]
    return yield* Chromium.newContext({ storageState: { cookies: [], origins: [{ origin: baseUrl, localStorage }] } })
  })

export const visit = (context: Chromium.Session, path = "/") =>
  Effect.gen(function*() {
    const { baseUrl } = yield* App
    const page = yield* context.newPage
    yield* Chromium.drive(() => page.goto(`${baseUrl}${path}`))
    return page
  })

export const press = (page: Page, name: string) =>
  Chromium.drive(() => page.getByRole("button", { name, exact: true }).click())

export const follow = (page: Page, name: string) =>
  Chromium.drive(() => page.getByRole("link", { name, exact: true }).click())

/** The links of the sandbox's consent page. */
export const APPROVALS = {
  alpha: "Approve for Patient/patient-alpha, Ruth Okafor",
  beta: "Approve for Patient/patient-beta, Mateo Villanueva"
} as const

export const approve = (page: Page, patient: keyof typeof APPROVALS) => follow(page, APPROVALS[patient])

const NAMES = { Alpha: "Ruth Okafor", Beta: "Mateo Villanueva" } as const

export const seesChart = (page: Page, patient: keyof typeof NAMES) =>
  Chromium.drive(() => page.getByRole("heading", { name: NAMES[patient] }).waitFor())

export const seesStart = (page: Page) =>
  Chromium.drive(() => page.getByRole("button", { name: "Sign in", exact: true }).waitFor())

/** What an alert says. */
export const problem = (page: Page) =>
  Effect.flatMap(
    Chromium.drive(() => page.getByRole("alert").waitFor()),
    () => Chromium.drive(() => page.getByRole("alert").innerText())
  )

/** Presses, and gives the window that opens. */
export const openPopup = (page: Page, name = "Sign in in a new window") =>
  Chromium.drive(() => Promise.all([page.waitForEvent("popup"), page.getByRole("button", { name }).click()])).pipe(
    Effect.map(([popup]) => popup),
    Effect.tap((popup) => Chromium.drive(() => popup.getByRole("link", { name: "Deny" }).waitFor()))
  )

/** Every address one could go back or forward to. */
export const history = (page: Page) =>
  Chromium.drive(async () => {
    const devtools = await page.context().newCDPSession(page)
    const { entries } = await devtools.send("Page.getNavigationHistory")
    return entries.map(({ url }) => url)
  })

/** The requests to the token endpoint so far, by grant. */
export const tokenRequests = Effect.gen(function*() {
  const { ehr } = yield* App
  const requests = yield* ehr.requests
  return requests.filter(({ step, method }) => step === "token" && method === "POST")
})

/** What came of `self` at the token endpoint. */
export const countingTokenRequests = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* tokenRequests
    yield* self
    return (yield* tokenRequests).length - before.length
  })

export const assertClean = (context: Chromium.Session, consoleErrors: ReadonlyArray<RegExp> = []) =>
  Effect.gen(function*() {
    const { baseUrl, ehr } = yield* App
    yield* Chromium.assertClean(context, { origins: [baseUrl, new URL(ehr.fhirBaseUrl).origin], consoleErrors })
  })

/** Checks that no code, state or launch handle remains in the page. */
export const assertNoTraces = (page: Page) =>
  Effect.gen(function*() {
    const { baseUrl } = yield* App
    const own = (yield* history(page)).filter((url) => url.startsWith(baseUrl))
    for (const url of [page.url(), ...own]) assert.notMatch(url, /[?&](code|state|iss|launch|error)=/)
  })
