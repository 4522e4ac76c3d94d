import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"
import { isTotalTimeout, TransportFailure } from "../../src/http/TransportFailure.js"
import { leak, observe } from "../support/canary.js"
import * as Http from "../support/http.js"

const rules: OutgoingRequest.Rules = {
  timeout: "10 seconds",
  maxBytes: 1024,
  redirects: 0,
  allowInsecureLocalhost: false
}
const get = HttpClientRequest.get

const send = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  changes: Partial<OutgoingRequest.Rules> = {}
) => OutgoingRequest.send(OutgoingRequest.prepare(client), request, { ...rules, ...changes })

const redirect = (location: string, status = 302) => new Response(null, { status, headers: { location } })

describe("OutgoingRequest in memory", () => {
  it("a total timeout of the transport is recognised by its code, not by its message", () => {
    const failure = { reason: "TimedOut", url: "https://ehr.example/token", processed: "unknown" } as const
    const words = "no complete answer in time"
    assert.isTrue(
      isTotalTimeout(new TransportFailure({ ...failure, detail: "other words", code: "ERR_TOTAL_TIMEOUT" }))
    )
    assert.isFalse(isTotalTimeout(new TransportFailure({ ...failure, detail: words, code: "UND_ERR_BODY_TIMEOUT" })))
    assert.isFalse(isTotalTimeout(new TransportFailure({ ...failure, detail: words })))
  })

  it.effect("the error of a total timeout names the caller's limit, before a response and while its body is read", () =>
    Effect.gen(function*() {
      const code = "ERR_TOTAL_TIMEOUT"
      const within = () =>
        new Response(
          new ReadableStream({ pull: (controller) => controller.error(Object.assign(new Error("time"), { code })) })
        )
      for (const answer of [() => new Http.ConnectionFailure(code), within]) {
        const error = yield* Effect.flip(send(Http.script(answer).client, get("https://ehr.example/token")))
        assert.strictEqual(error.reason, "TimedOut")
        assert.strictEqual(error.detail, "no complete response within 10s")
      }
    }))

  it.effect("[SMART-1] requests are sent over https only, and over http to a loopback host if that is allowed", () =>
    Effect.gen(function*() {
      const { client, requests } = Http.script(() => Http.json({}))
      for (
        const url of [
          "http://ehr.example/token",
          "http://localhost/token",
          "http://127.0.0.1:8080/token",
          "http://[::1]/token",
          "ftp://ehr.example/token",
          "ws://ehr.example/token",
          "javascript:alert(1)"
        ]
      ) {
        const error = yield* Effect.flip(send(client, get(url)))
        assert.strictEqual(error.reason, "InsecureEndpoint", url)
        assert.strictEqual(error.processed, "no")
      }
      for (
        const url of [
          "http://ehr.example/token",
          "http://localhost.evil.example/",
          "http://127.0.0.2/",
          "http://127.0.0.1.evil.example/",
          "http://[::2]/",
          "http://0.0.0.0/",
          "ws://localhost/",
          "ftp://localhost/"
        ]
      ) {
        const error = yield* Effect.flip(send(client, get(url), { allowInsecureLocalhost: true }))
        assert.strictEqual(error.reason, "InsecureEndpoint", url)
      }
      assert.strictEqual(requests.length, 0)
      for (const url of ["http://localhost:1/", "http://127.0.0.1/", "http://[::1]/", "https://ehr.example/"]) {
        assert.strictEqual((yield* send(client, get(url), { allowInsecureLocalhost: true })).status, 200)
      }
      assert.strictEqual(requests.length, 4)
    }))

  it.effect("an error names the URL without its query, its fragment or credentials", () =>
    Effect.gen(function*() {
      const { client } = Http.script(() => new Http.ConnectionFailure("ECONNREFUSED"))
      const error = yield* Effect.flip(send(client, get("https://ehr.example/a?code=SECRET#SECRET")))
      assert.strictEqual(error.url, "https://ehr.example/a")
      const insecure = yield* Effect.flip(send(client, get("http://u:SECRET@ehr.example/a?code=SECRET")))
      assert.notInclude(JSON.stringify(insecure), "SECRET")
    }))

  it.effect("a response of any status succeeds", () =>
    Effect.gen(function*() {
      for (const status of [200, 201, 304, 400, 401, 404, 429, 500, 503]) {
        const { client } = Http.script(() => new Response(status === 304 ? null : "body", { status }))
        assert.strictEqual((yield* send(client, get("https://ehr.example"))).status, status)
      }
    }))

  for (const status of [301, 302, 303, 307, 308]) {
    it.effect(`a redirect ${status} of a request that follows none is refused, and only the first hop was made`, () =>
      Effect.gen(function*() {
        const { client, requests } = Http.script(() => redirect("https://other.example/next?secret=SECRET", status))
        const error = yield* Effect.flip(
          send(client, HttpClientRequest.post("https://ehr.example/token").pipe(HttpClientRequest.bodyText("code=x")))
        )
        assert.strictEqual(error.reason, "RedirectRefused")
        assert.strictEqual(error.processed, "unknown")
        assert.strictEqual(error.detail, "it redirects to https://other.example/next")
        const ofGet = yield* Effect.flip(send(client, get("https://ehr.example/token")))
        assert.strictEqual(ofGet.detail, "it redirects to https://other.example/next")
        assert.strictEqual(requests.length, 2)
      }))
  }

  it.effect("an opaque redirect, as a browser shows it, is refused", () =>
    Effect.gen(function*() {
      const opaque = Object.defineProperty(new Response(null), "status", { value: 0 })
      const { client } = Http.script(() => opaque)
      const error = yield* Effect.flip(send(client, get("https://ehr.example"), { redirects: 3 }))
      assert.strictEqual(error.reason, "RedirectRefused")
      assert.strictEqual(error.detail, "it redirects to a URL that the browser does not show")
    }))

  it.effect("a response of another status, or without a Location, is not followed", () =>
    Effect.gen(function*() {
      const headers = { location: "https://ehr.example/created" }
      for (
        const response of [
          () => new Response("made", { status: 201, headers }),
          () => new Response("x", { status: 300, headers }),
          () => new Response("x", { status: 302 })
        ]
      ) {
        const { client, requests } = Http.script(response)
        assert.strictEqual(
          (yield* send(client, get("https://ehr.example"), { redirects: 3 })).status,
          response().status
        )
        assert.lengthOf(requests, 1)
      }
    }))

  it.effect("redirects are followed, relative ones too, up to the limit", () =>
    Effect.gen(function*() {
      const chain = Http.fake(({ url }, index) =>
        index < 3 ? redirect(index === 1 ? "/relative" : `https://h${index}.example/x`) : Http.json({ url })
      )
      const answer = yield* send(chain.client, get("https://ehr.example/start"), { redirects: 3 })
      assert.strictEqual(answer.url, "https://h2.example/x")
      assert.deepStrictEqual(chain.requests.map(({ url }) => url), [
        "https://ehr.example/start",
        "https://h0.example/x",
        "https://h0.example/relative",
        "https://h2.example/x"
      ])
      const endless = Http.fake((_, index) => index < 50 ? redirect("https://ehr.example/again") : Http.json({}))
      const error = yield* Effect.flip(send(endless.client, get("https://ehr.example"), { redirects: 3 }))
      assert.strictEqual(error.reason, "RedirectRefused")
      assert.strictEqual(endless.requests.length, 4)
    }))

  it.effect("[SMART-1] a redirect to http is refused, at any hop; loopback only by the same opt-in", () =>
    Effect.gen(function*() {
      for (const location of ["http://ehr.example/x", "http://localhost/x", "ftp://ehr.example/x", "javascript:x"]) {
        const { client, requests } = Http.script(() => redirect("https://b.example/"), () => redirect(location))
        const error = yield* Effect.flip(send(client, get("https://ehr.example"), { redirects: 3 }))
        assert.strictEqual(error.reason, "RedirectRefused", location)
        assert.strictEqual(requests.length, 2)
      }
      const { client } = Http.script(() => redirect("http://localhost/x"), () => Http.json({}))
      const options = { redirects: 3, allowInsecureLocalhost: true }
      assert.strictEqual((yield* send(client, get("https://ehr.example"), options)).url, "http://localhost/x")
    }))

  it.effect("a redirect to an invalid URL is refused", () =>
    Effect.gen(function*() {
      for (const location of ["https://", "http://[", "//"]) {
        const { client } = Http.script(() => redirect(location))
        const error = yield* Effect.flip(send(client, get("https://ehr.example"), { redirects: 3 }))
        assert.strictEqual(error.reason, "RedirectRefused", location)
        assert.strictEqual(error.detail, "it redirects to a string that is not a URL, which is not https")
      }
    }))

  it.effect("a request to a string that is not a URL is refused", () =>
    Effect.gen(function*() {
      const { client, requests } = Http.script(() => Http.json({}))
      const error = yield* Effect.flip(send(client, get("not a URL?code=SECRET")))
      assert.deepStrictEqual([error.reason, error.processed], ["InsecureEndpoint", "no"])
      assert.notInclude(JSON.stringify(error), "SECRET")
      assert.lengthOf(requests, 0)
    }))

  it.effect("a client that refuses statuses by itself gives an error with its reason", () =>
    Effect.gen(function*() {
      const { client } = Http.script(() => new Response("SECRET", { status: 503 }))
      const error = yield* Effect.flip(send(HttpClient.filterStatusOk(client), get("https://ehr.example/x?y=SECRET")))
      assert.deepInclude({ ...error }, {
        reason: "Unreachable",
        url: "https://ehr.example/x",
        processed: "unknown",
        detail: "StatusCode"
      })
    }))

  it.effect("a redirect to another origin has no credentials; one within the origin has them", () =>
    Effect.gen(function*() {
      const { client, requests } = Http.script(
        () => redirect("https://ehr.example/two"),
        () => redirect("https://evil.example/three"),
        () => redirect("https://ehr.example/four"),
        () => Http.json({})
      )
      yield* send(
        client,
        get("https://ehr.example/one").pipe(
          HttpClientRequest.setHeaders({
            authorization: "Bearer SECRET",
            cookie: "SECRET",
            dpop: "SECRET",
            "proxy-authorization": "SECRET",
            accept: "text/plain"
          })
        ),
        { redirects: 3 }
      )
      const secrets = requests.map(({ headers }) =>
        Object.values(headers).filter((value) => value.includes("SECRET")).length
      )
      assert.deepStrictEqual(secrets, [4, 4, 0, 0])
      assert.deepStrictEqual(
        requests.map(({ headers }) => headers["accept"]),
        Array.from({ length: 4 }, () => "text/plain")
      )
    }))

  it.effect("a request with a body follows no redirect under any rules", () =>
    Effect.gen(function*() {
      for (const status of [301, 302, 303, 307, 308]) {
        const { client, requests } = Http.script(
          () => redirect("https://ehr.example/next", status),
          () => Http.json({})
        )
        const error = yield* Effect.flip(
          send(client, HttpClientRequest.post("https://ehr.example").pipe(HttpClientRequest.bodyText("code=SECRET")), {
            redirects: 3
          })
        )
        assert.strictEqual(error.reason, "RedirectRefused")
        assert.strictEqual(requests.length, 1)
      }
    }))

  it.effect("a body of exactly the size limit is read, and one byte more fails, with and without Content-Length", () =>
    Effect.gen(function*() {
      const size = (bytes: number, headers: Record<string, string> = {}) =>
        send(Http.script(() => Http.text("x".repeat(bytes), { headers })).client, get("https://ehr.example"))
      for (const headers of [{}, { "content-length": "1024" }]) {
        assert.strictEqual((yield* size(1024, headers)).body.length, 1024)
      }
      for (const headers of [{}, { "content-length": "1025" }, { "content-length": "1" }]) {
        const error = yield* Effect.flip(size(1025, headers))
        assert.strictEqual(error.reason, "TooLarge")
        assert.strictEqual(error.processed, "unknown")
      }
      assert.strictEqual((yield* Effect.flip(size(10, { "content-length": "5000" }))).reason, "TooLarge")
      assert.strictEqual((yield* size(10, { "content-length": "nonsense" })).body.length, 10)
    }))

  it.effect("reading a long body ends at the limit", () =>
    Effect.gen(function*() {
      let pulled = 0
      let cancelled = false
      const endless = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              pulled += 1
              if (pulled === 100) controller.close()
              else controller.enqueue(new Uint8Array(512))
            },
            cancel: () => {
              cancelled = true
            }
          })
        )
      const error = yield* Effect.flip(send(Http.script(endless).client, get("https://ehr.example")))
      assert.strictEqual(error.reason, "TooLarge")
      assert.isBelow(pulled, 20)
      assert.isTrue(cancelled)
    }))

  it.effect("a character that is split between chunks is decoded; an empty body is the empty string", () =>
    Effect.gen(function*() {
      const bytes = new TextEncoder().encode("{\"name\":\"Zoë 医\"}")
      const split = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            start: (controller) => {
              for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
              controller.close()
            }
          })
        )
      assert.strictEqual(
        (yield* send(Http.script(split).client, get("https://ehr.example"))).body,
        "{\"name\":\"Zoë 医\"}"
      )
      const empty = Http.script(() => new Response(null))
      assert.strictEqual((yield* send(empty.client, get("https://ehr.example"))).body, "")
    }))

  it.effect("the time limit covers the headers, the body and all redirects together", () =>
    Effect.gen(function*() {
      const slowBody = () =>
        new Response(new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(Uint8Array.of(123)) }))
      for (
        const answers of [
          [() => Http.hang],
          [slowBody],
          [
            () => Effect.delay(Effect.succeed(redirect("https://b.example")), "6 seconds"),
            () => Effect.delay(Effect.succeed(Http.json({})), "6 seconds")
          ]
        ]
      ) {
        const { client } = Http.script(...answers)
        const fiber = yield* Effect.fork(
          Effect.flip(send(client, get("https://ehr.example?x=SECRET"), { redirects: 3 }))
        )
        yield* TestClock.adjust("9999 millis")
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason, "TimedOut")
        assert.strictEqual(error.processed, "unknown")
        assert.notInclude(JSON.stringify(error), "SECRET")
      }
    }))

  it.each<[string, string | undefined, "no" | "unknown"]>([
    ["ECONNREFUSED", undefined, "no"],
    ["ENOTFOUND", undefined, "no"],
    ["EAI_AGAIN", undefined, "no"],
    ["EHOSTUNREACH", undefined, "no"],
    ["ENETUNREACH", undefined, "no"],
    ["UND_ERR_CONNECT_TIMEOUT", undefined, "no"],
    ["ETIMEDOUT", "connect", "no"],
    ["CERT_HAS_EXPIRED", undefined, "no"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", undefined, "no"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", undefined, "no"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", undefined, "no"],
    ["ETIMEDOUT", "read", "unknown"],
    ["ETIMEDOUT", undefined, "unknown"],
    ["ECONNRESET", undefined, "unknown"],
    ["EPIPE", undefined, "unknown"],
    ["UND_ERR_SOCKET", undefined, "unknown"],
    ["UND_ERR_HEADERS_TIMEOUT", undefined, "unknown"],
    ["UND_ERR_BODY_TIMEOUT", undefined, "unknown"],
    ["ECONNABORTED", undefined, "unknown"],
    ["ERR_SOMETHING_NEW", undefined, "unknown"]
  ])("%s (%s): the processed is %s", (code, syscall, processed) => {
    const { client } = Http.script(() => new Http.ConnectionFailure(code, syscall))
    const error = Effect.runSync(Effect.flip(send(client, get("https://ehr.example/token"))))
    assert.strictEqual(error.reason, /(HEADERS|BODY)_TIMEOUT/.test(code) ? "TimedOut" : "Unreachable")
    assert.strictEqual(error.processed, processed)
    assert.strictEqual(error.detail, code)
  })

  it.effect("an incomplete body has `processed` unknown", () =>
    Effect.gen(function*() {
      const broken = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => controller.error(Object.assign(new Error("aborted"), { code: "ECONNRESET" }))
          })
        )
      const error = yield* Effect.flip(send(Http.script(broken).client, get("https://ehr.example")))
      assert.strictEqual(error.reason, "Unreachable")
      assert.strictEqual(error.processed, "unknown")
    }))

  it.effect("a request has no cookies and no tracing headers, also inside a span", () =>
    Effect.gen(function*() {
      const { client, requests } = Http.script(() => Http.json({}, { headers: { "set-cookie": "a=b" } }))
      yield* send(client, get("https://ehr.example")).pipe(Effect.repeatN(1), Effect.withSpan("caller"))
      for (const { headers } of requests) assert.deepStrictEqual(headers, {})
    }))

  it.effect("concurrent requests each end at their own time limit, also in an uninterruptible region", () =>
    Effect.gen(function*() {
      const { client } = Http.script(() => Http.hang)
      const start = (timeout: "10 seconds" | "4 seconds") =>
        Effect.fork(Effect.uninterruptible(Effect.flip(send(client, get("https://ehr.example"), { timeout }))))
      const first = yield* start("10 seconds")
      yield* TestClock.adjust("3 seconds")
      const second = yield* start("10 seconds")
      const short = yield* start("4 seconds")
      const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null
      for (
        const [step, expected] of [
          ["3999 millis", [false, false, false]],
          ["1 millis", [false, false, true]],
          ["3 seconds", [true, false, true]],
          ["2999 millis", [true, false, true]],
          ["1 millis", [true, true, true]]
        ] as const
      ) {
        yield* TestClock.adjust(step)
        assert.deepStrictEqual([first, second, short].map(isDone), [...expected])
      }
      for (const fiber of [first, second, short]) assert.strictEqual((yield* Fiber.join(fiber)).reason, "TimedOut")
    }))

  it.effect("concurrent requests with a time limit of 0 all end", () =>
    Effect.gen(function*() {
      const { client } = Http.script(() => Http.hang)
      const request = Effect.flip(send(client, get("https://ehr.example"), { timeout: 0 }))
      const failures = yield* Effect.all([request, request, request], { concurrency: "unbounded" })
      assert.deepStrictEqual(failures.map(({ reason }) => reason), ["TimedOut", "TimedOut", "TimedOut"])
    }))

  it.effect("the HTTP client makes no span, which would hold the whole URL", () =>
    Effect.gen(function*() {
      const { shown } = yield* observe(
        send(Http.script(() => Http.json({})).client, get("https://ehr.example/Patient?name=SECRET-NAME"), {
          redirects: 3
        }).pipe(Effect.asVoid)
      )
      assert.isUndefined(leak(shown(), ["SECRET-NAME", "http.client"]))
    }))
})
