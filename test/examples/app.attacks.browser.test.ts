/**
 * Attacks by another site on the users of the demo app. They run in a real browser, because a model of cookies and
 * frames can differ from what the browser does.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import type { Page } from "playwright-core"
import * as Chromium from "../support/Chromium.js"
import * as DemoApp from "../support/demoApp.js"
import { App, sandboxOf } from "../support/demoApp.js"
import { server } from "../support/http.js"

const { drive } = Chromium

/** The attacker's site: it serves each page that a test gives it. */
const elsewhere = Effect.gen(function*() {
  const pages: Array<string> = []
  const { origin } = yield* server((request, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8")
    response.end(pages[Number(request.url?.slice(1))])
  })
  return (page: string) => `${origin}/${pages.push(page) - 1}`
})

const heading = (page: Page, name: string | RegExp) =>
  drive(() => page.getByRole("heading", { level: 1, name }).waitFor({ state: "visible" }))

const toConsent = (page: Page, launch: string) =>
  drive(async () => {
    await page.goto(launch)
    const person = page.getByRole("button", { name: /Dr\. Ingrid Halvorsen/ })
    await person.or(page.getByRole("button", { name: "Allow" })).waitFor()
    if (await person.isVisible()) await person.click()
    await page.getByRole("button", { name: "Allow" }).waitFor()
  })

const logIn = (page: Page, baseUrl: string, patient: string) =>
  Effect.gen(function*() {
    yield* toConsent(page, `${baseUrl}/launch?server=north`)
    yield* drive(() => page.getByRole("radio", { name: patient }).check())
    yield* drive(() => page.getByRole("button", { name: "Allow" }).click())
    yield* drive(() => page.waitForURL(/\/chart$/))
  })

/** The callback of a launch of one's own, not followed. */
const callbackOf = (page: Page, baseUrl: string) =>
  Effect.gen(function*() {
    yield* toConsent(page, `${baseUrl}/launch?server=north`)
    const caught = drive(async () => {
      const request = page.waitForRequest((request) => request.url().startsWith(`${baseUrl}/callback`))
      await page.route(`${baseUrl}/callback/*`, (route) => route.abort())
      await page.getByRole("button", { name: "Allow" }).click()
      return (await request).url()
    })
    return yield* caught
  })

/** Those of the app's frames, too, which belong to no address alone. */
const sessionCookies = (context: Chromium.Session) =>
  drive(async () => (await context.playwright.cookies()).filter(({ name }) => name.startsWith("__Host-session")))

const live = { timeout: 60_000 }

describe.skipIf(!Chromium.available)(`the demo app under attack, in Chromium${Chromium.condition}`, () => {
  layer(Layer.merge(DemoApp.layer, Chromium.layer), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.scoped(
      "[SMART-61] login CSRF: a link with the code of another user starts no session",
      () =>
        Effect.gen(function*() {
          const { baseUrl } = yield* App
          const show = yield* elsewhere
          const attacker = yield* Chromium.newContext()
          const callback = yield* callbackOf(yield* attacker.newPage, baseUrl)

          const victim = yield* Chromium.newContext()
          const page = yield* victim.newPage
          const fields = Array.from(new URL(callback).searchParams)
            .map(([name, value]) => `<input name="${name}" value="${value}">`).join("")
          yield* drive(() => page.goto(show(`<a href="${callback.replaceAll("&", "&amp;")}">a picture of a cat</a>`)))
          yield* drive(() => page.getByRole("link").click())
          yield* heading(page, "This sign-in is no longer valid")
          yield* drive(() =>
            page.goto(
              show(`<form method="post" action="${baseUrl}/callback/north">${fields}<button>Win</button></form>`)
            )
          )
          yield* drive(() => page.getByRole("button", { name: "Win" }).click())
          yield* heading(page, "This sign-in is no longer valid")
          assert.deepStrictEqual(yield* sessionCookies(victim), [])
        }),
      live
    )

    it.scoped(
      "a callback from the history starts no session after a logout or in another browser",
      () =>
        Effect.gen(function*() {
          const { baseUrl } = yield* App
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          const seen: Array<string> = []
          page.on("request", (request) => void (request.url().includes("/callback/north?") && seen.push(request.url())))
          yield* logIn(page, baseUrl, "Ruth Okafor")
          const [callback = ""] = seen
          assert.include(callback, "code=")
          const thief = yield* Chromium.newContext()
          const other = yield* thief.newPage
          yield* drive(() => other.goto(callback))
          yield* heading(other, "This sign-in is no longer valid")
          yield* drive(() => page.getByRole("button", { name: "Log out" }).click())
          yield* drive(() => page.waitForURL(`${baseUrl}/`))
          yield* drive(() => page.goto(callback))
          yield* heading(page, "This sign-in is no longer valid")
          assert.deepStrictEqual(yield* sessionCookies(context), [])
        }),
      live
    )

    it.scoped(
      "session fixation: a cookie that the attacker has set does not become the session",
      () =>
        Effect.gen(function*() {
          const { baseUrl } = yield* App
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          const planted = "planted-by-some-attacker-0123456789abcdefghijk"
          yield* drive(() => page.goto(baseUrl))
          yield* drive(() =>
            page.evaluate((value) => {
              for (const kind of ["session", "launch"]) {
                document.cookie = `__Host-${kind}-${"x".repeat(22)}=${value}; Secure; Path=/`
              }
            }, planted)
          )
          assert.include((yield* sessionCookies(context)).map(({ value }) => value), planted)
          yield* logIn(page, baseUrl, "Ruth Okafor")
          const handle = new URL(page.url()).pathname.split("/")[2]
          assert.notStrictEqual(handle, "x".repeat(22))
          yield* drive(() => page.goto(`${baseUrl}/sessions/${"x".repeat(22)}/chart`))
          yield* heading(page, "You are signed out")
        }),
      live
    )

    it.scoped("forged forms: the app logs no user out and revokes no access", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const show = yield* elsewhere
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* logIn(page, baseUrl, "Mateo Villanueva")
        const chart = page.url()
        const handle = new URL(chart).pathname.split("/")[2] ?? ""
        for (const path of [`/logout/${handle}`, `/sessions/${handle}/revoke`, `/sessions/${handle}/refresh`]) {
          const other = yield* context.newPage
          yield* drive(() =>
            other.goto(show(`<form method="post" action="${baseUrl}${path}"><button>Win</button></form>`))
          )
          const answer = yield* drive(async () => {
            const answered = other.waitForResponse((response) => response.url() === `${baseUrl}${path}`)
            await other.getByRole("button", { name: "Win" }).click()
            return (await answered).status()
          })
          assert.isTrue(answer === 403 || answer === 404, `${path}: ${answer}`)
        }
        yield* drive(() => page.reload())
        yield* heading(page, "Chart of Mateo Villanueva")
      }), live)

    it.scoped("many launches of another page do not remove a pending launch", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const show = yield* elsewhere
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* toConsent(page, `${baseUrl}/launch?server=north`)
        const other = yield* context.newPage
        const many = Array.from({ length: 20 }, (_, index) =>
          `<img src="${baseUrl}/launch?server=north&amp;return=${"/".repeat(900)}&amp;n=${index}">` +
          `<iframe src="${baseUrl}/launch?server=north&amp;n=${index}"></iframe>`)
        yield* drive(() =>
          other.goto(show(many.join("")), { waitUntil: "load" })
        )
        yield* drive(() => page.getByRole("button", { name: "Allow" }).click())
        yield* drive(() => page.waitForURL(/\/chart$/))
        yield* heading(page, /^Chart of/)
      }), live)

    it.scoped("a site that is not an EHR of this app cannot show it in a frame", () =>
      Effect.gen(function*() {
        const { baseUrl } = yield* App
        const show = yield* elsewhere
        const context = yield* Chromium.newContext()
        const page = yield* context.newPage
        yield* drive(() => page.goto(show(`<iframe src="${baseUrl}/"></iframe>`)))
        const shown = yield* drive(async () => {
          const frame = await (await page.locator("iframe").elementHandle())?.contentFrame()
          await frame?.waitForLoadState()
          return frame?.getByRole("heading").count()
        })
        assert.strictEqual(shown, 0)
        assert.isNotEmpty(
          context.recorded.consoleErrors.filter((text) => /frame-ancestors|Refused to frame|Framing/.test(text))
        )
      }), live)

    it.scoped(
      "[SMART-6] open redirect: a login leads into the app, even if its link names another target",
      () =>
        Effect.gen(function*() {
          const { baseUrl } = yield* App
          const show = yield* elsewhere
          for (
            const path of [
              show(""),
              show("").replace("http:", ""),
              "/\\127.0.0.1",
              "/.//127.0.0.1",
              "javascript:alert(1)"
            ]
          ) {
            const context = yield* Chromium.newContext()
            const page = yield* context.newPage
            yield* toConsent(
              page,
              `${baseUrl}/launch?${new URLSearchParams({ server: "north", return: path }).toString()}`
            )
            yield* drive(() => page.getByRole("button", { name: "Allow" }).click())
            yield* drive(() => page.waitForURL(/\/chart$/))
            assert.strictEqual(new URL(page.url()).origin, baseUrl)
          }
        }),
      live
    )

    it.scoped(
      "HTML from an EHR or a URL is shown as text or omitted, and does not run",
      () =>
        Effect.gen(function*() {
          const { baseUrl, ehrs } = yield* App
          const sandbox = yield* sandboxOf("south")
          const markup = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
          const context = yield* Chromium.newContext()
          const page = yield* context.newPage
          const titles: Array<string> = []
          page.on("load", () => void page.title().then((title) => titles.push(title), () => undefined))

          const query = new URLSearchParams({
            server: markup,
            return: markup,
            state: markup,
            code: markup,
            error: markup,
            iss: markup,
            launch: markup
          })
          for (
            const path of [
              "/launch",
              "/callback",
              "/log",
              "/",
              "/servers/south",
              `/servers/${encodeURIComponent(markup)}`
            ]
          ) {
            yield* drive(() => page.goto(`${baseUrl}${path}?${query.toString()}`))
          }
          yield* sandbox.fault(
            "fhir",
            SandboxEhr.Fault.mutate((members) => ({
              ...members,
              name: [{ family: markup, given: [markup] }],
              birthDate: markup,
              gender: markup,
              code: { text: markup, coding: [{ display: markup, code: markup }] },
              text: { status: "generated", div: markup }
            })),
            30
          )
          yield* toConsent(page, `${baseUrl}/launch?server=south`)
          yield* drive(() => page.getByRole("button", { name: "Allow" }).click())
          yield* drive(() => page.waitForURL(/\/chart$/))
          yield* heading(page, /^Chart of/)
          assert.include(yield* drive(() => page.locator("main").innerText()), "onerror")
          yield* sandbox.clearFaults
          yield* sandbox.fault("token", SandboxEhr.Fault.oauthError("invalid_request", { description: markup }), 5)
          yield* toConsent(page, `${baseUrl}/launch?server=south`)
          yield* drive(() => page.getByRole("button", { name: "Allow" }).click())
          yield* drive(() => page.waitForURL(/\/callback/))
          yield* drive(() => page.goto(`${baseUrl}/log`))
          yield* sandbox.clearFaults

          assert.isNotEmpty(titles)
          assert.notInclude(titles, "owned")
          assert.deepStrictEqual(context.recorded.violations, [])
          const known = [baseUrl, ...ehrs.map(({ port }) => `http://127.0.0.1:${port}`)]
          assert.deepStrictEqual(
            context.recorded.requests.map(({ url }) => new URL(url).origin).filter((origin) => !known.includes(origin)),
            []
          )
        }),
      live
    )
  })
})
