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

const poll = (channel: Page.Channel) => Effect.map(Queue.poll(channel.received), Option.getOrUndefined)

describe("Page", () => {
  beforeEach(() => vi.unstubAllGlobals())
  afterEach(() => vi.unstubAllGlobals())

  it("reads the purpose of the page from its URL", () => {
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

  it.scoped("removes a callback from the address at once, and keeps the app's own parameters", () =>
    Effect.gen(function*() {
      const address = `${ORIGIN}/back?tenant=1&code=c&state=s&iss=https%3A%2F%2Fehr.example&session_state=x#part`
      const { page, window } = yield* load(address)
      assert.deepStrictEqual(window.replaced, [{ state: { of: "the app" }, url: `${ORIGIN}/back?tenant=1#part` }])
      assert.strictEqual(Redacted.value(page.arrivedAt).href, address)
      assert.notInclude(`${String(page.arrivedAt)}${JSON.stringify(page)}`, "code=c")
      yield* page.removeParameters
      assert.lengthOf(window.replaced, 1)
    }))

  it.scoped("removes an EHR launch from the address after it was followed, and changes no other address", () =>
    Effect.gen(function*() {
      const launch = yield* load(`${ORIGIN}/?iss=https%3A%2F%2Fehr.example&launch=l&a=1`)
      assert.deepStrictEqual(launch.window.replaced, [])
      yield* launch.page.removeParameters
      assert.strictEqual(launch.window.location.href, `${ORIGIN}/?a=1`)
      const visit = yield* load(`${ORIGIN}/?code=1234-5`)
      yield* visit.page.removeParameters
      assert.deepStrictEqual(visit.window.replaced, [])
    }))

  it.scoped("`leave` returns only from the back-forward cache", () =>
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

  it.scoped("fails with PopupBlocked when the browser opens no window", () =>
    Effect.gen(function*() {
      const { page } = yield* load(`${ORIGIN}/`)
      const error = yield* Effect.flip(page.openPopup({ width: 1, height: 1 }))
      assert.strictEqual(error.reason, "PopupBlocked")
    }))

  it.scoped("a popup has no opener, unless the page is in a frame", () =>
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

  it.scoped("a channel accepts messages of its popup and origin only, and sends to no other window", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      const popup = new FakeWindow(`${ORIGIN}/blank`)
      window.opens = popup
      const channel = yield* Effect.flatMap(page.openPopup({ width: 1, height: 1 }), (opened) => opened.channel("a"))
      const message = { channel: "a", message: "hello" }
      window.hear(message, "https://evil.example", popup)
      window.hear(message, `${ORIGIN}.evil.example`, popup)
      window.hear(message, ORIGIN, new FakeWindow(`${ORIGIN}/`))
      window.hear(message, ORIGIN, null)
      window.hear({ ...message, channel: "b" }, ORIGIN, popup)
      for (const data of ["hello", null, {}, { channel: "a", message: 1 }]) window.hear(data, ORIGIN, popup)
      assert.isUndefined(yield* poll(channel))
      window.hear(message, ORIGIN, popup)
      assert.strictEqual(yield* poll(channel), "hello")
      yield* channel.send("taken")
      assert.deepStrictEqual(popup.posted, [{ message: { channel: "a", message: "taken" }, targetOrigin: ORIGIN }])
    }))

  it.scopedLive("a page and its popup exchange messages after the browser has separated them", () =>
    Effect.gen(function*() {
      const { page, window } = yield* load(`${ORIGIN}/`)
      window.opens = new FakeWindow(`${ORIGIN}/blank`)
      const there = yield* Effect.flatMap(page.openPopup({ width: 1, height: 1 }), (opened) => opened.channel("a"))
      const here = yield* page.channelToOpener("a")
      const stranger = yield* page.channelToOpener("b")
      yield* here.send("hello")
      assert.strictEqual(yield* Queue.take(there.received), "hello")
      assert.isUndefined(yield* poll(stranger))
    }))

  it.scoped("records origins that the page's own policy blocked", () =>
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
