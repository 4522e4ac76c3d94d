import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import { Page } from "effect-safire/browser"
import { afterEach, vi } from "vitest"

const ORIGIN = "https://app.example"

interface Posted {
  readonly message: unknown
  readonly targetOrigin: string
}

/** A window as far as a page of this room uses one. */
class FakeWindow extends EventTarget {
  readonly document = new EventTarget()
  readonly navigator = { onLine: true }
  readonly posted: Array<Posted> = []
  readonly went: Array<readonly ["assign" | "replace", string]> = []
  readonly replaced: Array<{ readonly state: unknown; readonly url: string }> = []
  readonly location: {
    href: string
    origin: string
    protocol: string
    assign: (url: URL) => void
    replace: (url: URL) => void
  }
  readonly history: {
    readonly state: unknown
    readonly replaceState: (state: unknown, title: string, url: URL) => void
  }
  readonly outerWidth = 1000
  readonly outerHeight = 800
  readonly screenX = 0
  readonly screenY = 0
  top: FakeWindow = this
  opener: FakeWindow | null = null
  closed = false
  opens: FakeWindow | null = null

  constructor(address: string) {
    super()
    const { origin, protocol } = new URL(address)
    this.location = {
      href: address,
      origin,
      protocol,
      assign: (url) => void this.went.push(["assign", url.href]),
      replace: (url) => void this.went.push(["replace", url.href])
    }
    this.history = {
      state: { of: "the app" },
      replaceState: (state, _, url) => {
        this.location.href = url.href
        this.replaced.push({ state, url: url.href })
      }
    }
  }

  open() {
    return this.opens
  }

  close() {
    this.closed = true
  }

  postMessage(message: unknown, targetOrigin: string) {
    this.posted.push({ message, targetOrigin })
  }

  hear(data: unknown, origin: string, source: unknown) {
    this.dispatchEvent(Object.assign(new Event("message"), { data, origin, source }))
  }
}

const load = (address: string) =>
  Effect.suspend(() => {
    const window = new FakeWindow(address)
    vi.stubGlobal("window", window)
    return Effect.map(Page.make, (page) => ({ window, page }))
  })

const destination = { url: new URL("https://ehr.example/authorize?x=1"), post: undefined }

const poll = (wire: Page.Wire) => Effect.map(Queue.poll(wire.received), Option.getOrUndefined)

describe("Page", () => {
  beforeEach(() => vi.unstubAllGlobals())
  afterEach(() => vi.unstubAllGlobals())

  it("knows what a page was loaded for", () => {
    const purposes = [
      "?code=c&state=s",
      "?error=e&state=s",
      "?iss=i&launch=l",
      "?code=c&state=s&iss=i",
      "?code=1234-5",
      "?state=CA",
      ""
    ]
      .map((query) => Page.purposeOf(new URL(`${ORIGIN}/${query}`)))
    assert.deepStrictEqual(purposes, ["Callback", "Callback", "EhrLaunch", "Callback", "Visit", "Visit", "Visit"])
  })

  it.scoped("takes a callback out of the address at once, and leaves what is the app's own", () =>
    Effect.gen(function*() {
      const address = `${ORIGIN}/back?tenant=1&code=c&state=s&iss=https%3A%2F%2Fehr.example&session_state=x#part`
      const { page, window } = yield* load(address)
      assert.deepStrictEqual(window.replaced, [{ state: { of: "the app" }, url: `${ORIGIN}/back?tenant=1#part` }])
      assert.strictEqual(Redacted.value(page.arrivedAt).href, address)
      assert.notInclude(`${String(page.arrivedAt)}${JSON.stringify(page)}`, "code=c")
      yield* page.forgetArrival
      assert.lengthOf(window.replaced, 1)
    }))

  it.scoped("leaves an EHR launch in the address until it was dealt with, and any other page as it is", () =>
    Effect.gen(function*() {
      const launch = yield* load(`${ORIGIN}/?iss=https%3A%2F%2Fehr.example&launch=l&a=1`)
      assert.deepStrictEqual(launch.window.replaced, [])
      yield* launch.page.forgetArrival
      assert.strictEqual(launch.window.location.href, `${ORIGIN}/?a=1`)
      const visit = yield* load(`${ORIGIN}/?code=1234-5`)
      yield* visit.page.forgetArrival
      assert.deepStrictEqual(visit.window.replaced, [])
    }))

  it.scoped("leaves, and comes back only from the back-forward cache", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      const leaving = yield* Effect.fork(page.leave(destination, { keepInHistory: false }))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(window.went, [["replace", destination.url.href]])
      const show = (persisted: boolean) => window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted }))
      show(false)
      yield* Effect.yieldNow()
      assert.isTrue(Option.isNone(yield* Fiber.poll(leaving)))
      show(true)
      yield* Fiber.join(leaving)
    }))

  it.scoped("PopupBlocked where the browser opens no window", () =>
    Effect.gen(function*() {
      const { page } = yield* load(`${ORIGIN}/`)
      const error = yield* Effect.flip(page.openPopup({ width: 1, height: 1 }))
      assert.strictEqual(error.reason, "PopupBlocked")
    }))

  it.scoped("a popup has no hold on the page, unless the page is in a frame and has no other way to hear of it", () =>
    Effect.gen(function*() {
      for (const isFramed of [false, true]) {
        const { page, window } = yield* load(`${ORIGIN}/`)
        const popup = new FakeWindow("https://app.example/blank")
        popup.opener = window
        window.opens = popup
        if (isFramed) window.top = new FakeWindow("https://ehr.example/")
        const { close, go } = yield* page.openPopup({ width: 480, height: 640 })
        yield* go(destination)
        assert.deepStrictEqual(popup.went, [["replace", destination.url.href]])
        assert.strictEqual(popup.opener, isFramed ? window : null)
        yield* close
        assert.strictEqual(popup.closed, isFramed)
      }
    }))

  it.scoped("hears only its popup, only from its own origin, and tells nobody else", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      const popup = new FakeWindow(`${ORIGIN}/blank`)
      window.opens = popup
      const wire = yield* Effect.flatMap(page.openPopup({ width: 1, height: 1 }), (opened) => opened.wire("a"))
      const message = { wire: "a", message: "hello" }
      window.hear(message, "https://evil.example", popup)
      window.hear(message, `${ORIGIN}.evil.example`, popup)
      window.hear(message, ORIGIN, new FakeWindow(`${ORIGIN}/`))
      window.hear(message, ORIGIN, null)
      window.hear({ ...message, wire: "b" }, ORIGIN, popup)
      for (const data of ["hello", null, {}, { wire: "a", message: 1 }]) window.hear(data, ORIGIN, popup)
      assert.isUndefined(yield* poll(wire))
      window.hear(message, ORIGIN, popup)
      assert.strictEqual(yield* poll(wire), "hello")
      yield* wire.send("taken")
      assert.deepStrictEqual(popup.posted, [{ message: { wire: "a", message: "taken" }, targetOrigin: ORIGIN }])
    }))

  it.scopedLive("a page and its popup hear each other although the browser has cut them off", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      window.opens = new FakeWindow(`${ORIGIN}/blank`)
      const there = yield* Effect.flatMap(page.openPopup({ width: 1, height: 1 }), (opened) => opened.wire("a"))
      const here = yield* page.wireToOpener("a")
      const stranger = yield* page.wireToOpener("b")
      yield* here.send("hello")
      assert.strictEqual(yield* Queue.take(there.received), "hello")
      assert.isUndefined(yield* poll(stranger))
    }))

  it.scoped("remembers what the page's own policy refused", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      const refuse = (effectiveDirective: string, blockedURI: string) =>
        window.document.dispatchEvent(
          Object.assign(new Event("securitypolicyviolation"), { effectiveDirective, blockedURI })
        )
      refuse("connect-src", "https://ehr.example/fhir/x?secret=1")
      refuse("img-src", "https://images.example/")
      refuse("script-src-elem", "inline")
      const { isHttps, isOnline, refusedByPolicy } = yield* page.network
      assert.deepStrictEqual([isOnline, isHttps, [...refusedByPolicy]], [true, true, ["https://ehr.example"]])
    }))
})
