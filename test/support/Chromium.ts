/**
 * A real Chromium for tests: the one that `CHROMIUM` names, else the one in PATH. It records console errors, violations
 * of policies and requests of a browser context, including popups and frames.
 *
 * ```ts
 * layer(Chromium.layer, { excludeTestServices: true })("page", (it) => {
 *   it.scoped("says hello", () =>
 *     Effect.gen(function*() {
 *       const context = yield* Chromium.newContext()
 *       const page = yield* context.newPage
 *       yield* Chromium.drive(() => page.goto(`${origin}/`))
 *       yield* Chromium.assertClean(context, { origins: [origin] })
 *     }))
 * })
 * ```
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { find, fromEnvironment } from "./program.js"

export class ChromiumError extends Data.TaggedError("ChromiumError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** What happened in a browser context since it was opened. */
export interface Recorded {
  /** `<text> (<address of the script or resource>)` */
  readonly consoleErrors: Array<string>
  /** Uncaught exceptions and rejected promises. */
  readonly pageErrors: Array<string>
  /** `<directive> refused <URL> on <page>` */
  readonly violations: Array<string>
  readonly requests: Array<{ readonly method: string; readonly url: string }>
}

/** A browser context: its own cookies and storage, and any number of pages. */
export interface Session {
  readonly playwright: BrowserContext
  readonly recorded: Recorded
  readonly newPage: Effect.Effect<Page, ChromiumError>
}

export interface Allowed {
  /** The allowed origins of requests. */
  readonly origins: ReadonlyArray<string>
  /** The expected console errors: Chromium prints one for each response with status 400 or above. */
  readonly consoleErrors?: ReadonlyArray<RegExp> | undefined
}

const program = fromEnvironment("CHROMIUM") ?? find("chromium")

/**
 * Whether Chromium is installed. Tests that need it are skipped otherwise: `describe.skipIf(!Chromium.available)`.
 */
export const available = program !== undefined

/** For the name of a suite, so that a skipped one says why. */
export const condition = available ? "" : " (skipped: no CHROMIUM and no chromium in PATH)"

const firstLines = (failure: unknown): string =>
  String(failure instanceof Error ? failure.message : failure)
    // oxlint-disable-next-line no-control-regex -- Playwright colours its messages.
    .replaceAll(/\u001b\[\d+m/g, "").split("\n").slice(0, 12).join("\n")

/** One step with Playwright. */
export const drive = <A>(step: () => Promise<A>): Effect.Effect<A, ChromiumError> =>
  Effect.tryPromise({ try: step, catch: (failure) => new ChromiumError({ detail: firstLines(failure) }) })

/** A running Chromium. */
export class Chromium extends Context.Tag("test/Chromium")<Chromium, Browser>() {}

const settings = {
  executablePath: program ?? "chromium",
  // Tests run as root in containers, where Chromium's own sandbox does not start.
  args: ["--no-sandbox"],
  // Blocks popups without a click, as browsers of users do.
  ignoreDefaultArgs: ["--disable-popup-blocking"]
}

/** One browser for the layer, which all tests of a suite share. */
export const layer: Layer.Layer<Chromium, ChromiumError> = Layer.scoped(
  Chromium,
  Effect.acquireRelease(
    drive(() => chromium.launch(settings)),
    (browser) => Effect.ignore(drive(() => browser.close()))
  )
)

const REPORT = "__reportViolation"

const record = async (playwright: BrowserContext, recorded: Recorded): Promise<void> => {
  playwright.on("console", (message) => {
    if (message.type() === "error") recorded.consoleErrors.push(`${message.text()} (${message.location().url})`)
  })
  playwright.on("weberror", (error) => void recorded.pageErrors.push(String(error.error())))
  playwright.on("request", (request) => {
    recorded.requests.push({ method: request.method(), url: request.url() })
  })
  playwright.on("page", (page) => {
    page.on("websocket", (socket) => void recorded.requests.push({ method: "GET", url: socket.url() }))
  })
  await playwright.exposeBinding(REPORT, (_, violation: string) => void recorded.violations.push(violation))
  await playwright.addInitScript((report) => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const tell = (globalThis as unknown as Record<string, (violation: string) => void>)[report]
      tell?.(`${event.effectiveDirective} refused ${event.blockedURI} on ${event.documentURI}`)
    })
  }, REPORT)
}

const asSession = (playwright: BrowserContext): Effect.Effect<Session, ChromiumError> =>
  Effect.gen(function*() {
    playwright.setDefaultTimeout(10_000)
    const recorded: Recorded = { consoleErrors: [], pageErrors: [], violations: [], requests: [] }
    yield* drive(() => record(playwright, recorded))
    return { playwright, recorded, newPage: drive(() => playwright.newPage()) }
  })

/**
 * A new context, closed with the scope. Steps fail after ten seconds. It is in private browsing: sites in frames of
 * other sites have no cookies, storage or locks.
 */
export const newContext = (
  options?: BrowserContextOptions | undefined
): Effect.Effect<Session, ChromiumError, Chromium | Scope.Scope> =>
  Effect.gen(function*() {
    const browser = yield* Chromium
    const playwright = yield* Effect.acquireRelease(
      drive(() => browser.newContext(options)),
      (context) => Effect.ignore(drive(() => context.close()))
    )
    return yield* asSession(playwright)
  })

/**
 * Chromium's preference that allows cookies, storage and locks for sites in frames of other sites, as most browsers do.
 * Distributions differ.
 */
const PREFERENCES = JSON.stringify({ profile: { cookie_controls_mode: 0, block_third_party_cookies: false } })

/**
 * A new browser with an empty profile, in which sites in frames of other sites have partitioned storage.
 */
export const newProfile: Effect.Effect<Session, ChromiumError, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "chromium-profile-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  mkdirSync(join(folder, "Default"))
  writeFileSync(join(folder, "Default", "Preferences"), PREFERENCES)
  const playwright = yield* Effect.acquireRelease(
    drive(() => chromium.launchPersistentContext(folder, settings)),
    (context) => Effect.ignore(drive(() => context.close()))
  )
  return yield* asSession(playwright)
})

const originOf = (url: string): string => {
  const { origin, protocol } = new URL(url)
  return /^(https?|wss?):$/.test(protocol) ? origin : "no request"
}

/** The recorded problems that are not allowed, as lines of text. */
export const problemsOf = (recorded: Recorded, allowed: Allowed): ReadonlyArray<string> => {
  const isMeant = (text: string) => allowed.consoleErrors?.some((expected) => expected.test(text)) === true
  const strangers = recorded.requests.filter(({ url }) => !["no request", ...allowed.origins].includes(originOf(url)))
  return [
    ...recorded.consoleErrors.filter((text) => !isMeant(text)).map((text) => `console error: ${text}`),
    ...recorded.pageErrors.map((text) => `uncaught: ${text}`),
    ...recorded.violations.map((text) => `content security policy: ${text}`),
    ...strangers.map(({ method, url }) => `request to a stranger: ${method} ${url}`)
  ]
}

/**
 * Asserts: no console errors, no uncaught exceptions, no violations of a content security policy, and requests to the
 * given origins only.
 */
export const assertClean = (context: Session, allowed: Allowed): Effect.Effect<void> =>
  Effect.gen(function*() {
    // Earlier events of a page arrive before the result of an evaluation.
    yield* Effect.forEach(context.playwright.pages(), (page) => Effect.ignore(drive(() => page.evaluate(() => 0))))
    assert.deepStrictEqual(problemsOf(context.recorded, allowed), [])
  })
