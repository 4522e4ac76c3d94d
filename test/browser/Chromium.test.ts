import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Chromium from "../support/Chromium.js"
import { eventually } from "../support/eventually.js"

const pages: Record<string, { readonly body: string; readonly policy?: string; readonly status?: number }> = {
  "/": { body: `<title>Quiet</title><p>Nothing to see</p>` },
  "/loud": {
    body:
      `<title>Loud</title><script>console.error("oh dear"); setTimeout(() => { throw new Error("uncaught") })</script>`
  },
  "/strict": {
    body: `<title>Strict</title><script>document.title = "Broken"</script>`,
    policy: "default-src 'none'"
  },
  "/stranger": { body: `<title>Stranger</title><img src="http://127.0.0.1:9/pixel.png">` },
  "/missing": { body: `<title>Missing</title>`, status: 404 },
  "/popup": {
    body: `<title>Popup</title><button>Open</button><script>
    const open = () => { document.title = window.open("/loud") === null ? "Blocked" : "Opened" }
    document.querySelector("button").onclick = open
    if (location.hash === "#now") open()
  </script>`
  }
}

const serve = Effect.acquireRelease(
  Effect.async<Server>((resume) => {
    const server = createServer((request, response) => {
      const page = pages[new URL(request.url ?? "/", "http://localhost").pathname]
      response.writeHead(page?.status ?? (page === undefined ? 204 : 200), {
        "content-type": "text/html",
        ...(page?.policy === undefined ? {} : { "content-security-policy": page.policy })
      })
      response.end(page?.body)
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => void server.close())
)

const visit = (path: string) =>
  Effect.gen(function*() {
    const server = yield* serve
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const context = yield* Chromium.newContext()
    const page = yield* context.newPage
    yield* Chromium.drive(() => page.goto(`${origin}${path}`))
    return { context, origin, page }
  })

/** The recorded problems, as soon as there are `count`. */
const complaints = (context: Chromium.Session, allowed: Chromium.Allowed, count = 1) =>
  eventually(
    Effect.sync(() => Chromium.problemsOf(context.recorded, allowed)),
    (problems) => problems.length >= count
  )

describe.skipIf(!Chromium.available)(`Chromium${Chromium.condition}`, () => {
  layer(Chromium.layer, { excludeTestServices: true })((it) => {
    it.scoped("a page without problems has an empty record", () =>
      Effect.gen(function*() {
        const { context, origin } = yield* visit("/")
        yield* Chromium.assertClean(context, { origins: [origin] })
        assert.deepStrictEqual(context.recorded.requests, [{ method: "GET", url: `${origin}/` }])
      }))

    it.scoped("console errors and uncaught exceptions are recorded", () =>
      Effect.gen(function*() {
        const { context, origin } = yield* visit("/loud")
        assert.deepStrictEqual(yield* complaints(context, { origins: [origin] }, 2), [
          `console error: oh dear (${origin}/loud)`,
          "uncaught: Error: uncaught"
        ])
      }))

    it.scoped("a violation of the policy is recorded", () =>
      Effect.gen(function*() {
        const { context, origin, page } = yield* visit("/strict")
        const found = yield* complaints(context, { origins: [origin], consoleErrors: [/Content Security Policy/] })
        assert.deepStrictEqual(found, [
          `content security policy: script-src-elem refused inline on ${origin}/strict`
        ])
        assert.strictEqual(yield* Chromium.drive(() => page.title()), "Strict")
      }))

    it.scoped("a request to another origin is recorded", () =>
      Effect.gen(function*() {
        const { context, origin } = yield* visit("/stranger")
        const found = yield* complaints(context, { origins: [origin], consoleErrors: [/Failed to load resource/] })
        assert.deepStrictEqual(found, ["request to a stranger: GET http://127.0.0.1:9/pixel.png"])
      }))

    it.scoped("an error status is a console error unless it is expected", () =>
      Effect.gen(function*() {
        const { context, origin } = yield* visit("/missing")
        assert.lengthOf(yield* complaints(context, { origins: [origin] }), 1)
        yield* Chromium.assertClean(context, { origins: [origin], consoleErrors: [/404 \(Not Found\) .*\/missing\)$/] })
      }))

    it.scoped("a popup after a click opens and is recorded, too", () =>
      Effect.gen(function*() {
        const { context, origin, page } = yield* visit("/popup")
        yield* Chromium.drive(() => page.getByRole("button", { name: "Open" }).click())
        assert.strictEqual(yield* Chromium.drive(() => page.title()), "Opened")
        assert.include(yield* complaints(context, { origins: [origin] }, 2), `console error: oh dear (${origin}/loud)`)
      }))

    it.scoped("a popup without a click is blocked", () =>
      Effect.gen(function*() {
        const { context, page } = yield* visit("/popup#now")
        assert.strictEqual(yield* Chromium.drive(() => page.title()), "Blocked")
        assert.lengthOf(context.playwright.pages(), 1)
      }))

    it.scoped("a failed step is a typed error of one line", () =>
      Effect.gen(function*() {
        const { page } = yield* visit("/")
        const error = yield* Effect.flip(Chromium.drive(() => page.getByText("Absent").click({ timeout: 100 })))
        assert.strictEqual(error._tag, "ChromiumError")
        assert.include(error.message, "Timeout 100ms exceeded")
      }))
  })
})
