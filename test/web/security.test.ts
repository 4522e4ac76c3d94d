/**
 * What other sites, other people's links and a hostile EHR can make a browser do to the app.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { SandboxEhr } from "effect-safire/testing"
import { WebApp } from "effect-safire/web"
import { leak, observe } from "../support/canary.js"
import { EHR_ORIGIN, ORIGIN, start } from "../support/webApp.js"

const { Fault } = SandboxEhr

const tokenRequests = (ehr: SandboxEhr.Service) =>
  Effect.map(ehr.requests, (requests) => requests.filter(({ step }) => step === "token").length)

describe("login CSRF and session fixation", () => {
  it.scoped("a callback of another browser does not log in and does not use up the code: [SMART-4] [SMART-61]", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const attacker = browser()
      const callback = yield* ehr.approve((yield* attacker.go("/launch")).location)
      const victim = browser()
      const refused = yield* victim.go(callback, { from: "elsewhere" })
      const posted = yield* victim.go("/callback", { form: callback.searchParams, from: "elsewhere" })
      assert.deepStrictEqual([refused.status, posted.status], [400, 400])
      assert.include(refused.body, "This sign-in is no longer valid")
      assert.strictEqual(victim.jar().size, 0)
      assert.strictEqual(yield* tokenRequests(ehr), 0)
      // The launch is still the attacker's own, to go on with.
      assert.strictEqual((yield* attacker.go(callback)).location, `${ORIGIN}/patient`)
    }))

  it.scoped("the same with a pending launch of the victim", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const [attacker, victim] = [browser(), browser()]
      const theirs = yield* ehr.approve((yield* attacker.go("/launch")).location)
      const own = yield* victim.go("/launch")
      const mixed = yield* ehr.approve(own.location)
      mixed.searchParams.set("code", theirs.searchParams.get("code") ?? "")
      assert.strictEqual((yield* victim.go(theirs, { from: "elsewhere" })).status, 400)
      const injected = yield* victim.go(mixed, { from: "elsewhere" })
      assert.isAtLeast(injected.status, 400)
      assert.isFalse(victim.jar().has("__Host-session"))
    }))

  it.scoped("a planted session id is never the session, before and after the login", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const victim = browser()
      victim.plant("__Host-session", "planted-by-an-attacker-0123456789abcdefghij")
      assert.strictEqual((yield* victim.go("/patient")).status, 401)
      yield* walk(victim, "/launch")
      assert.notInclude(victim.jar().get("__Host-session") ?? "", "planted")
      const attacker = browser()
      attacker.plant("__Host-session", "planted-by-an-attacker-0123456789abcdefghij")
      assert.strictEqual((yield* attacker.go("/patient")).status, 401)
    }))

  it.scoped("each login has a new session id, and a planted launch cookie gives no access", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      const first = who.jar().get("__Host-session")
      yield* walk(who, "/launch")
      assert.notStrictEqual(who.jar().get("__Host-session"), first)

      const attacker = browser()
      const begun = yield* attacker.go("/launch")
      const callback = yield* ehr.approve(begun.location)
      const victim = browser()
      for (const name of attacker.jar().keys()) victim.plant(name, "another-secret")
      assert.strictEqual((yield* victim.go(callback)).status, 400)
    }))
})

describe("replay", () => {
  it.scoped("a callback from the history of another browser has no effect, before and after its use", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const { callback } = yield* walk(browser(), "/launch")
      const thief = browser()
      assert.strictEqual((yield* thief.go(callback)).status, 400)
      assert.strictEqual(thief.jar().size, 0)
    }))

  it.scoped("the same after the logout, in the same browser", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      const { callback } = yield* walk(who, "/launch")
      yield* who.go("/logout", { method: "POST", from: "app" })
      const exchanged = yield* tokenRequests(ehr)
      yield* who.go(callback)
      assert.strictEqual((yield* who.go("/patient")).status, 401)
      assert.strictEqual(yield* tokenRequests(ehr), exchanged)
    }))

  it.scoped("duplicate parameters are rejected", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      for (const name of ["code", "state", "iss", "error"]) {
        const who = browser()
        const callback = yield* ehr.approve((yield* who.go("/launch")).location)
        callback.searchParams.append(name, "another")
        callback.searchParams.append(name, "another")
        const refused = yield* who.go(callback)
        assert.isAtLeast(refused.status, 400, name)
        assert.isFalse(who.jar().has("__Host-session"))
      }
    }))
})

describe("requests that another site sends", () => {
  it.scoped("do not log out and change nothing, also for sessions in frames", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start({ web: { embeddedBy: [EHR_ORIGIN] } })
      const who = browser()
      yield* walk(who, "/launch")
      for (const path of ["/logout", "/patient"]) {
        const forged = yield* who.go(path, { method: "POST", from: "elsewhere" })
        assert.strictEqual(forged.status, 403, path)
        assert.include(forged.body, "Please try this again in the app")
        // An old browser says only where it comes from, an older one nothing at all.
        const before: Record<string, string> = { "sec-fetch-site": "" }
        for (const origin of ["https://elsewhere.example", "null", `${ORIGIN}.evil.example`]) {
          const old = yield* who.go(path, { method: "POST", headers: { ...before, origin } })
          assert.strictEqual(old.status, 403, `${path} ${origin}`)
        }
      }
      assert.strictEqual((yield* who.go("/", { method: "POST", from: "elsewhere" })).body, "without a session")
      assert.strictEqual((yield* who.go("/")).body, "with a session")
      assert.strictEqual((yield* who.go("/patient", { method: "POST", from: "app" })).status, 200)
    }))

  it.scoped("a logout by GET does not exist", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      assert.strictEqual((yield* who.go("/logout", { from: "elsewhere" })).status, 404)
      assert.strictEqual((yield* who.go("/patient")).status, 200)
    }))
})

const evil = "evil.example"
const paths = [
  `https://${evil}/`,
  `//${evil}`,
  `///${evil}`,
  `/\\${evil}`,
  `\\\\${evil}`,
  `/\t/${evil}`,
  `/%09/${evil}`,
  `/.//${evil}`,
  `/..//${evil}`,
  `/patient/..//${evil}`,
  `javascript:alert(1)`,
  `data:text/html,x`,
  `@${evil}`,
  `/@${evil}`,
  `${ORIGIN}.${evil}`,
  `${ORIGIN}@${evil}`,
  "/logout",
  "/callback?code=x&state=y",
  "/launch?server=hospital",
  "/launch/../launch",
  "/\r\nset-cookie: a=b",
  "",
  "patient",
  `/${"x".repeat(2000)}`
]

/** What a browser makes of a `Location`. */
const leadsTo = (location: string) => new URL(location, `${ORIGIN}/callback`)

describe("open redirect", () => {
  it.scoped("a return path that leaves the app is ignored: [SMART-6]", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      for (const path of paths) {
        const { done } = yield* walk(browser(), `/launch?${new URLSearchParams({ return: path }).toString()}`)
        const to = leadsTo(done.location)
        assert.strictEqual(to.origin, ORIGIN, path)
        assert.notMatch(to.pathname, /^\/(\/|launch|callback|logout)/, path)
      }
    }))

  const hostile = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.webUrl({ withFragments: true, withQueryParameters: true }),
    FastCheck.array(
      FastCheck.constantFrom(
        "/",
        "\\",
        ".",
        "..",
        ":",
        "@",
        "#",
        "?",
        "%2f",
        "%5c",
        "\t",
        "\n",
        evil,
        "app.sandbox.test",
        "//"
      )
    )
      .map((parts) => parts.join("")),
    FastCheck.array(FastCheck.constantFrom("/", "\\", ".", "\t", evil)).map((parts) => `/${parts.join("")}`)
  )

  it.effect("every path leads into the app or is rejected", () =>
    Effect.gen(function*() {
      const app = yield* WebApp.make({ baseUrl: ORIGIN })
      FastCheck.assert(
        FastCheck.property(hostile, (path) => {
          const url = app.returnUrl(path)
          if (url === undefined) return
          const to = leadsTo(url)
          assert.strictEqual(to.origin, ORIGIN)
          assert.isFalse(to.pathname.startsWith("//"))
          // As a path it resolves to the same URL.
          assert.strictEqual(new URL(to.pathname + to.search, ORIGIN).origin, ORIGIN)
        }),
        { numRuns: 2000 }
      )
    }))

  it.scoped("ignores Host and X-Forwarded headers", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const who = browser()
      const headers = {
        host: evil,
        forwarded: `host=${evil};proto=http`,
        "x-forwarded-host": evil,
        "x-forwarded-proto": "http",
        "x-original-url": `//${evil}`
      }
      const begun = yield* who.go("/launch", { headers })
      assert.strictEqual(new URL(begun.location).searchParams.get("redirect_uri"), `${ORIGIN}/callback`)
      const done = yield* who.go(yield* ehr.approve(begun.location), { headers })
      assert.strictEqual(done.location, `${ORIGIN}/patient`)
      const out = yield* who.go("/logout", { method: "POST", from: "app", headers })
      assert.strictEqual(out.location, `${ORIGIN}/`)
    }))
})

describe("untrusted launch URLs", () => {
  it.scoped("an issuer without a configured server is rejected before any request", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const issuers = [
        `https://${evil}/fhir`,
        `${EHR_ORIGIN}.${evil}/fhir`,
        `${EHR_ORIGIN}@${evil}/fhir`,
        `${EHR_ORIGIN}/fhir/../other`,
        "http://ehr.sandbox.test/fhir",
        "http://169.254.169.254/latest",
        "javascript:alert(1)",
        `//${evil}`,
        ""
      ]
      for (const iss of issuers) {
        const who = browser()
        const page = yield* who.go(`/launch?${new URLSearchParams({ iss, launch: "x" }).toString()}`)
        assert.strictEqual(page.status, 400, iss)
        assert.strictEqual(who.jar().size, 0)
      }
      assert.deepStrictEqual(yield* ehr.requests, [])
    }))

  it.scoped("rejects launches without iss or launch, with repeated parameters, and of unknown servers", () =>
    Effect.gen(function*() {
      const { browser } = yield* start()
      const iss = encodeURIComponent(`${EHR_ORIGIN}/fhir`)
      for (
        const query of [
          `iss=${iss}`,
          "launch=x",
          `iss=${iss}&launch=`,
          `iss=${iss}&iss=${iss}&launch=x`,
          `iss=${iss}&launch=x&launch=y`,
          "server=unknown",
          "server=hospital&server=other"
        ]
      ) {
        assert.strictEqual((yield* browser().go(`/launch?${query}`)).status, 400, query)
      }
    }))
})

const markup = `"><script>alert(1)</script><img src=x onerror=alert(2)>`

describe("HTML in values that an EHR or a URL controls", () => {
  it.scoped("[SMART-5] is escaped on every page of the routes", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const pages: Array<string> = []
      const visit = (url: string | URL, who = browser()) =>
        Effect.map(who.go(url), (answer) => {
          assert.isAtLeast(answer.status, 400)
          pages.push(answer.body)
        })
      const query = (members: Record<string, string>) => new URLSearchParams(members).toString()
      yield* visit(`/launch?${query({ iss: markup, launch: markup })}`)
      yield* visit(`/launch?${query({ server: markup })}`)
      yield* visit(`/callback?${query({ state: markup, code: markup })}`)
      yield* visit(`/callback?${query({ state: markup, error: markup, error_description: markup, error_uri: markup })}`)

      const refusedBy = browser()
      const refused = yield* ehr.deny(
        (yield* refusedBy.go(`/launch?return=${encodeURIComponent(`/${markup}`)}`)).location
      )
      refused.searchParams.set("error", "access_denied")
      refused.searchParams.set("error_description", markup)
      yield* visit(refused, refusedBy)

      const who = browser()
      const callback = yield* ehr.approve((yield* who.go("/launch")).location)
      yield* ehr.fault("token", Fault.oauthError("invalid_request", { description: markup }), 9)
      yield* visit(callback, who)

      for (const page of pages) assert.notMatch(page, /<script|<img|onerror|alert/)
      assert.lengthOf(pages, 6)
    }))

  it.scoped("[SMART-5] the policy of failure pages forbids scripts", () =>
    Effect.gen(function*() {
      const { browser } = yield* start()
      const { body, headers } = yield* browser().go("/launch?server=unknown")
      const style = /<style>(.*)<\/style>/s.exec(body)?.[1]
      const digest = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(style)))
      assert.strictEqual(
        headers.get("content-security-policy"),
        `default-src 'none'; style-src 'sha256-${
          Buffer.from(digest).toString("base64")
        }'; img-src data:; base-uri 'none'; frame-ancestors 'none'`
      )
      assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
      assert.strictEqual(headers.get("referrer-policy"), "no-referrer")
      assert.strictEqual(headers.get("cache-control"), "no-store")
    }))
})

describe("telemetry", () => {
  it.scoped("no code, state, token, launch, session id or cookie is in logs, spans and metrics", () =>
    Effect.gen(function*() {
      const secrets = new Set<string>()
      const { shown } = yield* observe(Effect.gen(function*() {
        const { browser, ehr, walk } = yield* start({ web: { endServerSession: true } })
        const who = browser()
        const keep = () => {
          for (const value of who.jar().values()) value.split(".").forEach((part) => secrets.add(part))
        }
        const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
        secrets.add(launch)
        const { callback } = yield* walk(who, `/launch?${new URLSearchParams({ iss, launch }).toString()}`)
        callback.searchParams.forEach((value, name) => name !== "iss" && secrets.add(value))
        keep()
        yield* who.go(callback)
        yield* browser().go(callback)
        yield* ehr.fault("fhir", Fault.status(500), 9)
        yield* who.go("/patient").pipe(Effect.timeoutOption(0))
        const refused = yield* ehr.deny((yield* who.go("/launch")).location)
        refused.searchParams.forEach((value, name) => name === "state" && secrets.add(value))
        keep()
        yield* who.go(refused)
        yield* who.go("/logout", { method: "POST", from: "app" })
        for (const token of yield* ehr.issued) secrets.add(token)
      }))
      secrets.delete("")
      assert.isAtLeast(secrets.size, 10)
      assert.isUndefined(leak(shown(), secrets))
      assert.include(shown(), "SmartRoutes.callback")
    }))
})

describe("settings that would open the app", () => {
  const refuses: ReadonlyArray<readonly [string, Partial<WebApp.Options>]> = [
    ["plain http", { baseUrl: "http://app.example" }],
    ["http on loopback, unless allowed", { baseUrl: "http://localhost:3000" }],
    ["no URL", { baseUrl: "app.example" }],
    ["credentials in the URL", { baseUrl: "https://user:secret@app.example" }],
    ["a query", { baseUrl: "https://app.example/?a=b" }],
    ["a page elsewhere after the login", { afterLogin: "https://evil.example" }],
    ["two slashes", { afterLogin: "//evil.example" }],
    ["a page elsewhere after the logout", { afterLogout: "/\\evil.example" }],
    ["a login that leads to the login", { afterLogin: "/launch" }],
    ["a session twice in a path", { afterLogin: "/:session/:session" }],
    ["a session in the path after it has ended", { afterLogout: "/:session" }],
    ["two routes on one path", { paths: { launch: "/smart", callback: "/smart" } }],
    ["a pattern for a path", { paths: { callback: "/:any" } }],
    ["any EHR may frame it", { embeddedBy: ["*"] }],
    ["a frame without TLS", { embeddedBy: ["http://ehr.example"] }],
    ["a path of an EHR", { embeddedBy: ["https://ehr.example/app"] }],
    ["more than one directive", { embeddedBy: ["https://ehr.example; script-src *"] }],
    ["a cookie name that ends the header", { sessionCookie: "a=b; Domain=evil.example" }]
  ]
  it.effect.each(refuses)("%s: ConfigurationError", ([, options]) =>
    Effect.gen(function*() {
      const made = yield* Effect.either(Effect.asVoid(WebApp.make({ baseUrl: ORIGIN, ...options })))
      assert.isTrue(Either.isLeft(made))
      if (Either.isLeft(made)) assert.strictEqual(made.left._tag, "ConfigurationError")
    }))

  it.effect("valid settings are accepted", () =>
    Effect.gen(function*() {
      const app = yield* WebApp.make({
        baseUrl: "https://hospital.example/app/",
        afterLogin: "/sessions/:session/chart",
        embeddedBy: ["https://ehr.example", "https://ehr2.example:8443/"]
      })
      assert.strictEqual(app.callbackUrl, "https://hospital.example/app/callback")
      assert.strictEqual(app.afterLogin, "/app/sessions/:session/chart")
      assert.strictEqual(app.frameAncestors, "frame-ancestors 'self' https://ehr.example https://ehr2.example:8443")
    }))
})
