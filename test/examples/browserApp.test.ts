import { spawn } from "node:child_process"
import { assert, describe, it as single, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BrowserLaunchError } from "effect-safire/browser"
import {
  App,
  approve,
  assertClean,
  assertNoTraces,
  browser,
  countingTokenRequests,
  follow,
  history,
  layer as appLayer,
  openPopup,
  press,
  problem,
  seesChart,
  seesStart,
  visit
} from "../browser/browserApp.js"
import * as Chromium from "../support/Chromium.js"
import { freePort } from "../support/freePort.js"
import { root } from "../support/runExample.js"
import { assertLinksExist, assertShowsExamples, file } from "../support/shownExamples.js"

describe("docs/browser.md", () => {
  const document = file("docs/browser.md")

  single("shows what is compiled, and links to files that are there", () => {
    assertShowsExamples(document, 2)
    assertLinksExist(document, "docs/")
  })

  single("names every reason of BrowserLaunchError and every cause of a failed fetch", () => {
    for (const reason of BrowserLaunchError.fields.reason.literals) assert.include(document, `| \`${reason}\` |`)
    for (const cause of ["Cors", "ContentSecurityPolicy", "MixedContent", "Offline", "Unreachable"]) {
      assert.include(document, `| \`${cause}\` |`)
    }
  })
})

describe.skipIf(!Chromium.available)(`the example of a page without a server${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, appLayer()), { excludeTestServices: true })((it) => {
    it.scoped("a standalone launch in the same window shows the chosen patient, and no code stays in the address", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          yield* press(page, "Sign in")
          yield* approve(page, "beta")
          yield* seesChart(page, "Beta")
        }))
        assert.strictEqual(requests, 1)
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("[SMART-41] an EHR launch shows the patient of the EHR, and no launch stays in the address", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        yield* follow(page, "Launch for Beta")
        yield* follow(page, "Approve")
        yield* seesChart(page, "Beta")
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("a launch in a popup does not navigate the page, and closes the popup", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        const before = yield* history(page)
        const popup = yield* openPopup(page)
        assert.isTrue(
          yield* Chromium.drive(() => page.getByRole("button", { name: "Sign in", exact: true }).isDisabled())
        )
        assert.isNull(
          yield* Chromium.drive(() => popup.evaluate(() => window.opener)),
          "the EHR's page has no hold on ours"
        )
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          const closed = popup.waitForEvent("close")
          yield* approve(popup, "beta")
          yield* seesChart(page, "Beta")
          yield* Chromium.drive(() => closed)
        }))
        assert.strictEqual(requests, 1)
        assert.deepStrictEqual(yield* history(page), before)
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("a denied consent can be requested again, in the same window and in a popup", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* follow(page, "Deny")
        assert.include(yield* problem(page), "Access was not given")
        yield* assertNoTraces(page)

        const popup = yield* openPopup(page)
        yield* follow(popup, "Deny")
        assert.include(yield* problem(page), "Access was not given")

        yield* press(page, "Sign in")
        yield* approve(page, "alpha")
        yield* seesChart(page, "Alpha")
        assert.isTrue(yield* Chromium.drive(() => page.getByRole("alert").isHidden()))
        yield* assertClean(context)
      }))

    it.scoped("a button renews the token, and the logout also ends the session at the server", () =>
      Effect.gen(function*() {
        const { ehr } = yield* App
        const context = yield* browser()
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* approve(page, "alpha")
        yield* seesChart(page, "Alpha")
        const requests = yield* countingTokenRequests(Effect.zipRight(
          press(page, "Renew the token"),
          Chromium.drive(() => page.getByText("1 times").waitFor())
        ))
        assert.strictEqual(requests, 1)
        yield* press(page, "Log out")
        yield* seesStart(page)
        assert.include((yield* ehr.requests).map(({ step }) => step), "revoke")
        yield* Chromium.drive(() => page.reload())
        yield* seesStart(page)
        yield* assertClean(context)
      }))

    it.scoped("a double click has the effect of one click", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        const twice = (name: string) =>
          Chromium.drive(() => page.getByRole("button", { name }).dblclick({ force: true }))
        const [popup] = yield* Chromium.drive(() =>
          Promise.all([
            page.waitForEvent("popup"),
            page.getByRole("button", { name: "Sign in in a new window" }).dblclick({ force: true })
          ])
        )
        yield* approve(popup, "beta")
        yield* seesChart(page, "Beta")
        assert.isAtMost(context.playwright.pages().length, 2)
        const requests = yield* countingTokenRequests(Effect.zipRight(
          twice("Renew the token"),
          Chromium.drive(() => page.getByText("1 times").waitFor())
        ))
        assert.strictEqual(requests, 1)
        yield* twice("Log out")
        yield* seesStart(page)
        assert.lengthOf(context.playwright.pages(), 1)
        yield* assertClean(context)
      }))

    it.scoped("can be used by keyboard; the focus moves to new content", () =>
      Effect.gen(function*() {
        const context = yield* browser()
        const page = yield* visit(context)
        yield* seesStart(page)
        const focused = Chromium.drive(() => page.evaluate(() => document.activeElement?.textContent))
        assert.strictEqual(yield* focused, "Open a patient’s chart")
        yield* Chromium.drive(() => page.keyboard.press("Tab"))
        assert.strictEqual(yield* focused, "Sign in")
        yield* Chromium.drive(() => page.keyboard.press("Enter"))
        yield* approve(page, "beta")
        yield* seesChart(page, "Beta")
        assert.strictEqual(yield* focused, "Mateo Villanueva")
        yield* assertClean(context)
      }))
  })

  single.live("serves until it is interrupted, then closes its port", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const { code, output } = yield* Effect.async<{ readonly code: number | null; readonly output: string }>(
        (resume) => {
          const child = spawn(process.execPath, ["--import", "tsx", "examples/browser-app/serve.ts"], {
            cwd: root,
            env: { PATH: process.env["PATH"] ?? "", PORT: String(port) }
          })
          let output = ""
          child.stdout.on("data", (data: Buffer) => {
            output += data.toString()
            if (output.includes("open http://localhost:")) child.kill("SIGINT")
          })
          child.stderr.on("data", (data: Buffer) => {
            output += data.toString()
          })
          child.on("close", (code) => resume(Effect.succeed({ code, output })))
          return Effect.sync(() => child.kill())
        }
      )
      assert.include(output, `open http://localhost:${port}/`)
      assert.notInclude(output, "Error")
      assert.strictEqual(code, 0)
    }))
})
