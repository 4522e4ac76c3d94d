import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { ClientAuthentication, Sessions, SmartServers } from "effect-safire"
import { BrowserLaunch, type Page } from "effect-safire/browser"
import { SandboxEhr } from "effect-safire/testing"
import * as FakePage from "./fakePage.js"

const HOME = "https://app.sandbox.test/callback"

const servers = SmartServers.layer({
  hospital: {
    fhirBaseUrl: "https://ehr.sandbox.test/fhir",
    clientId: "sandbox-public-app",
    redirectUri: HOME,
    scopes: ["launch/patient", "patient/*.rs", "offline_access"],
    authentication: ClientAuthentication.layerPublic
  }
})

/** What one load of a page does. */
const on =
  (page: { readonly layer: Layer.Layer<Page.Page> }, options?: BrowserLaunch.Options) =>
  <A, E, R>(use: (launch: BrowserLaunch.Service) => Effect.Effect<A, E, R>) =>
    Effect.flatMap(BrowserLaunch.BrowserLaunch, use).pipe(
      Effect.provide(BrowserLaunch.layer(options).pipe(Layer.provide(servers), Layer.provide(page.layer)))
    )

/** Everything in a storage, as a script could read it. */
const textOf = (storage: Storage): string =>
  Array.from({ length: storage.length }, (_, index) => storage.getItem(storage.key(index) ?? "") ?? "").join("\n")

/** Lets what runs beside go on: nothing in these tests waits for a clock. */
const settle = Effect.promise(() => new Promise((resolve) => void setTimeout(resolve, 20)))

/** Runs until the page is left, and gives where to. */
const leaving = <E, R>(page: ReturnType<typeof FakePage.make>, self: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    while (page.left.length === 0) yield* settle
    yield* Fiber.interrupt(fiber)
    return page.left[0]!
  })

/** A launch in the same window, up to the address that the server sends the browser back to. */
const launched = (
  session: FakePage.Options,
  options?: BrowserLaunch.Options,
  patient?: string
) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const start = FakePage.make("https://app.sandbox.test/", session)
    const { url } = yield* leaving(start, on(start, options)(({ launch }) => launch()))
    return yield* ehr.approve(url, { patient })
  })

const opened = (options?: BrowserLaunch.Options) => (page: ReturnType<typeof FakePage.make>) =>
  on(page, options)(({ open }) => open)

describe("BrowserLaunch", () => {
  it.effect("a standalone launch keeps the page in the history, and its callback signs in", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const start = FakePage.make("https://app.sandbox.test/?view=chart#top")
      const { keepInHistory, url } = yield* leaving(start, on(start)(({ launch }) => launch()))
      assert.isTrue(keepInHistory)
      const back = FakePage.make((yield* ehr.approve(url)).href, start)
      const patient = yield* on(back)(({ current, open }) =>
        Effect.gen(function*() {
          const result = yield* open
          assert.strictEqual(result._tag, "SignedIn")
          const session = Option.getOrThrow(yield* current)
          return (yield* (yield* Sessions.Sessions).tokens(session)).context.patient
        })
      )
      assert.strictEqual(patient, "patient-alpha")
      assert.strictEqual(back.seen.address, HOME)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("[SMART-41] an EHR launch replaces the page in the history, and sends its iss as aud", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
      const page = FakePage.make(`https://app.sandbox.test/?${new URLSearchParams({ iss, launch }).toString()}`)
      const { keepInHistory, url } = yield* leaving(page, opened()(page))
      assert.isFalse(keepInHistory)
      assert.strictEqual(url.searchParams.get("aud"), iss)
      assert.strictEqual(url.searchParams.get("launch"), launch)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("an EHR launch is followed with the scopes of `ehrLaunch`", () =>
    Effect.gen(function*() {
      const { iss, launch } = yield* Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.launch())
      const page = FakePage.make(`https://app.sandbox.test/?${new URLSearchParams({ iss, launch }).toString()}`)
      const ehrLaunch = { server: "hospital", scopes: ["user/Patient.rs"] }
      const { url } = yield* leaving(page, opened({ ehrLaunch })(page))
      assert.strictEqual(url.searchParams.get("scope"), "user/Patient.rs launch")
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("an EHR launch from a server that is not configured is refused before any request", () =>
    Effect.gen(function*() {
      const page = FakePage.make("https://app.sandbox.test/?iss=https%3A%2F%2Fehr.evil.example%2Ffhir&launch=x")
      const error = yield* Effect.flip(opened()(page))
      assert.deepInclude(error, { _tag: "LaunchError", reason: "IssUntrusted" })
      assert.deepStrictEqual(yield* Effect.flatMap(SandboxEhr.SandboxEhr, ({ requests }) => requests), [])
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("fails with Returned when the browser shows the page that started the launch again", () =>
    Effect.gen(function*() {
      const page = FakePage.make("https://app.sandbox.test/")
      const fiber = yield* Effect.fork(Effect.flip(on(page)(({ launch }) => launch())))
      while (page.left.length === 0) yield* settle
      page.seen.comeBack()
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "BrowserLaunchError", reason: "Returned" })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("tokens in memory are not in any storage, and a used callback in another page is SessionGone", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const tab = FakePage.make("https://app.sandbox.test/")
      const callback = yield* launched(tab)
      yield* opened()(FakePage.make(callback.href, tab))
      const issued = yield* ehr.issued
      assert.isAtLeast(issued.length, 3)
      for (const secret of issued) {
        assert.notInclude(`${textOf(tab.sessionStorage)}${textOf(tab.browser.localStorage)}`, secret)
      }
      const error = yield* Effect.flip(opened()(FakePage.make(callback.href, tab)))
      assert.deepInclude(error, { _tag: "BrowserLaunchError", reason: "SessionGone" })
      assert.notInclude(JSON.stringify(error) + error.message, callback.searchParams.get("state") ?? "?")
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "token"), 1)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  for (const tokens of ["sessionStorage", "localStorage"] as const) {
    it.effect(`tokens in ${tokens} survive the page, and a used callback returns the same session`, () =>
      Effect.gen(function*() {
        const tab = FakePage.make("https://app.sandbox.test/")
        const callback = yield* launched(tab, { tokens })
        const first = yield* opened({ tokens })(FakePage.make(callback.href, tab))
        const again = yield* opened({ tokens })(FakePage.make(callback.href, tab))
        const later = yield* opened({ tokens })(FakePage.make("https://app.sandbox.test/", tab))
        const idOf = (result: BrowserLaunch.Opened) =>
          result._tag === "SignedIn" ? Redacted.value(result.session) : result._tag
        assert.lengthOf(idOf(first), 43)
        assert.strictEqual(idOf(again), idOf(first))
        assert.strictEqual(idOf(later), idOf(first))
        const other = yield* opened({ tokens })(FakePage.make("https://app.sandbox.test/", { browser: tab.browser }))
        assert.strictEqual(idOf(other), tokens === "localStorage" ? idOf(first) : "SignedOut")
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

    it.effect(`pending launches stay in the tab with ${tokens}`, () =>
      Effect.gen(function*() {
        const tab = FakePage.make("https://app.sandbox.test/")
        yield* launched(tab, { tokens })
        assert.include(textOf(tab.sessionStorage), "PendingLaunch")
        assert.strictEqual(tab.browser.localStorage.length, 0)
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
  }

  it.effect("a new session of a tab removes the replaced one", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const tab = FakePage.make("https://app.sandbox.test/")
      const tokens = "sessionStorage"
      yield* opened({ tokens })(FakePage.make((yield* launched(tab, { tokens })).href, tab))
      const before = yield* ehr.issued
      assert.isTrue(before.some((secret) => textOf(tab.sessionStorage).includes(secret)))
      yield* opened({ tokens })(FakePage.make((yield* launched(tab, { tokens })).href, tab))
      assert.isFalse(before.some((secret) => textOf(tab.sessionStorage).includes(secret)))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("`end` removes the session here and at the server", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const tab = FakePage.make("https://app.sandbox.test/")
      const tokens = "sessionStorage"
      const callback = yield* launched(tab, { tokens })
      const left = yield* on(FakePage.make(callback.href, tab), { tokens })(({ current, end, open }) =>
        open.pipe(Effect.zipRight(end), Effect.zipRight(end), Effect.zipRight(current))
      )
      assert.isTrue(Option.isNone(left))
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "revoke"), 1)
      const text = textOf(tab.sessionStorage)
      assert.isFalse((yield* ehr.issued).some((secret) => text.includes(secret)))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("a callback without a launch in this tab is LaunchNotFound, without a request", () =>
    Effect.gen(function*() {
      const callback = yield* launched({})
      const page = FakePage.make(callback.href)
      const fiber = yield* Effect.fork(Effect.flip(opened()(page)))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "SessionError", reason: "LaunchNotFound" })
      assert.strictEqual(page.seen.address, HOME)
      const requests = yield* Effect.flatMap(SandboxEhr.SandboxEhr, ({ requests }) => requests)
      assert.lengthOf(requests.filter(({ step }) => step === "token"), 0)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("BrowserLaunch without storage", () => {
  it.effect("does not leave the page and sends no request, but a popup works", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const page = FakePage.make("https://app.sandbox.test/", { blocksStorage: true })
      yield* on(page)(({ current, launch }) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(launch())
          assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Missing" })
          assert.deepStrictEqual([yield* ehr.requests, page.left], [[], []])
          const fiber = yield* Effect.fork(launch({ window: "popup" }))
          while (page.popups[0]?.destination === undefined) yield* settle
          const callback = yield* ehr.approve(page.popups[0].destination)
          yield* opened()(FakePage.make(callback.href, { browser: page.browser }))
          yield* Fiber.join(fiber)
          assert.isTrue(Option.isSome(yield* current))
        })
      )
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("fails with a ConfigurationError if tokens should be stored", () =>
    Effect.gen(function*() {
      const page = FakePage.make("https://app.sandbox.test/", { blocksStorage: true })
      for (const tokens of ["sessionStorage", "localStorage"] as const) {
        const error = yield* Effect.flip(opened({ tokens })(page))
        assert.strictEqual(error._tag, "ConfigurationError")
      }
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("BrowserLaunch in a popup", () => {
  /** A launch that waits for its popup. */
  const waiting = (options?: BrowserLaunch.Options) =>
    Effect.gen(function*() {
      const page = FakePage.make("https://app.sandbox.test/")
      const fiber = yield* Effect.fork(Effect.exit(on(page, options)(({ launch }) => launch({ window: "popup" }))))
      while (page.popups[0]?.destination === undefined) yield* settle
      return { page, fiber, popup: page.popups[0], url: page.popups[0].destination }
    })

  const failure = (exit: Exit.Exit<unknown, BrowserLaunch.Failure>) =>
    Exit.match(exit, {
      onSuccess: () => "signed in",
      onFailure: (cause) => cause._tag === "Fail" ? cause.error : cause
    })

  it.effect("the popup forwards its callback and closes", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { fiber, page, popup, url } = yield* waiting()
      const shown = FakePage.make((yield* ehr.approve(url)).href, { browser: page.browser })
      assert.deepStrictEqual(yield* opened()(shown), { _tag: "CallbackForwarded" })
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
      assert.isTrue(popup.isClosed)
      assert.isTrue(shown.seen.isClosed)
      assert.strictEqual(shown.sessionStorage.length, 0)
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "token"), 1)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("a denied consent is AccessDenied", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { fiber, page, url } = yield* waiting()
      yield* opened()(FakePage.make((yield* ehr.deny(url)).href, { browser: page.browser }))
      assert.deepInclude(failure(yield* Fiber.join(fiber)), { _tag: "AuthorizationError", reason: "AccessDenied" })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("an EHR launch removes its parameters from the address", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
      const page = FakePage.make(`https://app.sandbox.test/?a=1&${new URLSearchParams({ iss, launch }).toString()}`)
      const fiber = yield* Effect.fork(on(page)(({ followLaunch }) => followLaunch({ window: "popup" })))
      while (page.popups[0]?.destination === undefined) yield* settle
      const callback = yield* ehr.approve(page.popups[0].destination)
      yield* opened()(FakePage.make(callback.href, { browser: page.browser }))
      yield* Fiber.join(fiber)
      assert.strictEqual(page.seen.address, "https://app.sandbox.test/?a=1")
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("fails with PopupBlocked before any request", () =>
    Effect.gen(function*() {
      const page = FakePage.make("https://app.sandbox.test/", { blocksPopups: true })
      const error = yield* Effect.flip(on(page)(({ launch }) => launch({ window: "popup" })))
      assert.deepInclude(error, { _tag: "BrowserLaunchError", reason: "PopupBlocked" })
      assert.deepStrictEqual(yield* Effect.flatMap(SandboxEhr.SandboxEhr, ({ requests }) => requests), [])
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("a launch that cannot start closes the popup", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(SandboxEhr.SandboxEhr, ({ fault }) => fault("discovery", SandboxEhr.Fault.status(404)))
      const page = FakePage.make("https://app.sandbox.test/")
      const error = yield* Effect.flip(on(page)(({ launch }) => launch({ window: "popup" })))
      assert.strictEqual(error._tag, "DiscoveryError")
      assert.deepStrictEqual(page.popups.map(({ isClosed }) => isClosed), [true])
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("fails with PopupClosed a second after the popup closed, and with PopupTimedOut without a callback", () =>
    Effect.gen(function*() {
      const closed = yield* waiting()
      closed.popup.isClosed = true
      const silent = yield* waiting({ popupTimeout: "1 minute" })
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(failure(yield* Fiber.join(closed.fiber)), { reason: "PopupClosed" })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(failure(yield* Fiber.join(silent.fiber)), { reason: "PopupTimedOut" })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("with `watchPopup: false` a popup that seems closed can still send its callback", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { fiber, page, popup, url } = yield* waiting({ watchPopup: false })
      popup.isClosed = true
      yield* TestClock.adjust("1 minute")
      yield* opened()(FakePage.make((yield* ehr.approve(url)).href, { browser: page.browser }))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("ignores messages that are not the callback of this launch", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const [one, two] = [yield* waiting(), yield* waiting()]
      const name = [...one.page.browser.wires.keys()][0] ?? ""
      const channel = yield* one.page.browser.channel(name)
      const others = yield* ehr.approve(two.url)
      for (
        const message of ["", "{}", "{\"kind\":\"callback\"}", JSON.stringify({ kind: "callback", url: others.href })]
      ) {
        yield* channel.send(message)
      }
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(one.fiber)))
      yield* opened()(FakePage.make((yield* ehr.approve(one.url)).href, { browser: one.page.browser }))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(one.fiber)))
      assert.isTrue(Option.isNone(yield* Fiber.poll(two.fiber)))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})
