// The pictures of the README: `npm run screenshots`. Starts the demo app and its hospitals, walks through them in
// Chromium (`CHROMIUM`, else /usr/bin/chromium), and writes docs/images/*.png.
import { mkdirSync } from "node:fs"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { chromium, type Page } from "playwright-core"
import * as Demo from "../examples/app/main.js"

const DESKTOP = { width: 1200, height: 750 }

const FOLDER = new URL("../docs/images/", import.meta.url)

const walk = async (page: Page, app: string, ehr: string) => {
  const shot = async (name: string) => {
    // Without a blinking cursor, and with the focus unchanged.
    await page.screenshot({ path: new URL(`${name}.png`, FOLDER).pathname, animations: "disabled", caret: "hide" })
  }
  const press = (name: RegExp | string) => page.getByRole("button", { name }).first().click()

  await page.goto(app)
  await shot("app-hospitals")

  await page.goto(`${ehr}/chart/patient-alpha`)
  await press(/Dr\. Ingrid Halvorsen/)
  await page.getByRole("heading", { level: 1 }).waitFor()
  await shot("ehr-record")

  await page.goto(app)
  await page.getByRole("link", { name: "Log in at North Hospital" }).click()
  await page.getByRole("button", { name: "Allow" }).waitFor()
  await shot("ehr-consent")
  await page.getByRole("radio", { name: /Ruth Okafor/ }).check()
  await press("Allow")
  await page.waitForURL(/\/chart$/)
  const chart = page.url()
  // Tall enough for the plots.
  await page.setViewportSize({ ...DESKTOP, height: 1340 })
  await shot("app-chart")
  await page.setViewportSize(DESKTOP)

  await page.getByRole("link", { name: "Session", exact: true }).click()
  await page.getByRole("heading", { level: 1, name: /Session/ }).waitFor()
  await shot("app-session")

  await page.getByRole("link", { name: "Event log" }).click()
  await page.getByRole("heading", { level: 1 }).waitFor()
  await shot("app-log")

  await page.setViewportSize({ width: 390, height: 844 })
  await page.goto(chart)
  await page.getByRole("heading", { level: 1, name: /Chart/ }).waitFor()
  await shot("app-chart-phone")
  await page.setViewportSize(DESKTOP)

  await page.goto(`${ehr}/faults`)
  await page.getByRole("heading", { level: 1 }).waitFor()
  await shot("ehr-troubles")
}

const main = Effect.gen(function*() {
  mkdirSync(FOLDER, { recursive: true })
  const executablePath = yield* Config.withDefault(Config.string("CHROMIUM"), "/usr/bin/chromium")
  // The ports of `npm start`, which stand in the pictures.
  const { baseUrl, ehrs } = yield* Demo.serve({
    appPort: 3000,
    ehrPorts: [3100, 3101, 3102, 3103, 3104, 3105, 3106, 3107]
  })
  const browser = yield* Effect.acquireRelease(
    Effect.promise(() => chromium.launch({ executablePath, args: ["--no-sandbox"] })),
    (browser) => Effect.promise(() => browser.close())
  )
  const page = yield* Effect.promise(() => browser.newPage({ viewport: DESKTOP }))
  yield* Effect.promise(() => walk(page, baseUrl, `http://127.0.0.1:${ehrs[0]?.port ?? 0}`))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
