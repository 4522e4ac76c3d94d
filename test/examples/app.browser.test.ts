/**
 * The demo app and its EHRs in a real browser: two sites, cookies, frames, and everything that people do with buttons.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Frame, Locator, Page } from "playwright-core"
import * as Chromium from "../support/Chromium.js"
import * as DemoApp from "../support/demoApp.js"
import { App, sandboxOf } from "../support/demoApp.js"

const { drive } = Chromium

/** Every kind of client. */
const KEYS = ["north", "south", "east", "west", "old"] as const
type Key = typeof KEYS[number]

const NAMES: Record<Key, string> = {
  north: "North Hospital",
  south: "South Clinic",
  east: "East Hospital",
  west: "West Clinic",
  old: "Old Mill Practice"
}

/** An error page is an answer of 400 or more, and Chromium says so in its console. */
const ERROR_PAGE = /Failed to load resource: the server responded with a status of \d+/

const world = Effect.gen(function*() {
  const { baseUrl, ehrs } = yield* App
  const origins = new Map(ehrs.map(({ key, port }) => [key, `http://127.0.0.1:${port}`]))
  return {
    baseUrl,
    ehr: (key: Key) => origins.get(key) ?? "",
    assertClean: (context: Chromium.Session) =>
      Chromium.assertClean(context, { origins: [baseUrl, ...origins.values()], consoleErrors: [ERROR_PAGE] })
  }
})

/** Signs in as a clinician if the EHR asks for a sign-in. */
const signIn = (page: Page | Frame) =>
  drive(async () => {
    const person = page.getByRole("button", { name: /Dr\. Ingrid Halvorsen/ })
    await person.or(page.getByRole("button", { name: "Allow" })).waitFor()
    if (await person.isVisible()) await person.click()
  })

const decide = (page: Page | Frame, answer: "Allow" | "Deny" = "Allow", patient?: string) =>
  drive(async () => {
    await page.getByRole("button", { name: answer }).waitFor()
    if (patient !== undefined) await page.getByRole("radio", { name: new RegExp(patient) }).check()
    await page.getByRole("button", { name: answer }).click()
  })

/** Standalone, from the list of hospitals to the chart. */
const logIn = (page: Page, key: Key, patient = "Ruth Okafor") =>
  Effect.gen(function*() {
    const { baseUrl } = yield* world
    yield* drive(() => page.goto(baseUrl))
    yield* drive(() => page.getByRole("link", { name: `Log in at ${NAMES[key]}` }).click())
    yield* signIn(page)
    yield* decide(page, "Allow", patient)
    yield* drive(() => page.waitForURL(/\/chart$/))
  })

const heading = (page: Page | Frame, name: string | RegExp): Locator => page.getByRole("heading", { level: 1, name })

const assertShown = (locator: Locator) => drive(() => locator.waitFor({ state: "visible" }))

const live = { timeout: 60_000 }

describe.skipIf(!Chromium.available)(`the demo app in Chromium${Chromium.condition}`, () => {
  layer(Layer.merge(DemoApp.layer, Chromium.layer), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    for (const key of KEYS) {
      it.scoped(`is launched by a person at ${NAMES[key]}`, () =>
        Effect.gen(function*() {
          const { assertClean } = yield* world
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          yield* logIn(page, key)
          yield* assertShown(heading(page, "Chart of Ruth Okafor"))
          yield* assertShown(page.getByRole("img", { name: /Blood pressure in mmHg/ }))
          yield* drive(() => page.getByText("Heart rate as a table").click())
          yield* assertShown(page.getByRole("region", { name: /Heart rate/ }))
          yield* drive(() => page.getByRole("link", { name: "Session", exact: true }).click())
          yield* assertShown(heading(page, `Session at ${NAMES[key]}`))
          yield* drive(() => page.getByRole("button", { name: "Log out" }).click())
          yield* assertShown(heading(page, "Hospitals"))
          yield* assertClean(context)
        }), live)

      it.scoped(`is launched by the EHR of ${NAMES[key]}`, () =>
        Effect.gen(function*() {
          const { assertClean, ehr } = yield* world
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          yield* drive(() => page.goto(`${ehr(key)}/chart/patient-beta`))
          yield* signIn(page)
          yield* drive(() => page.getByRole("button", { name: /This tab/ }).click())
          yield* decide(page)
          yield* drive(() => page.waitForURL(/\/chart$/))
          yield* assertShown(heading(page, "Chart of Mateo Villanueva"))
          yield* assertClean(context)
        }), live)
    }

    it.scoped("opens in a new tab of the EHR", () =>
      Effect.gen(function*() {
        const { assertClean, ehr } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(`${ehr("south")}/chart/patient-alpha`))
        yield* signIn(page)
        const tab = yield* drive(async () => {
          const opened = context.playwright.waitForEvent("page")
          await page.getByRole("button", { name: /New tab/ }).click()
          return opened
        })
        yield* decide(tab)
        yield* assertShown(heading(tab, "Chart of Ruth Okafor"))
        yield* assertClean(context)
      }), live)

    it.scoped("runs in a frame of the EHR, which shows the patient's name itself", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl, ehr } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(`${ehr("north")}/chart/patient-alpha`))
        yield* signIn(page)
        yield* drive(() => page.getByRole("button", { name: /In the chart/ }).click())
        const frame = yield* drive(async () => {
          const element = await page.locator("iframe").elementHandle()
          const found = await element?.contentFrame()
          if (found === null || found === undefined) throw new Error("the page has no frame")
          return found
        })
        yield* decide(frame)
        yield* drive(() => frame.waitForURL(/\/chart$/))
        assert.strictEqual(new URL(frame.url()).origin, baseUrl)
        yield* assertShown(heading(frame, "Chart of Ruth Okafor"))
        assert.strictEqual(yield* drive(() => frame.getByRole("region", { name: "Patient", exact: true }).count()), 0)
        // The frame's own links and forms send its cookie, too. A page outside of this frame does not.
        yield* drive(() => frame.getByRole("link", { name: "Session", exact: true }).click())
        yield* drive(() => frame.getByRole("button", { name: "Renew the tokens" }).click())
        yield* assertShown(frame.getByText("The tokens were renewed"))
        const outside = yield* context.newPage
        yield* drive(() => outside.goto(frame.url()))
        yield* assertShown(heading(outside, "You are signed out"))
        yield* drive(() => frame.getByRole("button", { name: "Log out" }).click())
        yield* assertShown(heading(frame, "Hospitals"))
        yield* assertClean(context)
      }), live)

    it.scoped("a denied consent can be requested again", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(`${baseUrl}/launch?server=west`))
        yield* signIn(page)
        yield* decide(page, "Deny")
        yield* assertShown(heading(page, "Access was not given"))
        const log = yield* context.newPage
        yield* drive(async () =>
          log.goto(
            new URL(
              await page.getByRole("link", { name: "details in the event log" }).getAttribute("href") ?? "",
              baseUrl
            ).href
          )
        )
        yield* assertShown(log.getByText("AuthorizationError AccessDenied").first())
        yield* drive(() => page.getByRole("link", { name: "Start again" }).click())
        yield* decide(page)
        yield* assertShown(heading(page, /^Chart of/))
        yield* assertClean(context)
      }), live)

    it.scoped("keeps two patients in two tabs apart", () =>
      Effect.gen(function*() {
        const { assertClean } = yield* world
        const context = yield* Chromium.newContext()
        const one = yield* context.newPage
        const two = yield* context.newPage
        yield* logIn(one, "east", "Ruth Okafor")
        yield* logIn(two, "east", "Mateo Villanueva")
        yield* drive(() => one.reload())
        yield* assertShown(heading(one, "Chart of Ruth Okafor"))
        yield* drive(() => two.reload())
        yield* assertShown(heading(two, "Chart of Mateo Villanueva"))
        yield* drive(() => two.getByRole("button", { name: "Log out" }).click())
        yield* drive(() => two.waitForURL(/\/$/))
        yield* drive(() => one.reload())
        yield* assertShown(heading(one, "Chart of Ruth Okafor"))
        yield* assertClean(context)
      }), live)

    it.scoped("works after reloads and the back button at each step", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(`${baseUrl}/servers/south`))
        yield* drive(() => page.getByLabel("launch/encounter").check())
        yield* drive(() => page.getByRole("button", { name: /Log in with these scopes/ }).click())
        yield* signIn(page)
        yield* assertShown(page.getByRole("button", { name: "Allow" }))
        yield* drive(() => page.reload())
        yield* drive(() => page.goto(`${baseUrl}/servers/south`))
        yield* drive(() => page.goBack())
        yield* decide(page)
        yield* drive(() => page.waitForURL(/\/sessions\/[\w-]+$/))
        yield* drive(() => page.reload())
        yield* assertShown(heading(page, "Session at South Clinic"))
        const session = page.url()
        // The user has answered the consent page. The session stays when the browser goes back to that page.
        yield* drive(() => page.goBack())
        yield* drive(() => page.goForward())
        yield* drive(() => page.waitForURL(session))
        yield* assertShown(heading(page, "Session at South Clinic"))
        yield* drive(() => page.getByRole("link", { name: "Chart", exact: true }).click())
        yield* drive(() => page.reload())
        yield* drive(() => page.goBack())
        yield* assertShown(heading(page, "Session at South Clinic"))
        yield* drive(() => page.getByRole("button", { name: "Renew the tokens" }).click())
        yield* assertShown(page.getByText("The tokens were renewed"))
        yield* drive(() => page.reload())
        yield* drive(() => page.goBack())
        yield* drive(() => page.getByRole("button", { name: "Log out" }).click())
        yield* drive(() => page.waitForURL(`${baseUrl}/`))
        // Nothing of the record comes back from the browser's own memory.
        yield* drive(() => page.goBack())
        yield* assertShown(heading(page, "You are signed out"))
        yield* assertClean(context)
      }), live)

    it.scoped("works with two clicks on each button", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(baseUrl))
        yield* drive(() => page.getByRole("link", { name: "Log in at West Clinic" }).dblclick())
        yield* drive(() => page.getByRole("button", { name: /Dr\. Ingrid Halvorsen/ }).dblclick())
        // A wait for the URL fails when the second click aborts the navigation of the first.
        yield* drive(() => page.getByRole("button", { name: "Allow" }).waitFor())
        yield* drive(() => page.getByRole("button", { name: "Allow" }).dblclick())
        yield* assertShown(heading(page, /^Chart of/))
        yield* drive(() => page.getByRole("link", { name: "Session", exact: true }).dblclick())
        yield* drive(() => page.getByRole("button", { name: "Renew the tokens" }).dblclick())
        yield* assertShown(page.getByText("The tokens were renewed"))
        yield* drive(() => page.getByRole("link", { name: "Introspect the access token" }).dblclick())
        yield* assertShown(heading(page, "Introspection of the access token"))
        yield* drive(() => page.goBack())
        yield* drive(() => page.getByRole("button", { name: "Revoke the access token" }).dblclick())
        yield* assertShown(page.getByText("The access token is revoked", { exact: true }))
        yield* drive(() => page.getByRole("link", { name: "Chart", exact: true }).click())
        yield* assertShown(heading(page, /^Chart of/))
        yield* drive(() => page.getByRole("button", { name: "Log out" }).dblclick())
        yield* drive(() => page.getByRole("link", { name: "Log in at West Clinic" }).waitFor())

        yield* drive(() => page.goto(`${baseUrl}/servers/west`))
        yield* drive(() => page.getByRole("button", { name: /Reload metadata/ }).dblclick())
        yield* assertShown(heading(page, "West Clinic"))
        yield* drive(() => page.goto(`${baseUrl}/backend`))
        yield* drive(() => page.getByRole("button", { name: "Read" }).dblclick())
        yield* assertShown(page.getByRole("region", { name: /Patients of/ }))
        yield* drive(() => page.goto(`${baseUrl}/registration`))
        yield* drive(() => page.getByRole("button", { name: /Register the app at Newtown/ }).dblclick())
        yield* assertShown(page.getByText("The app was registered"))
        yield* drive(() => page.getByRole("button", { name: /Remove the registration/ }).dblclick())
        yield* assertShown(page.getByText("The registration was removed"))
        yield* drive(() => page.goto(`${baseUrl}/log`))
        yield* drive(() => page.getByRole("button", { name: /Clear/ }).dblclick())
        yield* assertShown(heading(page, "Event log"))
        yield* assertClean(context)
      }), live)

    it.scoped("sends the person to a new launch once the session cannot go on", () =>
      Effect.gen(function*() {
        const { assertClean } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* logIn(page, "south")
        const sandbox = yield* sandboxOf("south")
        for (const { active, id } of yield* sandbox.access) if (active) yield* sandbox.revokeAccess(id)
        yield* drive(() => page.reload())
        yield* assertShown(heading(page, "You are signed out"))
        yield* drive(() => page.getByRole("link", { name: "Go to the start page" }).click())
        yield* assertShown(heading(page, "Hospitals"))
        yield* assertClean(context)
      }), live)

    it.scoped("continues when an EHR is available again", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl, ehr } = yield* world
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* logIn(page, "north")
        const desk = yield* context.newPage
        yield* drive(() => desk.goto(`${ehr("north")}/faults`))
        yield* drive(() => desk.getByRole("button", { name: "Take the EHR down" }).click())
        yield* assertShown(desk.getByRole("button", { name: "Bring the EHR up" }))
        yield* drive(() => page.reload())
        yield* assertShown(page.getByText(/is not responding/).first())
        const other = yield* context.newPage
        yield* drive(() => other.goto(`${baseUrl}/servers/north`))
        yield* drive(() => other.getByRole("button", { name: /Reload metadata/ }).click())
        yield* assertShown(other.getByText("The server's metadata could not be read"))
        yield* drive(() => desk.getByRole("button", { name: "Bring the EHR up" }).click())
        yield* assertShown(desk.getByRole("button", { name: "Take the EHR down" }))
        yield* drive(() => page.reload())
        yield* assertShown(heading(page, "Chart of Ruth Okafor"))
        // The app remembers for some seconds that the EHR did not answer, unless a user reloads the metadata.
        yield* drive(() => other.getByRole("button", { name: /Reload metadata/ }).click())
        yield* assertShown(other.getByRole("button", { name: /Log in with these scopes/ }))
        yield* assertClean(context)
      }), live)

    it.scoped("renews once for two concurrent tabs", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl } = yield* world
        const context = yield* Chromium.newContext()
        const one = yield* context.newPage
        yield* logIn(one, "east")
        yield* drive(() => one.getByRole("link", { name: "Session", exact: true }).click())
        const two = yield* context.newPage
        yield* drive(() => two.goto(one.url()))
        const sandbox = yield* sandboxOf("east")
        const renewals = Effect.map(sandbox.requests, (requests) =>
          requests.filter(({ body, url }) =>
            url.endsWith("/auth/token") && body.includes("grant_type=refresh_token")
          ).length)
        const before = yield* renewals
        yield* Effect.all(
          [one, two].map((page) =>
            drive(() => page.getByRole("button", { name: "Renew the tokens" }).click())
          ),
          { concurrency: "unbounded" }
        )
        for (const page of [one, two]) yield* assertShown(page.getByText("The tokens were renewed"))
        // Of two requests at the very same time one; of one that came later, its own.
        assert.isAtMost((yield* renewals) - before, 2)
        assert.isAtLeast((yield* renewals) - before, 1)
        yield* drive(() => two.goto(`${baseUrl}${new URL(two.url()).pathname}/chart`))
        yield* assertShown(heading(two, "Chart of Ruth Okafor"))
        yield* assertClean(context)
      }), live)

    it.scoped("can be used by keyboard and without scripts", () =>
      Effect.gen(function*() {
        const { assertClean, baseUrl } = yield* world
        const context = yield* Chromium.newContext({ javaScriptEnabled: false })
        const page = yield* context.newPage
        yield* drive(() => page.goto(baseUrl))
        yield* drive(() => page.keyboard.press("Tab"))
        yield* assertShown(page.getByRole("link", { name: "Skip to the content" }))
        yield* drive(() => page.keyboard.press("Enter"))
        yield* drive(() => page.keyboard.press("Tab"))
        yield* drive(() => page.keyboard.press("Enter"))
        yield* signIn(page)
        yield* decide(page)
        yield* assertShown(heading(page, /^Chart of/))
        yield* assertClean(context)
      }), live)
  })
})
