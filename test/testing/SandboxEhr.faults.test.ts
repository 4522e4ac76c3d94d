import { createServer } from "node:http"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { authorizationUrl, authorize, exchange, get, login, refresh } from "../support/rawApp.js"

const { Fault } = SandboxEhr

const layer = SandboxEhr.layerHttpClient()

const overPort = SandboxEhr.layerServer().pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.merge(NodeHttpClient.layerUndici)
)

const discover = Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => get(ehr.endpoints.smartConfiguration))

const discoverText = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const client = yield* HttpClient.HttpClient
  const response = yield* client.get(ehr.endpoints.smartConfiguration)
  return { response, text: yield* response.text }
})

/** The code a failed connection carries in its cause. */
const failure = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    const cause = typeof error === "object" && error !== null && "cause" in error ? error.cause : undefined
    return typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  })

const statuses = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  return (yield* ehr.requests).map(({ status, step }) => [step, status])
})

describe("SandboxEhr faults", () => {
  it.effect("apply once, or to the given number of requests, in order", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.status(503), 2)
      yield* ehr.fault("discovery", Fault.status(500))
      const seen = yield* Effect.forEach([1, 2, 3, 4], () => discover)
      assert.deepStrictEqual(seen.map(({ status }) => status), [503, 503, 500, 200])
    }).pipe(Effect.provide(layer)))

  it.effect("apply only to their step, and can be cleared", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("token", Fault.status(500), Infinity)
      assert.strictEqual((yield* discover).status, 200)
      assert.strictEqual((yield* exchange("made-up")).status, 500)
      yield* ehr.clearFaults
      assert.strictEqual((yield* exchange("made-up")).status, 400)
    }).pipe(Effect.provide(layer)))

  it.effect("status: responds with body, headers and content type", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault(
        "discovery",
        Fault.status(429, { body: "{\"a\":1}", contentType: "text/plain", headers: { "retry-after": "7" } })
      )
      const answer = yield* discover
      assert.strictEqual(answer.status, 429)
      assert.strictEqual(answer.headers["retry-after"], "7")
      assert.strictEqual(answer.headers["content-type"], "text/plain")
      assert.deepStrictEqual(answer.body, { a: 1 })
    }).pipe(Effect.provide(layer)))

  it.effect("status: applies before or after the request is processed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const code = yield* authorize("patient/*.rs")
      yield* ehr.fault("token", Fault.status(503))
      assert.strictEqual((yield* exchange(code)).status, 503)
      yield* ehr.fault("token", Fault.status(504, { processed: true }))
      assert.strictEqual((yield* exchange(code)).status, 504)
      assert.strictEqual((yield* exchange(code)).body["error"], "invalid_grant")
    }).pipe(Effect.provide(layer)))

  it.effect("oauthError: responds with any error of RFC 6749", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("token", Fault.oauthError("temporarily_unavailable", { status: 503, description: "later" }))
      const answer = yield* exchange("made-up")
      assert.strictEqual(answer.status, 503)
      assert.deepStrictEqual(answer.body, { error: "temporarily_unavailable", error_description: "later" })
    }).pipe(Effect.provide(layer)))

  it.effect("delay: follows TestClock; an interrupted request is not processed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.delay("10 seconds"))
      const fiber = yield* Effect.fork(discover)
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)

      const code = yield* authorize("patient/*.rs")
      yield* ehr.fault("token", Fault.delay("1 hour"))
      const slow = yield* Effect.fork(exchange(code).pipe(Effect.timeout("5 seconds"), Effect.flip))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(slow))._tag, "TimeoutException")
      assert.strictEqual((yield* exchange(code)).status, 200)
    }).pipe(Effect.provide(layer)))

  it.effect("delay: delays the response after the request is processed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const code = yield* authorize("patient/*.rs")
      yield* ehr.fault("token", Fault.delay("1 hour", { processed: true }))
      const slow = yield* Effect.fork(exchange(code).pipe(Effect.timeout("5 seconds"), Effect.flip))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(slow))._tag, "TimeoutException")
      assert.strictEqual((yield* exchange(code)).body["error"], "invalid_grant")
    }).pipe(Effect.provide(layer)))

  it.effect("redirect: responds with a redirect that the client does not follow", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.redirect("https://elsewhere.sandbox.test/", { status: 307 }))
      const answer = yield* discover
      assert.strictEqual(answer.status, 307)
      assert.strictEqual(answer.headers["location"], "https://elsewhere.sandbox.test/")
    }).pipe(Effect.provide(layer)))

  it.effect("html, notJson and emptyBody: respond with status 200 without JSON", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.html())
      yield* ehr.fault("discovery", Fault.notJson())
      yield* ehr.fault("discovery", Fault.emptyBody())
      const html = yield* discoverText
      assert.strictEqual(html.response.status, 200)
      assert.match(html.response.headers["content-type"] ?? "", /^text\/html/)
      const notJson = yield* discoverText
      assert.strictEqual(notJson.response.headers["content-type"], "application/json")
      assert.match(notJson.text, /not json/)
      const empty = yield* discoverText
      assert.deepStrictEqual([empty.response.status, empty.text], [200, ""])
    }).pipe(Effect.provide(layer)))

  it.effect("oversize: responds with a JSON document of the given size", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.oversize(1_500_000))
      const { response, text } = yield* discoverText
      assert.strictEqual(text.length, 1_500_000)
      assert.isUndefined(response.headers["content-length"])
      assert.isObject(JSON.parse(text))
    }).pipe(Effect.provide(layer)))

  it.effect("drop: resets the connection before the request is processed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const code = yield* authorize("patient/*.rs")
      yield* ehr.fault("token", Fault.drop)
      assert.strictEqual(yield* failure(exchange(code)), "ECONNRESET")
      assert.strictEqual((yield* exchange(code)).status, 200)
      assert.deepStrictEqual(yield* statuses, [["token", undefined], ["token", 200]])
    }).pipe(Effect.provide(layer)))

  it.effect("lostResponse: resets the connection after the refresh token is rotated", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* login("offline_access patient/*.rs")
      const before = (yield* ehr.issued).length
      yield* ehr.fault("token", Fault.lostResponse)
      assert.strictEqual(yield* failure(refresh(body["refresh_token"])), "ECONNRESET")
      assert.strictEqual((yield* ehr.issued).length, before + 2)
      assert.strictEqual((yield* refresh(body["refresh_token"])).body["error"], "invalid_grant")
    }).pipe(Effect.provide(layer)))

  it.scopedLive("drop and lostResponse: reset the connection over a port", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.drop, 2)
      yield* Effect.flip(discover)
      yield* Effect.flip(discover)
      assert.strictEqual((yield* discover).status, 200)
      const code = yield* authorize("patient/*.rs")
      yield* ehr.fault("token", Fault.lostResponse)
      yield* Effect.flip(exchange(code))
      assert.strictEqual((yield* exchange(code)).body["error"], "invalid_grant")
      assert.deepStrictEqual((yield* statuses).map(([, status]) => status), [undefined, undefined, 200, undefined, 400])
    }).pipe(Effect.timeout("5 seconds"), Effect.provide(overPort)))

  it.scopedLive("drop: in a server of web requests, reading the response fails", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.make()
      const handler = HttpApp.toWebHandler(ehr.httpApp)
      const fetchText = Effect.tryPromise(() =>
        handler(new Request(ehr.endpoints.smartConfiguration)).then((response) => response.text())
      )
      yield* ehr.fault("discovery", Fault.drop)
      yield* Effect.flip(fetchText)
      assert.include(yield* fetchText, ehr.issuer)
    }))

  it.scopedLive("oversize and html: over a port", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.oversize(3_000_000))
      assert.strictEqual((yield* discoverText).text.length, 3_000_000)
      yield* ehr.fault("discovery", Fault.html())
      assert.match((yield* discoverText).text, /sign in/)
    }).pipe(Effect.provide(overPort)))

  it.effect("mutate and omit: change the members of a JSON response", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault(
        "token",
        Fault.mutate((members) => ({
          ...members,
          expires_in: "300",
          token_type: "BEARER",
          scope: undefined,
          vendor: 1
        }))
      )
      const { body } = yield* login("patient/*.rs")
      assert.deepInclude(body, { expires_in: "300", token_type: "BEARER", vendor: 1 })
      assert.notProperty(body, "scope")
      yield* ehr.fault("token", Fault.omit("token_type", "access_token"))
      assert.notProperty((yield* login("patient/*.rs")).body, "access_token")
    }).pipe(Effect.provide(layer)))

  it.effect("mutate: can return a value that is not a JSON object", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      for (const [value, expected] of [[null, "null"], [[1], "[1]"], ["text", "\"text\""], [undefined, ""]] as const) {
        yield* ehr.fault("discovery", Fault.mutate(() => value))
        assert.strictEqual((yield* discoverText).text, expected)
      }
    }).pipe(Effect.provide(layer)))

  it.effect("mutate: changes the parameters of the callback URL", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("authorize", Fault.mutate((members) => ({ ...members, iss: undefined, state: "another" })))
      const callback = yield* ehr.approve(yield* authorizationUrl("patient/*.rs"))
      assert.isNull(callback.searchParams.get("iss"))
      assert.strictEqual(callback.searchParams.get("state"), "another")
      assert.isNotNull(callback.searchParams.get("code"))
      yield* ehr.fault("authorize", Fault.status(500))
      const error = yield* Effect.flip(ehr.approve(yield* authorizationUrl("patient/*.rs")))
      assert.strictEqual(error.reason, "NoRedirect")
    }).pipe(Effect.provide(layer)))

  it.effect("headers: sets and removes headers", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("token", Fault.headers({ set: { "Content-Type": "text/html" }, remove: ["Cache-Control"] }))
      const answer = yield* login("patient/*.rs")
      assert.strictEqual(answer.headers["content-type"], "text/html")
      assert.isUndefined(answer.headers["cache-control"])
      assert.property(answer.body, "access_token")
    }).pipe(Effect.provide(layer)))

  it.effect("all: applies several faults to one response", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("discovery", Fault.all(Fault.delay("2 seconds"), Fault.omit("issuer"), Fault.drop))
      const fiber = yield* Effect.fork(failure(discover))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "ECONNRESET")
    }).pipe(Effect.provide(layer)))
})
