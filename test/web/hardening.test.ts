/**
 * The routes under floods of launches, failing servers, reloads and several apps.
 */
import { inspect } from "node:util"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { TokenError } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"
import * as SessionStore from "../../src/session/SessionStore.js"
// Alone, because 30,000 requests through all routes take minutes.
import { hideAddresses } from "../../src/web/internal/requests.js"
import { leak, observe } from "../support/canary.js"
import { joinWithSteps } from "../support/eventually.js"
import { ORIGIN, start, withPassingMinutes } from "../support/webApp.js"

const { Fault } = SandboxEhr

const launchCookies = (jar: ReadonlyMap<string, string>) =>
  Array.from(jar).filter(([name]) => name.startsWith("__Host-launch-"))

describe("a launch without a navigation", () => {
  const asking = {
    "an image": { "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" },
    "a script's fetch": { "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" },
    "a frame of another site": { "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
    "a prefetch": { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-purpose": "prefetch" }
  }

  it.scoped.each(Object.entries(asking))(
    "%s begins nothing and spends no code",
    ([, headers]) =>
      Effect.gen(function*() {
        const { browser, ehr } = yield* start()
        const who = browser()
        const callback = yield* ehr.approve((yield* who.go("/launch")).location)
        const before = who.jar()
        assert.strictEqual((yield* who.go("/launch", { headers, from: "elsewhere" })).status, 403)
        assert.strictEqual((yield* who.go(callback, { headers, from: "elsewhere" })).status, 403)
        assert.deepStrictEqual(who.jar(), before)
        const navigation = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }
        assert.strictEqual((yield* who.go(callback, { headers: navigation, from: "elsewhere" })).status, 303)
      })
  )

  it.scoped("HEAD starts no launch", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const who = browser()
      const callback = yield* ehr.approve((yield* who.go("/launch")).location)
      assert.strictEqual((yield* who.go(callback, { method: "HEAD" })).status, 403)
      assert.strictEqual((yield* who.go(callback)).status, 303)
    }))

  it.scoped("a frame of an EHR that may embed the app starts a launch", () =>
    Effect.gen(function*() {
      const { browser } = yield* start({ web: { embeddedBy: ["https://ehr.sandbox.test"] } })
      const headers = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" }
      assert.strictEqual((yield* browser().go("/launch", { headers, from: "elsewhere" })).status, 303)
    }))
})

describe("cookies", () => {
  it.scoped("of launches use at most four kilobytes", () =>
    Effect.gen(function*() {
      const { browser } = yield* start()
      const who = browser()
      for (let count = 0; count < 20; count++) {
        yield* who.go(`/launch?return=${encodeURIComponent(`/${"a".repeat(480)}?${count}`)}`)
      }
      const kept = launchCookies(who.jar())
      const bytes = kept.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
      assert.isAbove(kept.length, 2)
      assert.isAtMost(bytes, 4096)
    }))

  it.scoped("a return path that is too long for a cookie is left out", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const { done } = yield* walk(browser(), `/launch?return=${encodeURIComponent(`/${"/".repeat(200)}`)}`)
      assert.strictEqual(done.location, `${ORIGIN}/patient`)
    }))

  it.scoped("a similar or duplicate cookie name is not the session", () =>
    Effect.gen(function*() {
      const { browser, send, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      const genuine = who.jar().get("__Host-session") ?? ""
      const ask = (cookie: string) =>
        Effect.map(
          send(new Request(`${ORIGIN}/patient`, { headers: { cookie, "sec-fetch-site": "none" } })),
          ({ status }) => status
        )
      assert.strictEqual(yield* ask(`__Host-session=${genuine}`), 200)
      assert.strictEqual(yield* ask(`a=b;\t__Host-session=${genuine} ; c=d`), 200)
      assert.strictEqual(yield* ask(`\u00a0__Host-session=${genuine}`), 401)
      assert.strictEqual(yield* ask(`\u00a0__Host-session=planted; __Host-session=${genuine}`), 200)
      assert.strictEqual(yield* ask(`__Host-session=${genuine}; __Host-session=planted`), 401)
      assert.strictEqual(yield* ask(`__Host-session=planted; __Host-session=${genuine}`), 401)
      assert.strictEqual(yield* ask(`__proto__=${genuine}; constructor=x`), 401)
    }))
})

describe("ended sessions", () => {
  it.scoped("after a logout, callbacks of all earlier launches have no effect", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const who = browser()
      const first = yield* walk(who, "/launch")
      const second = yield* walk(who, "/launch")
      yield* who.go("/logout", { method: "POST", from: "app" })
      for (const { callback } of [first, second]) {
        assert.strictEqual((yield* who.go(callback)).status, 400)
        assert.strictEqual((yield* who.go("/patient")).status, 401)
      }
    }))

  it.scoped("the callback of an earlier login does not change the session that replaced it", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const who = browser()
      const { callback } = yield* walk(who, "/launch", { patient: "patient-alpha" })
      yield* walk(who, "/launch", { patient: "patient-beta" })
      assert.strictEqual((yield* who.go(callback)).status, 400)
      assert.include((yield* who.go("/patient")).body, "patient patient-beta")
    }))

  it.scoped("a replaced session is removed, and its tokens are not revoked", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      const old = who.jar().get("__Host-session") ?? ""
      yield* walk(who, "/launch", { patient: "patient-beta" })
      assert.deepStrictEqual((yield* ehr.requests).filter(({ step }) => step === "revoke"), [])
      const thief = browser()
      thief.plant("__Host-session", old)
      assert.strictEqual((yield* thief.go("/patient")).status, 401)
      assert.include((yield* who.go("/patient")).body, "patient-beta")
    }))
})

describe("two clicks on a button", () => {
  it.scoped("a logout continues when the browser closes its connection: the server receives the revocation", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      yield* ehr.fault("revoke", Fault.delay("3 seconds"))
      const first = yield* Effect.fork(who.go("/logout", { method: "POST", from: "app" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(first)
      const second = yield* Effect.fork(who.go("/logout", { method: "POST", from: "app" }))
      assert.strictEqual((yield* joinWithSteps(second)).location, `${ORIGIN}/`)
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "revoke"), 1)
      assert.strictEqual((yield* who.go("/patient")).status, 401)
    }))

  it.scoped("starting again repeats the parameters of the first launch", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start({
        web: {
          onLaunch: ({ params }) => Effect.succeed({ scopes: params.get("scopes")?.split(" ") ?? [] })
        }
      })
      const who = browser()
      const scopes = "launch/patient patient/Observation.rs"
      const begun = yield* who.go(`/launch?${new URLSearchParams({ scopes, return: "/patient" }).toString()}`)
      const refused = yield* who.go(yield* ehr.deny(begun.location))
      const again = /<a href="([^"]+)">Start again/.exec(refused.body)?.[1]?.replaceAll("&amp;", "&") ?? ""
      assert.strictEqual(new URL((yield* who.go(again)).location).searchParams.get("scope"), scopes)
      // Too much for a cookie: then only what is the app's own.
      const long = yield* who.go(`/launch?${new URLSearchParams({ scopes, note: "x".repeat(2000) }).toString()}`)
      const page = yield* who.go(yield* ehr.deny(long.location))
      assert.include(page.body, "href=\"/launch?server=hospital\"")
    }))
})

describe("sessions of one browser", () => {
  it.scoped("a start page has all sessions of its browser and no other sessions", () =>
    Effect.gen(function*() {
      const list = HttpLayerRouter.addAll(Effect.succeed([
        HttpLayerRouter.route(
          "*",
          "/all",
          Effect.map(CurrentSession.BrowserSessions, (all) =>
            HttpServerResponse.text(all.map(({ stored }) => stored.tokens.context.patient).join(" ")))
        )
      ])).pipe(Layer.provide(CurrentSession.every.layer))
      const { browser, walk } = yield* start({ web: { afterLogin: "/sessions/:session/patient" }, routes: list })
      const who = browser()
      yield* walk(who, "/launch", { patient: "patient-alpha" })
      yield* TestClock.adjust("1 minute")
      const beta = yield* walk(who, "/launch", { patient: "patient-beta" })
      yield* walk(browser(), "/launch", { patient: "patient-gamma" })
      assert.strictEqual((yield* who.go("/all")).body, "patient-beta patient-alpha")
      assert.strictEqual((yield* who.go("/all", { method: "POST", from: "elsewhere" })).body, "")
      yield* who.go(/log out at (\S+)/.exec(beta.page.body)?.[1] ?? "", { method: "POST", from: "app" })
      assert.strictEqual((yield* who.go("/all")).body, "patient-alpha")
    }))

  it.scoped("a return path with the handle of another session leads to the new session", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start({ web: { afterLogin: "/sessions/:session/patient" } })
      const who = browser()
      const alpha = yield* walk(who, "/launch", { patient: "patient-alpha" })
      const page = new URL(alpha.done.location).pathname
      const beta = yield* walk(who, `/launch?return=${encodeURIComponent(page)}`, { patient: "patient-beta" })
      assert.notStrictEqual(beta.done.location, alpha.done.location)
      assert.include(beta.page.body, "patient patient-beta")
      const spelt = yield* walk(who, "/launch?return=%2Fsessions%2F%3Asession%2Fpatient%3Ftab%3D2", {
        patient: "patient-beta"
      })
      assert.match(spelt.done.location, /\/sessions\/[\w-]{22}\/patient\?tab=2$/)
      const elsewhere = yield* walk(who, "/launch?return=%2Fno-session%2Fpatient")
      assert.match(elsewhere.done.location, /\/sessions\/[\w-]{22}\/patient$/)
    }))

  it.effect("a return path must not lead to a launch route in any encoding", () =>
    Effect.gen(function*() {
      const app = yield* WebApp.make({ baseUrl: ORIGIN })
      for (
        const path of [
          "/Launch",
          "/%6caunch",
          "/launch;x",
          "/launch/",
          "/LOGOUT",
          "/callback%3Fcode",
          "/%",
          "/launch%2f"
        ]
      ) {
        const url = app.returnUrl(path)
        assert.isTrue(url === undefined || path === "/callback%3Fcode", path)
      }
      assert.strictEqual(app.returnUrl("/launches"), `${ORIGIN}/launches`)
    }))
})

describe("a server that fails during a launch", () => {
  const troubles = {
    "the connection broke, and the code may be used up": (ehr: SandboxEhr.Service) =>
      ehr.fault("token", Fault.lostResponse, 9),
    "the server says so by a redirect": () => Effect.void
  }
  it.scoped.each(Object.entries(troubles))(
    "%s: the page says to start again, not to reload",
    ([name, trouble]) =>
      Effect.gen(function*() {
        const { browser, ehr } = yield* start()
        const who = browser()
        const begun = yield* who.go("/launch")
        const callback = name.startsWith("the server")
          ? yield* ehr.deny(begun.location, "temporarily_unavailable")
          : yield* ehr.approve(begun.location)
        yield* trouble(ehr)
        const page = yield* withPassingMinutes(who.go(callback))
        assert.strictEqual(page.status, 503)
        assert.include(page.body, "then start the app again")
        assert.notInclude(page.body, "load this page again")
        assert.include(page.body, "Start again")
        assert.deepStrictEqual(launchCookies(who.jar()), [])
      })
  )

  // In real time: a clock that jumps would let the token request itself time out.
  it.scopedLive("if its keys are not available and the code is used, the page says to start again", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const who = browser()
      const callback = yield* ehr.approve((yield* who.go("/launch")).location)
      yield* ehr.fault("jwks", Fault.status(503), 99)
      const page = yield* who.go(callback)
      assert.strictEqual(page.status, 503)
      assert.include(page.body, "then start the app again")
      assert.deepStrictEqual(launchCookies(who.jar()), [])
    }))
})

describe("a form from the authorization server", () => {
  it.scoped("is read with the content types of browsers, up to a limit", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const callback = (who: ReturnType<typeof browser>) =>
        Effect.flatMap(who.go("/launch"), ({ location }) => ehr.approve(location))
      for (const type of ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded ; charset=UTF-8"]) {
        const who = browser()
        const text = (yield* callback(who)).search.slice(1)
        assert.strictEqual((yield* who.go("/callback", { body: { type, text }, from: "elsewhere" })).status, 303)
      }
      const who = browser()
      const large = `${(yield* callback(who)).search.slice(1)}&x=${"x".repeat(70_000)}`
      const type = "application/x-www-form-urlencoded"
      assert.strictEqual((yield* who.go("/callback", { body: { type, text: large } })).status, 400)
      assert.isFalse(who.jar().has("__Host-session"))
    }))

  it.scoped("in chunks of one byte is read in linear time", () =>
    Effect.gen(function*() {
      const { browser, send } = yield* start()
      const bytes = new TextEncoder().encode(`code=x&${"state=y&".repeat(7_500)}`)
      let next = 0
      const answer = yield* send(
        new Request(`${ORIGIN}/callback`, {
          method: "POST",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: new ReadableStream<Uint8Array>({
            pull: (controller) => {
              if (next === bytes.length) controller.close()
              else controller.enqueue(bytes.slice(next, ++next))
            }
          }),
          duplex: "half"
        } as RequestInit)
      )
      assert.strictEqual(next, bytes.length)
      assert.strictEqual(answer.status, 400)
      // Blanks that a cookie begins and ends with, and that stand between other characters.
      const cookie = `__Host-session=${" ".repeat(300_000)}x${" ".repeat(300_000)}`
      assert.strictEqual((yield* browser().go("/", { headers: { cookie } })).body, "without a session")
    }), 20_000)
})

class TokenErrorOfTheApp extends Data.TaggedError("TokenError")<{ readonly detail: string }> {}

const route = (path: `/${string}`, handler: Effect.Effect<HttpServerResponse.HttpServerResponse, never, never>) =>
  HttpLayerRouter.addAll(Effect.succeed([HttpLayerRouter.route("GET", path, handler)]))

describe("handlers", () => {
  it.scoped("a policy of a handler gets `frame-ancestors`", () =>
    Effect.gen(function*() {
      const answer = (policy: string) =>
        Effect.succeed(HttpServerResponse.empty({ headers: { "content-security-policy": policy } }))
      const { browser } = yield* start({
        web: { afterLogin: "/elsewhere" },
        pages: Layer.mergeAll(
          route("/silent", answer("default-src 'self';")),
          route("/speaking", answer("frame-ancestors https://portal.example"))
        )
      })
      const policy = (path: string) =>
        Effect.map(browser().go(path), ({ headers }) => headers.get("content-security-policy"))
      assert.strictEqual(yield* policy("/silent"), "default-src 'self'; frame-ancestors 'none'")
      assert.strictEqual(yield* policy("/speaking"), "frame-ancestors https://portal.example")
    }))

  it.scoped("a socket that another site opens has no session", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start({ web: { embeddedBy: ["https://ehr.sandbox.test"] } })
      const who = browser()
      yield* walk(who, "/launch")
      const upgrade = { upgrade: "websocket", connection: "upgrade", "sec-fetch-site": "same-site" }
      assert.strictEqual((yield* who.go("/patient", { headers: upgrade })).status, 403)
      assert.strictEqual((yield* who.go("/", { headers: upgrade })).body, "without a session")
    }))

  it.scoped("errors of the app pass through, also with a tag of this library", () =>
    Effect.gen(function*() {
      const failing = HttpLayerRouter.addAll(Effect.succeed([
        HttpLayerRouter.route(
          "GET",
          "/ours",
          Effect.zipRight(
            CurrentSession.CurrentSession,
            Effect.fail(
              new TokenError({
                reason: "Unreachable",
                operation: "refresh",
                server: "hospital",
                url: "https://ehr.sandbox.test",
                processed: "no",
                detail: "x"
              })
            )
          )
        ),
        HttpLayerRouter.route(
          "GET",
          "/theirs",
          Effect.zipRight(CurrentSession.CurrentSession, Effect.fail(new TokenErrorOfTheApp({ detail: "not ours" })))
            .pipe(
              Effect.catchAll((error) => error instanceof TokenErrorOfTheApp ? Effect.die(error) : Effect.fail(error))
            )
        )
      ])).pipe(Layer.provide(CurrentSession.required.layer))
      const { browser, walk } = yield* start({ routes: failing })
      const who = browser()
      yield* walk(who, "/launch")
      assert.strictEqual((yield* who.go("/ours")).status, 503)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(who.go("/theirs"))))
    }))

  it.scoped("an `errorPage` of the app keeps its policy and gets `frame-ancestors`", () =>
    Effect.gen(function*() {
      const policies: ReadonlyArray<readonly [own: string | undefined, served: string]> = [
        [undefined, "base-uri 'none'; frame-ancestors 'none'"],
        ["style-src 'self'", "style-src 'self'; frame-ancestors 'none'"],
        ["frame-ancestors https://portal.example", "frame-ancestors https://portal.example"]
      ]
      for (const [own, served] of policies) {
        const { browser } = yield* start({
          web: {
            errorPage: ({ reference, status, title }) =>
              HttpServerResponse.text(`${title} ${reference}`, {
                status,
                headers: own === undefined ? {} : { "content-security-policy": own }
              })
          }
        })
        const { body, headers, status } = yield* browser().go("/patient")
        assert.strictEqual(status, 401)
        assert.match(body, /^You are signed out [0-9a-f]{10}$/)
        assert.strictEqual(headers.get("content-security-policy"), served)
        assert.strictEqual(headers.get("cache-control"), "no-store")
      }
    }))

  it.scoped("an `errorPage` that throws is replaced by the built-in page", () =>
    Effect.gen(function*() {
      const { browser } = yield* start({
        web: {
          errorPage: () => {
            throw new Error("a mistake in a template")
          }
        }
      })
      const page = yield* browser().go("/patient")
      assert.strictEqual(page.status, 401)
      assert.include(page.body, "You are signed out")
    }))

  it.scoped("an unreadable session does not prevent a new launch", () =>
    Effect.gen(function*() {
      const store = yield* Effect.map(Layer.build(SessionStore.layerMemory), (context) => Layer.succeedContext(context))
      const sealed = (byte: number) =>
        SessionStore.layerEncrypted([{
          id: `key${byte}`,
          secret: Redacted.make(Buffer.alloc(32, byte).toString("base64url"))
        }])
          .pipe(Layer.provide(store), Layer.orDie)
      const before = yield* start({ store: sealed(1) })
      const who = before.browser()
      yield* before.walk(who, "/launch")
      const after = yield* start({ store: sealed(2) })
      const later = after.browser()
      for (const [name, value] of who.jar()) later.plant(name, value)
      assert.strictEqual((yield* later.go("/")).body, "without a session")
      assert.strictEqual((yield* later.go("/patient")).status, 401)
      assert.strictEqual((yield* after.walk(later, "/launch")).page.status, 200)
    }))
})

describe("spans of the HTTP server", () => {
  it.scoped.each([
    ["of the request alone", undefined],
    ["with a span of the app's between", "the app's"]
  ])("have no code, state, launch or id_token in them: %s", ([, between]) =>
    Effect.gen(function*() {
      const secrets = new Set<string>()
      const { exit, shown } = yield* observe(Effect.gen(function*() {
        const { app, browserOf, ehr } = yield* start({ web: { endServerSession: true } })
        // As a server serves it, tracer and all.
        const answered = Effect.catchAll(app, () => Effect.succeed(HttpServerResponse.empty({ status: 404 })))
        const served = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(
          between === undefined ? answered : Effect.withSpan(answered, between)
        )
        const who = browserOf((request) => Effect.promise(() => served(request)))
        yield* ehr.fault(
          "openid",
          Fault.mutate((members) => ({ ...members, end_session_endpoint: "https://ehr.sandbox.test/logout" })),
          20
        )
        const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
        secrets.add(launch)
        const begun = yield* who.go(`/launch?${new URLSearchParams({ iss, launch }).toString()}`)
        secrets.add(new URL(begun.location).searchParams.get("state") ?? "")
        const callback = yield* ehr.approve(begun.location)
        secrets.add(callback.searchParams.get("code") ?? "")
        const done = yield* who.go(callback)
        const out = yield* who.go("/logout", { method: "POST", from: "app" })
        secrets.add(new URL(out.location).searchParams.get("id_token_hint") ?? "")
        for (const value of who.jar().values()) secrets.add(value)
        return [begun.status, done.status, out.status]
      }))
      assert.deepStrictEqual(exit, Exit.succeed([303, 303, 303]))
      secrets.delete("")
      assert.isAtLeast(secrets.size, 4)
      assert.isUndefined(leak(shown(), secrets))
      assert.include(shown(), "http.response.header.location")
    }))
})

/** The spans that are made while a program runs. */
const recorded = <A, E, R>(program: (spans: ReadonlyArray<Tracer.Span>) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.tracer, (native) => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      context: native.context,
      span: (...options) => {
        const span = native.span(...options)
        spans.push(span)
        return span
      }
    })
    return Effect.withTracer(program(spans), tracer)
  })

describe("spans of the app", () => {
  /** As a server serves them, tracer and all, below one span of the app. */
  const serve = (app: HttpApp.Default<unknown, Scope.Scope>, times: number) =>
    recorded((spans) =>
      Effect.gen(function*() {
        const own = yield* Effect.currentSpan
        const { attribute } = own
        const served = HttpApp.toHandled(Effect.orDie(app), () => Effect.void)
        for (let count = 0; count < times; count++) {
          const request = new Request(`${ORIGIN}/callback?code=code-${count}-secret`, { headers: { referer: ORIGIN } })
          yield* served.pipe(
            Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
            Logger.withMinimumLogLevel(LogLevel.None)
          )
        }
        assert.strictEqual(own.attribute, attribute)
        assert.deepStrictEqual(Array.from(own.attributes), [["own", "kept"]])
        const ofServer = spans.filter(({ kind }) => kind === "server")
        assert.strictEqual(ofServer.length, times)
        assert.isTrue(ofServer.every(({ parent }) => Option.getOrUndefined(parent) === own))
        // Each of them looks like this.
        const shown = new Set(ofServer.map(({ attributes }) => JSON.stringify(Array.from(attributes))))
        assert.strictEqual(shown.size, 1)
        const attributes = ofServer[0]?.attributes
        assert.deepStrictEqual(
          ["url.path", "url.full", "url.query", "http.request.header.referer"].map((name) => attributes?.get(name)),
          ["/callback", "<redacted>", "<redacted>", "<redacted>"]
        )
      }).pipe(Effect.withSpan("app", { attributes: { own: "kept" } }))
    )

  it.scoped("are unchanged, and the spans of the routes contain no URL", () =>
    Effect.flatMap(start(), ({ app }) => serve(app, 300)))

  it.scoped(
    "are as they were after 30,000 requests",
    () => serve(Effect.as(hideAddresses, HttpServerResponse.empty()), 30_000),
    60_000
  )

  const parts = (location: string) => Array.from(new URL(location).searchParams.values())

  it.scoped("`toWebHandler` and two apps on one router: no address in a span of a request", () =>
    recorded((spans) =>
      Effect.gen(function*() {
        const { services } = yield* start()
        const tracer = yield* Effect.tracer
        const routes = (baseUrl: string, sessionCookie: string) =>
          SmartRoutes.layer.pipe(Layer.provide(WebApp.layer({ baseUrl, sessionCookie })), Layer.orDie)
        const { dispose, handler } = HttpLayerRouter.toWebHandler(
          Layer.mergeAll(routes(`${ORIGIN}/second`, "second"), routes(ORIGIN, "first")).pipe(
            Layer.provide(Layer.succeedContext(services)),
            Layer.provideMerge(Layer.setTracer(tracer)),
            Layer.provideMerge(Layer.succeed(HttpLayerRouter.RouterConfig, {}))
          ),
          { disableLogger: true }
        )
        yield* Effect.addFinalizer(() => Effect.promise(dispose))
        const before = spans.length
        const answer = yield* Effect.promise(() => handler(new Request(`${ORIGIN}/launch?server=hospital`)))
        yield* Effect.promise(() =>
          handler(new Request(`${ORIGIN}/second/callback?code=secret-code&state=secret-state`))
        )
        const secrets = new Set(["secret-code", "secret-state", ...parts(answer.headers.get("location") ?? "")])
        const ofServer = spans.slice(before).filter(({ kind }) => kind === "server")
        assert.deepStrictEqual(ofServer.map(({ attributes }) => attributes.get("http.response.status_code")), [
          303,
          400
        ])
        assert.strictEqual(ofServer[0]?.attributes.get("http.response.header.location"), "<redacted>")
        for (const { attributes } of ofServer) assert.isUndefined(leak(inspect(attributes), secrets))
      })
    ))
})

describe("two apps on one router", () => {
  it.scoped("have their own routes, cookies and sessions", () =>
    Effect.gen(function*() {
      const redirectUri = `${ORIGIN}/second/callback`
      const clients = [{
        clientId: "sandbox-public-app",
        redirectUris: [redirectUri],
        authentication: { method: "none" } satisfies SandboxEhr.Client["authentication"]
      }]
      const { ehr, services } = yield* start({ client: { redirectUri }, ehr: { clients } })
      const page = HttpLayerRouter.addAll(Effect.succeed([
        HttpLayerRouter.route(
          "GET",
          "/second/patient",
          Effect.map(CurrentSession.CurrentSession, ({ logoutPath }) =>
            HttpServerResponse.text(`the second ${logoutPath}`))
        )
      ])).pipe(Layer.provide(CurrentSession.required.layer))
      const second = Layer.mergeAll(SmartRoutes.layer, page).pipe(
        Layer.provide(WebApp.layer({ baseUrl: `${ORIGIN}/second`, afterLogin: "/patient", sessionCookie: "second" })),
        Layer.provide(Layer.succeedContext(services)),
        Layer.orDie
      )
      const first = yield* start({ routes: second })
      const who = first.browser()
      assert.include((yield* first.walk(who, "/launch")).page.body, "patient patient-alpha")
      assert.strictEqual((yield* who.go("/second/patient")).status, 401)
      const done = yield* who.go(yield* ehr.approve((yield* who.go("/second/launch")).location))
      assert.strictEqual((yield* who.go(done.location)).body, "the second /second/logout")
      assert.include((yield* who.go("/patient")).body, "patient patient-alpha")
      assert.sameMembers(
        Array.from(who.jar().keys()).filter((name) =>
          !name.includes("launch")
        ),
        [
          "__Host-session",
          "__Host-second"
        ]
      )
    }))
})
