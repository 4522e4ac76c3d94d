import { inspect } from "node:util"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as LogoutRequest from "../../src/token/LogoutRequest.js"
import * as TokenEndpoint from "../../src/token/TokenEndpoint.js"
import { TokenError } from "../../src/token/TokenError.js"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const target: TokenEndpoint.Target = {
  endpoint: "https://auth.example/token?tenant=1",
  clientId: "app id",
  authentication: ClientAuthentication.makePublic,
  server: "ehr"
}
const exchange: TokenEndpoint.CodeExchange = {
  code: Redacted.make("c0de/1+2=3"),
  verifier: Redacted.make("ver1fier"),
  redirectUri: "https://app.example/callback?x=1"
}
const refresh: TokenEndpoint.Refresh = { refreshToken: Redacted.make("refresh-t0ken") }
const good = (changes: Readonly<Record<string, unknown>> = {}) => () =>
  Http.json({ access_token: "AT", token_type: "Bearer", expires_in: 60, scope: "a", ...changes })
const status = (code: number, headers: Readonly<Record<string, string>> = {}) => () =>
  Http.text("", { status: code, headers })

const steady: RetryPolicy.Policy = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(5))

const over = (http: Http.Fake, policy: RetryPolicy.Policy = steady) =>
  TokenEndpoint.make.pipe(Effect.provide(Layer.mergeAll(http.layer, RetryPolicy.layer(policy), recorded().layer)))

/** Runs to the end, however long that takes by the clock, and gives the times of the attempts and the outcome. */
const attempts = <A, E>(
  http: Http.Fake,
  call: (service: TokenEndpoint.Service) => Effect.Effect<A, E>,
  policy?: RetryPolicy.Policy
) =>
  Effect.gen(function*() {
    const service = yield* over(http, policy)
    const fiber = yield* Effect.fork(Effect.either(call(service)))
    yield* TestClock.adjust("10 minutes")
    const outcome = yield* Fiber.join(fiber)
    return { outcome, times: http.times() }
  })

const form = (http: Http.Fake, index = 0) => [...new URLSearchParams(http.requests[index]?.body)]

describe("TokenEndpoint, the requests of a public client", () => {
  it.effect("[SMART-67] [SMART-68] [SMART-69] [SMART-70] [SMART-71] [SMART-63] a code exchange, exactly", () =>
    Effect.gen(function*() {
      const http = Http.script(good())
      yield* (yield* over(http)).exchangeCode(target, exchange)
      assert.deepStrictEqual(form(http), [
        ["grant_type", "authorization_code"],
        ["code", "c0de/1+2=3"],
        ["redirect_uri", "https://app.example/callback?x=1"],
        ["code_verifier", "ver1fier"],
        ["client_id", "app id"]
      ])
      const [sent] = http.requests
      assert.strictEqual(sent?.method, "POST")
      assert.strictEqual(sent?.url, target.endpoint)
      assert.deepStrictEqual(Object.keys(sent?.headers ?? {}).sort(), ["accept", "content-length", "content-type"])
      assert.strictEqual(sent?.headers["content-type"], "application/x-www-form-urlencoded")
      assert.strictEqual(sent?.headers["accept"], "application/json")
    }))

  it.effect("[SMART-105] [SMART-106] [SMART-109] a refresh sends exactly its parameters, and scope only if scopes are requested", () =>
    Effect.gen(function*() {
      const http = Http.script(good())
      const service = yield* over(http)
      yield* service.refresh(target, refresh)
      yield* service.refresh(target, { ...refresh, scopes: ["a", "b|c"] })
      const plain = [["grant_type", "refresh_token"], ["refresh_token", "refresh-t0ken"]]
      assert.deepStrictEqual(form(http, 0), [...plain, ["client_id", "app id"]])
      assert.deepStrictEqual(form(http, 1), [...plain, ["scope", "a b|c"], ["client_id", "app id"]])
      for (const { headers } of http.requests) assert.isFalse("authorization" in headers)
    }))

  it.effect("[SMART-1] no request is sent to an insecure endpoint", () =>
    Effect.gen(function*() {
      const http = Http.script(good())
      const service = yield* over(http)
      for (
        const endpoint of ["http://auth.example/token", "http://localhost/token", "ftp://auth.example", "nonsense"]
      ) {
        const error = yield* Effect.flip(service.exchangeCode({ ...target, endpoint }, exchange))
        assert.strictEqual(error.reason, "InsecureEndpoint")
      }
      assert.strictEqual(http.requests.length, 0)
    }))

  it.effect("[SMART-1] a redirect is never followed", () =>
    Effect.gen(function*() {
      for (const code of [301, 302, 303, 307, 308]) {
        const http = Http.script(status(code, { location: "https://auth.example/other/c0de%2F1%2B2%3D3/ver1fier" }))
        const { outcome } = yield* attempts(http, (service) => service.exchangeCode(target, exchange))
        assert.strictEqual(http.requests.length, 1)
        const error = outcome._tag === "Left" ? outcome.left : assert.fail("accepted")
        assert.strictEqual(error.reason, "RedirectRefused")
        const shown = error.message + inspect(error, { depth: 10 })
        for (const secret of ["c0de%2F1", "c0de/1", "ver1fier"]) assert.notInclude(shown, secret)
      }
    }))
})

describe("TokenEndpoint, retries", () => {
  const refused = [
    ["429", status(429)],
    ["503", status(503)],
    ["ECONNREFUSED", () => new Http.ConnectionFailure("ECONNREFUSED")],
    ["ENOTFOUND", () => new Http.ConnectionFailure("ENOTFOUND")],
    ["a connect time-out", () => new Http.ConnectionFailure("UND_ERR_CONNECT_TIMEOUT")]
  ] as ReadonlyArray<readonly [string, () => Http.FakeResponse]>
  const unknown = [
    ["408", status(408)],
    ["502", status(502)],
    ["504", status(504)],
    ["ECONNRESET", () => new Http.ConnectionFailure("ECONNRESET")],
    ["a time-out", () => Http.hang]
  ] as ReadonlyArray<readonly [string, () => Http.FakeResponse]>
  const final = [
    ["400", status(400)],
    ["401", status(401)],
    ["403", status(403)],
    ["404", status(404)],
    ["500", status(500)],
    ["501", status(501)],
    ["HTML", () => Http.text("<html>")],
    ["an OAuth error with 200", () => Http.json({ error: "invalid_grant" })],
    ["an answer without a token", () => Http.json({})],
    ["an answer that is too large", () => Http.text("x".repeat(1024 * 1024 + 1))],
    ["a redirect", status(302, { location: "https://x.example" })]
  ] as ReadonlyArray<readonly [string, () => Http.FakeResponse]>

  const grants = {
    exchangeCode: (retryUnknown?: boolean) => (service: TokenEndpoint.Service) =>
      service.exchangeCode(target, { ...exchange, retryUnknown }),
    refresh: (retryUnknown?: boolean) => (service: TokenEndpoint.Service) =>
      service.refresh(target, { ...refresh, retryUnknown })
  }

  for (const [name, call] of Object.entries(grants)) {
    it.effect.each(refused)(
      `${name}: the server did not act (%s), as often as the policy says`,
      ([, answer]) =>
        Effect.gen(function*() {
          for (const retryUnknown of [undefined, false]) {
            const { outcome, times } = yield* attempts(Http.script(answer), call(retryUnknown))
            assert.strictEqual(times.length, 6)
            assert.strictEqual(outcome._tag, "Left")
          }
          const { outcome, times } = yield* attempts(Http.script(answer, answer, good()), call())
          assert.deepStrictEqual(times, [0, 1, 2])
          assert.strictEqual(outcome._tag, "Right")
        })
    )

    it.effect.each(unknown)(
      `${name}: an unknown outcome (%s), once more, or never where retryUnknown is false`,
      ([, answer]) =>
        Effect.gen(function*() {
          const twice = yield* attempts(Http.script(answer), call())
          assert.strictEqual(twice.times.length, 2)
          const once = yield* attempts(Http.script(answer), call(false))
          assert.strictEqual(once.times.length, 1)
          const cured = yield* attempts(Http.script(answer, good()), call())
          assert.strictEqual(cured.outcome._tag, "Right")
          const mixed = yield* attempts(Http.script(status(429), answer, status(429), good()), call())
          assert.strictEqual(mixed.times.length, 3)
        })
    )

    it.effect.each(final)(`${name}: %s, never`, ([, answer]) =>
      Effect.gen(function*() {
        const { outcome, times } = yield* attempts(Http.script(answer, good()), call())
        assert.deepStrictEqual(times, [0])
        assert.strictEqual(outcome._tag, "Left")
      }))
  }

  it.effect("requests that change nothing are repeated after each temporary failure", () =>
    Effect.gen(function*() {
      const token = Redacted.make("t0ken")
      const calls: ReadonlyArray<(service: TokenEndpoint.Service) => Effect.Effect<unknown, unknown>> = [
        (service) => service.clientCredentials(target, { scopes: ["system/*.rs"] }),
        (service) => service.introspect(target, { token }),
        (service) => service.revoke(target, { token })
      ]
      for (const call of calls) {
        for (const [name, answer] of [...refused, ...unknown]) {
          const { times } = yield* attempts(Http.script(answer), call)
          assert.strictEqual(times.length, 6, name)
        }
        const { times } = yield* attempts(Http.script(status(400)), call)
        assert.strictEqual(times.length, 1)
      }
    }))

  it.effect("Retry-After, in seconds and as a date, is a floor; above the cap it ends the retries and travels", () =>
    Effect.gen(function*() {
      const dates = yield* attempts(
        Http.script(
          status(503, { "retry-after": "7" }),
          status(429, { "retry-after": "Thu, 01 Jan 1970 00:00:20 GMT" }),
          good()
        ),
        grants.exchangeCode()
      )
      assert.deepStrictEqual(dates.times, [0, 7, 20])
      const { outcome, times } = yield* attempts(Http.script(status(503, { "retry-after": "31" })), grants.refresh())
      assert.deepStrictEqual(times, [0])
      const error = outcome._tag === "Left" ? outcome.left : assert.fail("accepted")
      assert.deepStrictEqual(error._tag === "TokenError" && error.retryAfter, Duration.seconds(31))
    }))

  it.effect("the default is three attempts; a call's policy beats the layer's", () =>
    Effect.gen(function*() {
      const http = Http.script(status(503))
      const service = yield* TokenEndpoint.make.pipe(Effect.provide(http.layer))
      const fiber = yield* Effect.fork(Effect.flip(service.refresh(target, refresh)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(http.requests.length, 3)
      const called = Http.script(status(503))
      yield* attempts(called, (service) =>
        service.refresh(target, refresh).pipe(RetryPolicy.withPolicy(RetryPolicy.none)))
      assert.strictEqual(called.requests.length, 1)
    }))

  it.effect("[SMART-319] every attempt is a request of its own", () =>
    Effect.gen(function*() {
      let built = 0
      const counting: ClientAuthentication.Service = {
        method: "private_key_jwt",
        authenticate: (request) =>
          Effect.sync(() => ClientAuthentication.formRequest(request, { client_assertion: `assertion-${++built}` }))
      }
      const http = Http.script(status(429), () => new Http.ConnectionFailure("ECONNREFUSED"), good())
      yield* attempts(http, (service) => service.exchangeCode({ ...target, authentication: counting }, exchange))
      assert.deepStrictEqual(
        http.requests.map(({ body }) => new URLSearchParams(body).get("client_assertion")),
        ["assertion-1", "assertion-2", "assertion-3"]
      )
      assert.strictEqual(new Set(http.requests.map(({ request }) => request)).size, 3)
    }))

  it.effect("the time limit is that of one attempt: thirty seconds each", () =>
    Effect.gen(function*() {
      const { outcome, times } = yield* attempts(Http.script(() => Http.hang, good()), grants.exchangeCode())
      assert.deepStrictEqual(times, [0, 31])
      assert.strictEqual(outcome._tag, "Right")
    }))
})

describe("TokenEndpoint, secrets in responses", () => {
  it.effect("client secrets with colons and escapes, in any spelling in which a server quotes them", () =>
    Effect.gen(function*() {
      const secret = "s:3cret/+ %x&y"
      const clientId = "https://app.example/id"
      const encoded = new URLSearchParams([["", secret]]).toString().slice(1)
      const echo = [secret, encoded, btoa(`${clientId}:${secret}`)].join(" | ")
      const options = { clientSecret: Redacted.make(secret) }
      for (
        const authentication of [
          ClientAuthentication.makeClientSecretBasic(options),
          ClientAuthentication.makeClientSecretBasic({ ...options, encoding: "form" }),
          ClientAuthentication.makeClientSecretPost(options)
        ]
      ) {
        const http = Http.fake(({ headers }) =>
          Http.json(
            { error: "invalid_client", error_description: `${echo} ${headers["authorization"] ?? ""}` },
            { status: 401 }
          )
        )
        const service = yield* over(http)
        const error = yield* Effect.flip(service.refresh({ ...target, clientId, authentication }, refresh))
        const shown = error.message + inspect(error, { depth: 10 }) + JSON.stringify(error)
        assert.notInclude(shown, secret)
        assert.notInclude(shown, encoded)
        const sent = http.requests[0]?.headers["authorization"]?.slice(6)
        if (sent !== undefined) assert.notInclude(shown, sent)
      }
    }))

  it.effect("without a name the server is called by its endpoint, without its query", () =>
    Effect.gen(function*() {
      const service = yield* over(Http.script(status(400)))
      const { server: _, ...nameless } = target
      const error = yield* Effect.flip(
        service.refresh({ ...nameless, endpoint: "https://a.example/t?k=SECRET" }, refresh)
      )
      assert.notInclude(error.message, "SECRET")
      assert.include(error.message, "https://a.example/t")
    }))
})

describe("TokenEndpoint, revocation", () => {
  const revoke = (answer: () => Http.FakeResponse) =>
    Effect.gen(function*() {
      const http = Http.script(answer)
      const service = yield* over(http, RetryPolicy.none)
      const outcome = yield* Effect.either(
        service.revoke(target, { token: Redacted.make("t0ken"), tokenTypeHint: "refresh_token" })
      )
      return { http, outcome }
    })

  it.effect.each([200, 204])("revocation succeeds at a %d with any body", (code) =>
    Effect.gen(function*() {
      for (const body of [null, "<html>", "{\"error\":\"x\"}"]) {
        const { http, outcome } = yield* revoke(() => new Response(code === 204 ? null : body, { status: code }))
        assert.strictEqual(outcome._tag, "Right")
        assert.deepStrictEqual(form(http), [
          ["token", "t0ken"],
          ["token_type_hint", "refresh_token"],
          ["client_id", "app id"]
        ])
      }
    }))

  it.effect("an error is an error", () =>
    Effect.gen(function*() {
      const { outcome } = yield* revoke(() => Http.json({ error: "unsupported_token_type" }, { status: 400 }))
      assert.strictEqual(
        outcome._tag === "Left" && outcome.left._tag === "TokenError" && outcome.left.error,
        "unsupported_token_type"
      )
    }))
})

describe("TokenEndpoint, refused credentials", () => {
  const refused = (
    clientId: string,
    clientSecret: string,
    encoding: "raw" | "form",
    body: unknown = { error: "invalid_client" }
  ) =>
    Effect.gen(function*() {
      const service = yield* over(Http.script(() => Http.json(body, { status: 401 })))
      const authentication = ClientAuthentication.makeClientSecretBasic({
        clientSecret: Redacted.make(clientSecret),
        encoding
      })
      return (yield* Effect.flip(service.exchangeCode({ ...target, clientId, authentication }, exchange))).message
    })

  it.effect("name the encoding of HTTP Basic where id or secret has special characters, in either encoding, and not the secret", () =>
    Effect.gen(function*() {
      for (const encoding of ["raw", "form"] as const) {
        for (
          const [id, secret] of [["https://app.example", "plain"], ["app", "s3cr:et"], ["app", "100%"], ["app", "ü"]]
        ) {
          for (const body of [{ error: "invalid_client" }, "no JSON"]) {
            const message = yield* refused(id!, secret!, encoding, body)
            assert.include(message, "SMART_CLIENT_SECRET_ENCODING", `${id} ${secret} ${encoding}`)
            assert.isFalse(secret !== "plain" && message.includes(secret!))
          }
        }
        assert.notInclude(yield* refused("app-1.x", "Plain_secret*42", encoding), "ENCODING")
      }
      const service = yield* over(Http.script(status(401)))
      assert.notInclude((yield* Effect.flip(service.refresh(target, refresh))).message, "ENCODING")
    }))
})

describe("TokenEndpoint, another authentication", () => {
  const outcomeOf = (authentication: ClientAuthentication.Service, http: Http.Fake) =>
    Effect.gen(function*() {
      const service = yield* over(http, RetryPolicy.none)
      return yield* Effect.either(service.refresh({ ...target, authentication }, refresh))
    })
  const secretOf = (clientSecret: string) =>
    ClientAuthentication.makeClientSecretPost({ clientSecret: Redacted.make(clientSecret) })
  const sentSecrets = (http: Http.Fake) =>
    http.requests.map(({ body }) => new URLSearchParams(body).get("client_secret"))

  it.effect("the fallback of an authentication is used after invalid_client, and after no other error", () =>
    Effect.gen(function*() {
      const authentication = { ...secretOf("old"), fallback: secretOf("new") }
      const http = Http.script(() => Http.json({ error: "invalid_client" }, { status: 401 }), good())
      assert.strictEqual((yield* outcomeOf(authentication, http))._tag, "Right")
      assert.deepStrictEqual(sentSecrets(http), ["old", "new"])
      const other = Http.script(() => Http.json({ error: "invalid_grant" }, { status: 400 }), good())
      assert.strictEqual((yield* outcomeOf(authentication, other))._tag, "Left")
      assert.deepStrictEqual(sentSecrets(other), ["old"])
      const without = Http.script(() => Http.json({ error: "invalid_client" }, { status: 401 }), good())
      assert.strictEqual((yield* outcomeOf(secretOf("old"), without))._tag, "Left")
    }))

  it.effect("an error shows no part of another user's Basic credentials, and no bearer token", () =>
    Effect.gen(function*() {
      const basic = (encoded: string): ClientAuthentication.Service => ({
        method: "client_secret_basic",
        authenticate: (request) =>
          Effect.succeed(
            HttpClientRequest.setHeader(ClientAuthentication.formRequest(request), "authorization", encoded)
          )
      })
      const credentials = btoa("other-user:first:second+%41")
      const parts = [
        [credentials, credentials],
        [credentials, "other-user:first:second+%41"],
        [credentials, "first:second+%41"],
        [credentials, "second+%41"],
        [credentials, "second A"],
        [btoa("app id:first-second"), "first-second"],
        [btoa("app+id:first%2Dsecond"), "first-second"],
        ["no-base64!", "no-base64!"],
        [btoa("only-a-user"), "only-a-user"]
      ] as const
      for (const [sent, part] of parts) {
        const http = Http.script(() => Http.json({ error: "e", error_description: `<${part}>` }, { status: 400 }))
        const outcome = yield* outcomeOf(basic(`Basic ${sent}`), http)
        if (outcome._tag === "Right" || outcome.left._tag !== "TokenError") return assert.fail("accepted")
        assert.strictEqual(outcome.left.errorDescription, "<<redacted>>", part)
      }
      // The client id is not a secret.
      const http = Http.script(() => Http.json({ error: "e", error_description: "<app id>" }, { status: 400 }))
      const shown = yield* outcomeOf(basic(`Basic ${btoa("app id:first-second")}`), http)
      assert.include(String(shown), "app id")
      const clientId = "https://app.example:8443/a client"
      for (const sent of [clientId, new URLSearchParams([["", clientId]]).toString().slice(1)]) {
        const http = Http.script(() =>
          Http.json({ error: "e", error_description: `<${clientId}> <first-second>` }, { status: 400 })
        )
        const service = yield* over(http, RetryPolicy.none)
        const authentication = basic(`Basic ${btoa(`${sent}:first-second`)}`)
        const error = yield* Effect.flip(service.refresh({ ...target, clientId, authentication }, refresh))
        assert.include(error.message, `<${clientId}> <<redacted>>`)
      }
      const bearer = Redacted.make("introspecting-t0ken")
      const service = yield* over(
        Http.script(() => Http.json({ error: "e", error_description: "introspecting-t0ken" }, { status: 400 }))
      )
      const error = yield* Effect.flip(
        service.introspect(target, { token: Redacted.make("t0ken"), authorization: bearer })
      )
      assert.notInclude(error.message, "introspecting")
    }))

  it.effect("only an authentication that sends authorization extensions gets them", () =>
    Effect.gen(function*() {
      const extensions = { "hl7-b2b": { version: "1" } }
      const requests: Array<unknown> = []
      const authentication: ClientAuthentication.Service = {
        ...ClientAuthentication.makePublic,
        authenticate: (request) => {
          requests.push(request.extensions)
          return ClientAuthentication.makePublic.authenticate(request)
        }
      }
      const http = Http.script(good())
      const service = yield* over(http)
      const error = yield* Effect.flip(
        service.clientCredentials({ ...target, authentication }, { scopes: ["a"], extensions })
      )
      assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Conflict", fields: ["extensions"] })
      assert.strictEqual(http.requests.length, 0)
      const sending = { ...authentication, sendsExtensions: true }
      yield* service.clientCredentials({ ...target, authentication: sending }, { scopes: ["a", "b"], extensions })
      yield* service.clientCredentials({ ...target, authentication }, { scopes: ["a", "b"] })
      assert.deepStrictEqual(requests, [extensions, undefined])
      assert.deepStrictEqual(form(http), [
        ["grant_type", "client_credentials"],
        ["scope", "a b"],
        ["client_id", "app id"]
      ])
    }))
})

describe("TokenEndpoint, what a response means", () => {
  it.effect("without scope, the requested scopes count as granted, at a refresh also the granted ones", () =>
    Effect.gen(function*() {
      const http = Http.script(good({ scope: undefined }))
      const service = yield* over(http)
      const scopes = ["user/*.rs", "openid"]
      const of = (self: Effect.Effect<{ readonly scopes: ReadonlyArray<string> }, unknown>) =>
        Effect.map(self, (tokens) => tokens.scopes)
      assert.deepStrictEqual(yield* of(service.exchangeCode(target, { ...exchange, scopes })), scopes)
      assert.deepStrictEqual(yield* of(service.exchangeCode(target, exchange)), [])
      assert.deepStrictEqual(yield* of(service.refresh(target, { ...refresh, scopes })), scopes)
      assert.deepStrictEqual(yield* of(service.refresh(target, { ...refresh, grantedScopes: scopes })), scopes)
      assert.deepStrictEqual(
        yield* of(service.refresh(target, { ...refresh, grantedScopes: scopes, scopes: ["openid"] })),
        ["openid"]
      )
      assert.deepStrictEqual(yield* of(service.refresh(target, refresh)), [])
      assert.deepStrictEqual(yield* of(service.clientCredentials(target, { scopes })), scopes)
      const kept = yield* service.refresh(target, refresh)
      assert.strictEqual(kept.refreshToken && Redacted.value(kept.refreshToken), "refresh-t0ken")
    }))

  it.effect("[SMART-112] deviations are reported once each, and scopes that are missing for each grant", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const http = Http.script(good({ scope: "user/*.rs", expires_in: undefined, fhirContext: [1, 2, 3] }))
      const service = yield* TokenEndpoint.make.pipe(Effect.provide(Layer.merge(http.layer, warnings.layer)))
      const codesOf = (self: Effect.Effect<unknown, unknown>) => Effect.map(self, () => warnings.codes().slice(-3))
      const scopes = ["user/*.rs", "user/*.cud"]
      const expected = ["TokenMemberMalformed", "ExpiresInMissing", "ScopeNotGranted"]
      assert.deepStrictEqual(yield* codesOf(service.exchangeCode(target, { ...exchange, scopes })), expected)
      assert.deepStrictEqual(yield* codesOf(service.refresh(target, { ...refresh, scopes })), expected)
      assert.deepStrictEqual(yield* codesOf(service.clientCredentials(target, { scopes })), expected)
      assert.strictEqual(warnings.reported.length, 9)
    }))

  it.effect("a request is a span with the server, and loopback hosts need an option", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const http = Http.fake(() =>
        Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
          for (let one = span; one._tag === "Some" && one.value._tag === "Span"; one = one.value.parent) {
            spans.push(one.value)
          }
          return good()()
        })
      )
      const service = yield* over(http, RetryPolicy.none)
      const local = { ...target, endpoint: "http://localhost:8080/token", allowInsecureLocalhost: true }
      const { context, span: makeSpan } = yield* Effect.tracer
      const tracer = Tracer.make({ context, span: makeSpan })
      yield* Effect.withTracer(service.exchangeCode(local, exchange), tracer)
      const span = spans.find(({ name }) => name === "TokenEndpoint.exchangeCode")
      assert.strictEqual(span?.kind, "client")
      assert.strictEqual(span?.attributes.get("smart.server"), "ehr")
    }))

  const userInfo = (body: unknown, fhirBaseUrl: string | undefined = "https://ehr.example/fhir") =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json(body))
      const warnings = recorded()
      const service = yield* TokenEndpoint.make.pipe(Effect.provide(Layer.merge(http.layer, warnings.layer)))
      const userInfo = { ...target, fhirBaseUrl, endpoint: "https://auth.example/userinfo" }
      const outcome = yield* Effect.either(service.userInfo(userInfo, { token: Redacted.make("AT") }))
      return { http, outcome, warnings }
    })

  it.effect("[SMART-214] the claims of userinfo have a sub, and the person's resource if they name one", () =>
    Effect.gen(function*() {
      const { http, outcome, warnings } = yield* userInfo({ sub: "alice", fhirUser: "Practitioner/1", name: "Alice" })
      if (outcome._tag === "Left") return assert.fail(outcome.left.message)
      assert.deepStrictEqual([outcome.right.sub, outcome.right.fhirUser, warnings.codes()], [
        "alice",
        { resourceType: "Practitioner", id: "1", url: "https://ehr.example/fhir/Practitioner/1", isLocal: true },
        []
      ])
      assert.deepStrictEqual(Redacted.value(outcome.right.claims)["name"], "Alice")
      const [sent] = http.requests
      assert.deepStrictEqual([sent?.method, sent?.url, sent?.headers["accept"], sent?.headers["authorization"]], [
        "GET",
        "https://auth.example/userinfo",
        "application/json",
        "Bearer AT"
      ])
      for (const body of [{}, { sub: "" }, { sub: 7 }]) {
        const { outcome } = yield* userInfo(body)
        if (outcome._tag === "Right") return assert.fail("accepted")
        assert.deepInclude(outcome.left, { reason: "Malformed", detail: "the response has no sub" })
      }
      const users: ReadonlyArray<readonly [unknown, string | undefined, ReadonlyArray<string>]> = [
        [undefined, undefined, []],
        ["Device/1", undefined, ["FhirUserMalformed"]],
        ["nonsense", undefined, ["FhirUserMalformed"]]
      ]
      for (const [fhirUser, expected, codes] of users) {
        const { outcome, warnings } = yield* userInfo({ sub: "alice", fhirUser })
        assert.deepStrictEqual([outcome._tag === "Right" && outcome.right.fhirUser, warnings.codes()], [
          expected,
          codes
        ])
      }
      const http2 = Http.script(() => Http.json({ sub: "alice", fhirUser: "Practitioner/1" }))
      const warned = recorded()
      const service = yield* TokenEndpoint.make.pipe(Effect.provide(Layer.merge(http2.layer, warned.layer)))
      const found = yield* service.userInfo(target, { token: Redacted.make("AT") })
      assert.deepStrictEqual([found.fhirUser, warned.codes()], [undefined, []])
    }))
})

describe("the URL of a logout", () => {
  it("has the parameters that are there, and no others", () => {
    const url = (request: LogoutRequest.LogoutRequest) =>
      Redacted.value(LogoutRequest.toUrl("https://auth.example/logout?tenant=1", request)).href
    assert.strictEqual(url({ clientId: "app" }), "https://auth.example/logout?tenant=1&client_id=app")
    assert.strictEqual(
      url({
        clientId: "app",
        idTokenHint: Redacted.make("a.b.c"),
        postLogoutRedirectUri: "https://app.example/bye",
        state: "s"
      }),
      "https://auth.example/logout?tenant=1&id_token_hint=a.b.c&client_id=app&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&state=s"
    )
  })
})

describe("TokenEndpoint, its errors", () => {
  const errorOf = (changes: Partial<ConstructorParameters<typeof TokenError>[0]>) =>
    new TokenError({
      reason: "Refused",
      operation: "refresh",
      server: "ehr",
      url: "https://auth.example/token",
      detail: "HTTP status 400",
      processed: "no",
      ...changes
    })

  it("advise by the error of the server", () => {
    const adviceOf = (error: string | undefined, operation: TokenError["operation"] = "refresh") => {
      const { message } = errorOf({ operation, ...(error === undefined ? {} : { error }) })
      return message.slice(message.lastIndexOf("; ") + 2)
    }
    assert.include(adviceOf("invalid_client"), "compare client id, secret or key, and the method")
    assert.strictEqual(adviceOf("unauthorized_client"), adviceOf("invalid_client"))
    assert.include(adviceOf("invalid_scope"), "scopes_supported")
    assert.include(adviceOf("unsupported_grant_type"), "does not offer this grant")
    assert.include(adviceOf("invalid_grant"), "only a new launch helps")
    const others = [adviceOf(undefined), adviceOf("access_denied")]
    assert.strictEqual(others[0], others[1])
    assert.notInclude(others[0], "undefined")
    assert.notInclude([adviceOf("invalid_client"), adviceOf("unsupported_grant_type")], others[0])
  })

  it("say what is not known, and which members and tokens were received", () => {
    const messageOf = (changes: Partial<ConstructorParameters<typeof TokenError>[0]>) => errorOf(changes).message
    const unknown = ", and whether the server acted is not known"
    assert.include(messageOf({ reason: "Unavailable", status: 502, processed: "unknown" }), unknown)
    assert.notInclude(messageOf({ reason: "Unavailable", status: 502 }), unknown)
    assert.notInclude(messageOf({ reason: "Malformed", processed: "unknown" }), unknown)
    assert.notInclude(messageOf({ reason: "Expired", processed: "unknown" }), unknown)
    assert.include(messageOf({ issued: { accessToken: Redacted.make("AT") } }), "the received tokens are in `issued`")
    assert.notInclude(messageOf({}), "issued")
    assert.notInclude(messageOf({}), "members received")
    assert.include(messageOf({ received: [] }), "members received: none")
    assert.include(
      messageOf({}),
      "The token refresh at ehr (https://auth.example/token) failed (Refused): HTTP status 400;"
    )
    assert.include(messageOf({ server: "https://auth.example/token" }), "refresh at https://auth.example/token failed")
    assert.isTrue(errorOf({ reason: "Expired" }).isRetryable)
    assert.isTrue(errorOf({ reason: "Unavailable", status: 502 }).isRetryable)
    assert.isFalse(errorOf({}).isRetryable)
    const reasons = ["Malformed", "Unavailable", "UnsupportedTokenType"] as const
    assert.strictEqual(new Set(reasons.map((reason) => messageOf({ reason, error: "invalid_scope" }))).size, 3)
    for (const reason of reasons) assert.notInclude(messageOf({ reason, error: "invalid_scope" }), "scopes_supported")
  })

  it.effect("are sentences with the step, the server, the endpoint, the reason and the response, in this order", () =>
    Effect.gen(function*() {
      const refusing = Http.script(() => Http.json({ error: "invalid_grant" }, { status: 400 }))
      const service = yield* over(refusing)
      const messages = yield* Effect.forEach([
        service.exchangeCode(target, exchange),
        service.refresh(target, refresh),
        service.clientCredentials(target, { scopes: ["system/*.rs"] })
      ], (call) => Effect.map(Effect.flip(call), ({ message }) => message))
      assert.deepStrictEqual(messages.map((message) => message.slice(0, message.indexOf(";"))), [
        "The code exchange with ehr (https://auth.example/token) failed (Refused): HTTP status 400: invalid_grant",
        "The token refresh at ehr (https://auth.example/token) failed (Refused): HTTP status 400: invalid_grant",
        "The client credentials request to ehr (https://auth.example/token) failed (Refused): HTTP status 400: invalid_grant"
      ])
      assert.include(messages[0], "the code was used")
      assert.include(messages[1], "the refresh token was used")
      assert.include(messages[2], "compare client id, key or secret")
      assert.notInclude(messages[2], "launch")
    }))
})
