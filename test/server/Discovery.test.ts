import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { assertLeft, assertSome } from "@effect/vitest/utils"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as HttpLimits from "../../src/http/HttpLimits.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as Capabilities from "../../src/server/Capabilities.js"
import * as Conformance from "../../src/server/Conformance.js"
import * as Discovery from "../../src/server/Discovery.js"
import type { DiscoveryError } from "../../src/server/DiscoveryError.js"
import * as LegacyMetadata from "../../src/server/LegacyMetadata.js"
import { endpoint } from "../../src/server/SmartConfiguration.js"
import * as Http from "../support/http.js"
import { recordSpans } from "../support/spans.js"
import { recorded } from "../support/warnings.js"

const base = "https://ehr.example/fhir"
const document = (changes: Readonly<Record<string, unknown>> = {}) => ({
  authorization_endpoint: "https://auth.example/authorize",
  token_endpoint: "https://auth.example/token",
  capabilities: ["launch-standalone"],
  code_challenge_methods_supported: ["S256"],
  grant_types_supported: ["authorization_code"],
  ...changes
})
const good = () => Http.json(document())

/** A Discovery without retries over written answers. */
const over = (http: Http.Fake, options: Discovery.Options = {}) =>
  Discovery.make(options).pipe(Effect.provide(Layer.merge(http.layer, RetryPolicy.layer(RetryPolicy.none))))

const failing = (answer: () => Http.FakeResponse, input = base) =>
  Effect.flatMap(over(Http.script(answer)), (discovery) => Effect.flip(discovery.configuration(input)))

describe("Discovery, the request", () => {
  it.effect.each([
    ["https://ehr.example", "https://ehr.example/.well-known/smart-configuration"],
    ["https://ehr.example/", "https://ehr.example/.well-known/smart-configuration"],
    ["https://ehr.example/fhir", "https://ehr.example/fhir/.well-known/smart-configuration"],
    ["https://ehr.example/fhir/", "https://ehr.example/fhir/.well-known/smart-configuration"],
    ["https://ehr.example:8443/a/b/r4/", "https://ehr.example:8443/a/b/r4/.well-known/smart-configuration"]
  ])("[SMART-226] %s is asked at its whole path", ([input, url]) =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const discovery = yield* over(http)
      yield* discovery.configuration(input ?? "")
      assert.deepStrictEqual(http.requests.map((seen) => `${seen.method} ${seen.url}`), [`GET ${url}`])
    }))

  it.effect("[SMART-227] Accept allows JSON, and nothing else is sent", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      yield* (yield* over(http)).configuration(base)
      assert.deepStrictEqual(http.requests[0]?.headers, { accept: "application/json, application/fhir+json;q=0.9" })
      assert.strictEqual(http.requests[0]?.body, "")
    }))

  it.live("has a span with the FHIR base URL", () =>
    Effect.gen(function*() {
      const { spans, tracer } = yield* recordSpans
      const discovery = yield* over(Http.script(good))
      yield* Effect.withTracer(discovery.configuration(base), tracer)
      assert.deepStrictEqual(spans, [
        { name: "Discovery.fetch", kind: "client", attributes: { "smart.fhir_base_url": base } }
      ])
    }))

  it.effect("`make` and `layer` do no I/O", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      yield* over(http)
      yield* Layer.build(Discovery.layer({ capacity: 1 })).pipe(Effect.scoped, Effect.provide(http.layer))
      assert.strictEqual(http.requests.length, 0)
    }))

  it.effect("[SMART-1] an http base URL causes no request, except for a loopback host with allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const discovery = yield* over(http, { failureTimeToLive: 0 })
      for (const input of ["http://ehr.example/fhir", "http://localhost/fhir"]) {
        assert.strictEqual((yield* Effect.flip(discovery.configuration(input))).reason, "InsecureEndpoint")
      }
      assert.strictEqual(http.requests.length, 0)
      yield* discovery.configuration("http://localhost/fhir", { allowInsecureLocalhost: true })
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect("follows up to three redirects, https to https", () =>
    Effect.gen(function*() {
      const moved = (location: string) => () => new Response(null, { status: 301, headers: { location } })
      const three = Http.script(moved("/a"), moved("https://b.example/"), moved("/c"), good)
      yield* (yield* over(three)).configuration(base)
      assert.strictEqual(three.requests.length, 4)
      const four = yield* failing(moved("/a"))
      assert.strictEqual(four.reason, "RedirectRefused")
      assert.strictEqual((yield* failing(moved("http://ehr.example/x"))).reason, "RedirectRefused")
    }))
})

describe("Discovery, its errors", () => {
  const cases: ReadonlyArray<readonly [string, () => Http.FakeResponse, DiscoveryError["reason"], string]> = [
    ["a refused connection", () => new Http.ConnectionFailure("ECONNREFUSED"), "Unreachable", "ECONNREFUSED"],
    ["no such host", () => new Http.ConnectionFailure("ENOTFOUND"), "Unreachable", "ENOTFOUND"],
    ["a bad certificate", () => new Http.ConnectionFailure("CERT_HAS_EXPIRED"), "Unreachable", "CERT_HAS_EXPIRED"],
    ["404", () => Http.text("SECRET", { status: 404 }), "NotFound", "HTTP status 404"],
    ["410", () => Http.text("SECRET", { status: 410 }), "NotFound", "HTTP status 410"],
    ["401", () => Http.json({ error: "SECRET" }, { status: 401 }), "Status", "HTTP status 401"],
    ["500", () => Http.text("SECRET", { status: 500 }), "Status", "HTTP status 500"],
    ["204", () => new Response(null, { status: 204 }), "NotJson", "no content type"],
    ["304", () => new Response(null, { status: 304 }), "Status", "HTTP status 304"],
    [
      "a web page",
      () => Http.text("<html>SECRET", { headers: { "content-type": "text/html" } }),
      "NotJson",
      "text/html"
    ],
    ["XML", () => Http.text("<C/>", { headers: { "content-type": "application/xml" } }), "NotJson", "application/xml"],
    ["half a document", () => Http.text("{\"token_endpoint\":\"SECRET"), "NotJson", "not JSON"],
    ["an empty body", () => Http.text(""), "NotJson", "not JSON"],
    ["an array", () => Http.json([document()]), "NotObject", "an array"],
    ["null", () => Http.json(null), "NotObject", "object"],
    ["a string", () => Http.json("SECRET"), "NotObject", "string"],
    ["a number", () => Http.json(1), "NotObject", "number"],
    ["too much", () => Http.text("x".repeat(1024 * 1024 + 1)), "TooLarge", "1048576 bytes"],
    [
      "a redirect to http",
      () => new Response(null, { status: 302, headers: { location: "http://ehr.example/x?SECRET" } }),
      "RedirectRefused",
      "http://ehr.example/x"
    ]
  ]
  it.effect.each(cases)("%s", ([, answer, reason, words]) =>
    Effect.gen(function*() {
      const error = yield* failing(answer)
      assert.strictEqual(error.reason, reason)
      assert.include(error.message, `${base}/.well-known/smart-configuration`)
      assert.include(error.message, `(${reason})`)
      assert.include(error.message, words)
      assert.notInclude(error.message, "SECRET")
      assert.notInclude(error.message, "\n")
      assert.strictEqual(error.fhirBaseUrl, base)
    }))

  it.effect("a server that hangs fails with TimedOut after ten seconds", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(failing(() => Http.hang))
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason, "TimedOut")
      assert.include(error.message, `${base}/.well-known/smart-configuration`)
    }))

  it.effect("an invalid base URL causes no request, and the message hides its secrets", () =>
    Effect.gen(function*() {
      for (const input of ["", "x", "https://u:SECRET@ehr.example/fhir", "https://ehr.example/?SECRET=1", "ftp://e"]) {
        const http = Http.script(good)
        const discovery = yield* over(http)
        const error = yield* Effect.flip(discovery.configuration(input))
        assert.strictEqual(error.reason, "InvalidUrl")
        assert.notInclude(error.message, "SECRET")
        assert.strictEqual(http.requests.length, 0)
        yield* discovery.invalidate(input)
        assert.strictEqual((yield* Effect.flip(discovery.refresh(input))).reason, "InvalidUrl")
      }
    }))

  it.effect("[SMART-230] missing and insecure endpoints are named, by their names in the document", () =>
    Effect.gen(function*() {
      const http = Http.script(() =>
        Http.json(document({ authorization_endpoint: undefined, token_endpoint: "http://auth.example/token?k=SECRET" }))
      )
      const found = yield* (yield* over(http)).configuration(base)
      const missing = yield* Effect.flip(endpoint(found, "authorizationEndpoint"))
      assert.strictEqual(missing.reason, "EndpointMissing")
      assert.strictEqual(missing.member, "authorization_endpoint")
      const insecure = yield* Effect.flip(endpoint(found, "tokenEndpoint", { allowInsecureLocalhost: true }))
      assert.strictEqual(insecure.reason, "InsecureEndpoint")
      assert.include(insecure.message, "token_endpoint")
      assert.include(insecure.message, "http://auth.example/token")
      assert.notInclude(insecure.message, "SECRET")
    }))

  it.effect("transient failures are retryable, others are not", () =>
    Effect.gen(function*() {
      const retryable = (answer: () => Http.FakeResponse) => Effect.map(failing(answer), (error) => error.isRetryable)
      for (const status of [408, 429, 502, 503, 504]) {
        assert.isTrue(yield* retryable(() => Http.text("", { status })), `${status}`)
      }
      for (const status of [400, 401, 403, 404, 500, 501]) {
        assert.isFalse(yield* retryable(() => Http.text("", { status })), `${status}`)
      }
      assert.isTrue(yield* retryable(() => new Http.ConnectionFailure("ECONNRESET")))
      assert.isFalse(yield* retryable(() => Http.text("<html>")))
    }))

  it.effect("the error has the Retry-After of the response", () =>
    Effect.gen(function*() {
      const error = yield* failing(() => Http.text("", { status: 503, headers: { "retry-after": "120" } }))
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(120))
      assert.include(error.message, "2m")
    }))
})

describe("Discovery, leniency", () => {
  const found = (answer: () => Http.FakeResponse) =>
    Effect.gen(function*() {
      const warnings = recorded()
      const discovery = yield* over(Http.script(answer)).pipe(Effect.provide(warnings.layer))
      const configuration = yield* discovery.configuration(base)
      return { configuration, codes: warnings.codes(), details: warnings.reported.map(({ detail }) => detail) }
    })

  it.effect("a conformant document causes no warning", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* found(good)).codes, [])
      const suffixed = yield* found(() =>
        Http.json(document(), { headers: { "content-type": "application/fhir+json; charset=utf-8" } })
      )
      assert.deepStrictEqual(suffixed.codes, [])
    }))

  it.effect.each(["text/plain", "text/html; charset=utf-8", "application/octet-stream", "text/json", "json", ""])(
    "[SMART-374] a document that came as %j is read, with a warning",
    (type) =>
      Effect.gen(function*() {
        const { codes, configuration, details } = yield* found(() =>
          Http.text(JSON.stringify(document()), { headers: type === "" ? {} : { "content-type": type } })
        )
        assert.strictEqual(configuration.tokenEndpoint, "https://auth.example/token")
        assert.deepStrictEqual(codes, ["MetadataContentType"])
        const shown = type.includes("/") ? type.split(";")[0] : "(none)"
        assert.deepStrictEqual(details, [`the SMART configuration has the content type ${shown}`])
      })
  )

  it.effect("a byte order mark is ignored", () =>
    Effect.gen(function*() {
      const { configuration } = yield* found(() =>
        Http.text(`\uFEFF${JSON.stringify(document())}`, { headers: { "content-type": "application/json" } })
      )
      assert.strictEqual(configuration.tokenEndpoint, "https://auth.example/token")
    }))

  it.effect("[SMART-379] relative endpoints are resolved against the base as it was written", () =>
    Effect.gen(function*() {
      const answer = () => Http.json(document({ token_endpoint: "token", authorization_endpoint: "/authorize" }))
      const { codes, configuration } = yield* found(answer)
      assert.strictEqual(configuration.tokenEndpoint, "https://ehr.example/token")
      assert.strictEqual(configuration.authorizationEndpoint, "https://ehr.example/authorize")
      assert.deepStrictEqual(codes, ["MetadataEndpointRelative", "MetadataEndpointRelative"])
      const slashed = yield* (yield* over(Http.script(answer))).configuration(`${base}/`)
      assert.strictEqual(slashed.tokenEndpoint, "https://ehr.example/fhir/token")
    }))

  it.effect("[SMART-379] a protocol-relative endpoint is resolved to its own host over https", () =>
    Effect.gen(function*() {
      const { configuration } = yield* found(() => Http.json(document({ token_endpoint: "//auth.example/token" })))
      assert.strictEqual(configuration.tokenEndpoint, "https://auth.example/token")
    }))

  it.effect("malformed members count as absent, each with a warning that does not quote them", () =>
    Effect.gen(function*() {
      const { codes, configuration, details } = yield* found(() =>
        Http.json(document({
          token_endpoint: 42,
          capabilities: "SECRET",
          scopes_supported: ["a", 1],
          authorization_endpoint: "",
          jwks_uri: "https://[SECRET",
          associated_endpoints: [{ url: 1 }, { url: "https://x.example", capabilities: "SECRET" }],
          user_access_brand_identifier: "SECRET"
        }))
      )
      assert.isUndefined(configuration.tokenEndpoint)
      assert.isUndefined(configuration.authorizationEndpoint)
      assert.isUndefined(configuration.capabilities)
      assert.isUndefined(configuration.scopesSupported)
      assert.isUndefined(configuration.jwksUri)
      assert.deepStrictEqual(configuration.associatedEndpoints, [{ url: "https://x.example", capabilities: [] }])
      assert.deepStrictEqual(new Set(codes), new Set(["MetadataMemberMalformed"]))
      assert.strictEqual(codes.length, 8)
      assert.notInclude(details.join(), "SECRET")
    }))

  it.effect("unknown members and capabilities stay in the configuration", () =>
    Effect.gen(function*() {
      const { codes, configuration } = yield* found(() =>
        Http.json(document({ x_vendor: { deep: [1] }, capabilities: ["https://vendor.example/cap", "launch-ehr"] }))
      )
      assert.deepStrictEqual(configuration.extensions, { x_vendor: { deep: [1] } })
      assert.isTrue(Capabilities.has(configuration, "https://vendor.example/cap"))
      assert.deepStrictEqual(codes, [])
    }))

  it.effect("hostile documents cause configurations or typed errors, never defects or prototype pollution", () =>
    Effect.gen(function*() {
      const deep = (open: string, close: string) => `{"x":${open.repeat(50_000)}1${close.repeat(50_000)}}`
      const bodies = [
        "{\"__proto__\":{\"polluted\":true,\"tokenEndpoint\":\"https://evil.example\"}}",
        "{\"constructor\":{\"prototype\":{\"polluted\":true}},\"toString\":1,\"hasOwnProperty\":1}",
        "{\"token_endpoint\":{\"__proto__\":null},\"capabilities\":{\"length\":1e9}}",
        deep("[", "]"),
        deep("{\"a\":", "}"),
        `{"capabilities":[${"\"x\",".repeat(100_000)}"x"]}`,
        "{\"token_endpoint\":\"https://a.example\",\"token_endpoint\":\"https://b.example\"}",
        "{\"token_endpoint\":\"\\ud800\"}",
        "{\"token_endpoint\":\"https://a\\u0000b.example/\"}",
        "{\"token_endpoint\":\"javascript:alert(1)\",\"authorization_endpoint\":\"data:text/html,x\"}",
        "{\"associated_endpoints\":[null,[],{\"url\":null},{\"url\":{}}]}",
        "{\"user_access_brand_identifier\":{\"system\":[],\"value\":{}}}",
        "{\"issuer\":1e400}"
      ]
      for (const body of bodies) {
        const exit = yield* Effect.exit(Effect.either(found(() => Http.text(body))))
        assert.isTrue(Exit.isSuccess(exit), body.slice(0, 80))
      }
      const polluted = yield* found(() => Http.text(bodies[0] ?? ""))
      assert.isUndefined(polluted.configuration.tokenEndpoint)
      assert.isUndefined(({} as Record<string, unknown>)["polluted"])
      const odd = yield* found(() => Http.text(bodies[9] ?? ""))
      for (const member of ["tokenEndpoint", "authorizationEndpoint"] as const) {
        assert.strictEqual((yield* Effect.flip(endpoint(odd.configuration, member))).reason, "InsecureEndpoint")
      }
    }))

  const names = FastCheck.constantFrom(
    ...["token_endpoint", "authorization_endpoint", "issuer", "jwks_uri", "capabilities", "associated_endpoints"],
    ...["user_access_brand_identifier", "__proto__", "constructor", "code_challenge_methods_supported", "x"]
  )
  it.effect.prop(
    "any JSON at all is a configuration or a typed error",
    [FastCheck.oneof(FastCheck.dictionary(names, FastCheck.jsonValue()), FastCheck.jsonValue())],
    ([value]) =>
      Effect.gen(function*() {
        const discovery = yield* over(Http.script(() => Http.json(value)))
        const outcome = yield* Effect.either(discovery.configuration(base))
        if (Either.isLeft(outcome)) assert.strictEqual(outcome.left.reason, "NotObject")
        else assert.isArray(Conformance.findings(outcome.right))
      })
  )
})

describe("Discovery, the cache", () => {
  const times = (http: Http.Fake) => http.requests.length

  it.effect("[SMART-29] a response without lifetime is fresh for one hour", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const discovery = yield* over(http)
      yield* discovery.configuration(base)
      yield* TestClock.adjust("59 minutes")
      yield* discovery.configuration(base)
      assert.strictEqual(times(http), 1)
      yield* TestClock.adjust("1 minute")
      yield* discovery.configuration(base)
      assert.strictEqual(times(http), 2)
    }))

  it.effect("both spellings of a base share an entry, other bases do not", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const discovery = yield* over(http)
      for (const input of [base, `${base}/`, "https://EHR.example:443/fhir"]) yield* discovery.configuration(input)
      assert.strictEqual(times(http), 1)
      yield* discovery.configuration("https://ehr.example/fhir2")
      assert.strictEqual(times(http), 2)
    }))

  it.effect.each([
    [{ "cache-control": "max-age=600" }, "10 minutes"],
    [{ "cache-control": "max-age=600", age: "300" }, "5 minutes"],
    [{ "cache-control": "no-store" }, "1 minute"],
    [{ "cache-control": "max-age=0" }, "1 minute"],
    [{ "cache-control": "max-age=99999999" }, "1 day"],
    [{ expires: "Thu, 01 Jan 1970 00:20:00 GMT" }, "20 minutes"],
    [{ expires: "0" }, "1 minute"]
  ] as ReadonlyArray<readonly [Record<string, string>, Duration.DurationInput]>)(
    "%j is fresh for %s",
    ([headers, fresh]) =>
      Effect.gen(function*() {
        const http = Http.script(() => Http.json(document(), { headers }))
        const discovery = yield* over(http)
        yield* discovery.configuration(base)
        yield* TestClock.adjust(Duration.subtract(Duration.decode(fresh), 1))
        yield* discovery.configuration(base)
        assert.strictEqual(times(http), 1)
        yield* TestClock.adjust("1 millis")
        yield* discovery.configuration(base)
        assert.strictEqual(times(http), 2)
      })
  )

  it.effect("a hundred concurrent calls make one request", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Effect.delay(Effect.sync(good), "1 second"))
      const discovery = yield* over(http)
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 100 }, () => discovery.configuration(base)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(all)).length, 100)
      assert.strictEqual(times(http), 1)
    }))

  it.effect("the interruption of the first caller does not affect the others or their request", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Effect.delay(Effect.sync(good), "2 seconds"))
      const discovery = yield* over(http)
      const first = yield* Effect.fork(discovery.configuration(base).pipe(Effect.timeoutOption("1 second")))
      yield* Effect.yieldNow()
      const others = yield* Effect.fork(
        Effect.all(Array.from({ length: 10 }, () => discovery.configuration(base)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(first)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(others)).length, 10)
      assert.strictEqual(times(http), 1)
    }))

  it.effect("a failure is cached for three seconds", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.text("", { status: 500 }), good)
      const discovery = yield* over(http)
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "Status")
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "Status")
      assert.strictEqual(times(http), 1)
      yield* TestClock.adjust("1 millis")
      yield* discovery.configuration(base)
      assert.strictEqual(times(http), 2)
    }))

  it.effect("Retry-After prolongs the caching of a failure, up to 30 seconds", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.text("", { status: 503, headers: { "retry-after": "3600" } }), good)
      const discovery = yield* over(http)
      yield* Effect.flip(discovery.configuration(base))
      yield* TestClock.adjust("29 seconds")
      yield* Effect.flip(discovery.configuration(base))
      assert.strictEqual(times(http), 1)
      yield* TestClock.adjust("1 second")
      yield* discovery.configuration(base)
    }))

  it.effect("the last valid document is used while the server fails, with a warning, for a day", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const http = Http.script(good, () => Http.text("", { status: 500 }))
      const discovery = yield* over(http).pipe(Effect.provide(warnings.layer))
      yield* discovery.configuration(base)
      yield* TestClock.adjust("2 hours")
      const stale = yield* discovery.configuration(base)
      assert.strictEqual(stale.tokenEndpoint, "https://auth.example/token")
      assert.deepStrictEqual(warnings.codes(), ["MetadataStale"])
      yield* discovery.configuration(base)
      assert.strictEqual(times(http), 2)
      yield* TestClock.adjust("22 hours")
      yield* discovery.configuration(base)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "Status")
    }))

  it.effect("after a 404 the last valid document is not used", () =>
    Effect.gen(function*() {
      const discovery = yield* over(Http.script(good, () => Http.text("", { status: 404 })))
      yield* discovery.configuration(base)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "NotFound")
    }))

  it.effect("with staleIfError 0 a stale document is not used", () =>
    Effect.gen(function*() {
      const discovery = yield* over(Http.script(good, () => new Http.ConnectionFailure("ECONNREFUSED")), {
        staleIfError: 0
      })
      yield* discovery.configuration(base)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "Unreachable")
    }))

  it.effect("a URL that was not seen before is parsed, and each spelling leads to one document", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const discovery = yield* over(http)
      const host = `https://${randomUUID()}.example`
      for (const input of [host, `${host}/`, host]) {
        assert.strictEqual((yield* discovery.configuration(input)).fhirBaseUrl, host)
      }
      const other = yield* discovery.configuration(`${host}/other`)
      assert.strictEqual(other.fhirBaseUrl, `${host}/other`)
      assert.deepStrictEqual(http.requests.map(({ url }) => url), [
        `${host}/.well-known/smart-configuration`,
        `${host}/other/.well-known/smart-configuration`
      ])
    }))

  it.effect("after a failed `refresh`, a document is used without a warning as long as it is fresh", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const http = Http.script(good, () => Http.text("", { status: 500 }))
      const discovery = yield* over(http, { failureTimeToLive: "2 hours" }).pipe(Effect.provide(warnings.layer))
      yield* discovery.configuration(base)
      yield* TestClock.adjust("30 minutes")
      yield* Effect.flip(discovery.refresh(base))
      yield* TestClock.adjust(30 * 60_000 - 1)
      yield* discovery.configuration(base)
      assert.deepStrictEqual(warnings.codes(), [])
      yield* TestClock.adjust(1)
      yield* discovery.configuration(base)
      assert.deepStrictEqual(warnings.codes(), ["MetadataStale"])
      assert.strictEqual(times(http), 2)
    }))

  it.effect("`refresh` fetches again; a failed one leaves the cached document fresh", () =>
    Effect.gen(function*() {
      const http = Http.script(
        good,
        () => Http.json(document({ token_endpoint: "https://new.example/token" })),
        () => Http.text("", { status: 500 })
      )
      const discovery = yield* over(http)
      yield* discovery.configuration(base)
      assert.strictEqual((yield* discovery.refresh(base)).tokenEndpoint, "https://new.example/token")
      assert.strictEqual((yield* Effect.flip(discovery.refresh(base))).reason, "Status")
      assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://new.example/token")
      assert.strictEqual(times(http), 3)
    }))

  it.effect("`invalidate` removes the document, and a fetch under way does not write it again", () =>
    Effect.gen(function*() {
      const gates = [yield* Deferred.make<Response>(), yield* Deferred.make<Response>()]
      const http = Http.fake((_, index) => {
        const gate = gates[index]
        return gate === undefined ? good() : Deferred.await(gate)
      })
      const discovery = yield* over(http)
      const settle = Effect.repeatN(Effect.yieldNow(), 10)
      const old = yield* Effect.fork(discovery.configuration(base))
      yield* settle
      yield* discovery.invalidate(`${base}/`)
      const fresh = yield* Effect.fork(discovery.configuration(base))
      yield* settle
      assert.strictEqual(times(http), 2)
      const [first, second] = gates
      if (first === undefined || second === undefined) return assert.fail("two gates")
      yield* Deferred.succeed(second, Http.json(document({ token_endpoint: "https://new.example/token" })))
      assert.strictEqual((yield* Fiber.join(fresh)).tokenEndpoint, "https://new.example/token")
      yield* Deferred.succeed(first, good())
      assert.strictEqual((yield* Fiber.join(old)).tokenEndpoint, "https://auth.example/token")
      assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://new.example/token")
      assert.strictEqual(times(http), 2)
    }))

  it.effect("repeats transient failures, three attempts by default", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.text("", { status: 503 }))
      const discovery = yield* Discovery.make().pipe(Effect.provide(http.layer))
      const fiber = yield* Effect.fork(Effect.flip(discovery.configuration(base)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(times(http), 3)
      const once = Http.script(() => Http.text("", { status: 404 }))
      yield* Effect.flip((yield* Discovery.make().pipe(Effect.provide(once.layer))).configuration(base))
      assert.strictEqual(times(once), 1)
    }))

  it.effect("the SMART configuration and the CapabilityStatement have their own time limits", () =>
    Effect.gen(function*() {
      const slow = (url: string) => url.includes("smart-configuration") ? Http.text("", { status: 404 }) : Http.json({})
      const http = Http.fake(({ url }) => Effect.delay(Effect.sync(() => slow(url)), "3 seconds"))
      const outcome = (limits: Partial<HttpLimits.Limits>) =>
        Effect.gen(function*() {
          const discovery = yield* over(http).pipe(Effect.provide(HttpLimits.layer(limits)))
          const fiber = yield* Effect.fork(
            Effect.flip(discovery.configuration(base, { legacyMetadata: LegacyMetadata.capabilityStatement }))
          )
          yield* TestClock.adjust("1 minute")
          const { reason, url } = yield* Fiber.join(fiber)
          return `${reason} ${url.slice(base.length)}`
        })
      const path = "/.well-known/smart-configuration"
      assert.strictEqual(
        yield* outcome({ discoveryTimeout: "2 seconds", fhirTimeout: "4 seconds" }),
        `TimedOut ${path}`
      )
      assert.strictEqual(
        yield* outcome({ discoveryTimeout: "4 seconds", fhirTimeout: "2 seconds" }),
        "TimedOut /metadata"
      )
      assert.strictEqual(
        yield* outcome({ discoveryTimeout: "4 seconds", fhirTimeout: "4 seconds" }),
        `NotFound ${path}`
      )
    }))

  it.effect("limits of a call take precedence over limits of the layer", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const limited = (maxResponseBytes: number) => HttpLimits.layer({ maxResponseBytes })
      const discovery = yield* over(http, { failureTimeToLive: 0 }).pipe(Effect.provide(limited(10)))
      assertLeft(
        yield* Effect.either(discovery.configuration(base)).pipe(Effect.map(Either.mapLeft(({ reason }) => reason))),
        "TooLarge"
      )
      yield* TestClock.adjust("1 millis")
      assertSome(
        yield* Effect.option(discovery.configuration(base).pipe(Effect.provide(limited(10_000)))).pipe(
          Effect.map(Option.map(({ tokenEndpoint }) => tokenEndpoint))
        ),
        "https://auth.example/token"
      )
    }))
})
