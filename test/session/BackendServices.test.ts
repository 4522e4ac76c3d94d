import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import {
  BackendServices,
  ClientAuthentication,
  RetryPolicy,
  Scopes,
  SmartClient,
  SmartServers,
  TokenSet
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { eventually } from "../support/eventually.js"

const { value } = Redacted

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-backend",
  scopes: ["system/Patient.rs"]
}

const authentication = ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })

const layerOf = (smart: SmartClient.Config = config) =>
  BackendServices.layerFromClient.pipe(
    Layer.provideMerge(SmartClient.layer(smart)),
    Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
    Layer.provide(authentication),
    Layer.provideMerge(SandboxEhr.layerHttpClient())
  )

const tokenRequests = Effect.map(
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.requests),
  (requests) => requests.filter(({ path }) => path.endsWith("/token"))
)

describe("BackendServices", () => {
  it.effect("[SMART-234] [SMART-263] sends one form-encoded POST for a thousand callers, and none while the token is valid", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const tokens = yield* Effect.all(Array.from({ length: 1_000 }, () => backend.accessToken()), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(tokens.map(Redacted.value)).size, 1)
      const [request] = yield* tokenRequests
      assert.deepStrictEqual([request?.method, request?.form?.["grant_type"], request?.headers["content-type"]], [
        "POST",
        "client_credentials",
        "application/x-www-form-urlencoded"
      ])
      yield* TestClock.adjust("4 minutes")
      yield* backend.accessToken()
      assert.strictEqual((yield* tokenRequests).length, 1)
      // Sandbox tokens live five minutes: a tenth, at most half as much again, is the margin.
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(Redacted.value(yield* backend.accessToken()), Redacted.value(tokens[0]!))
      yield* eventually(backend.accessToken(), (token) => Redacted.value(token) !== Redacted.value(tokens[0]!))
      assert.strictEqual((yield* tokenRequests).length, 2)
    }).pipe(Effect.provide(layerOf())))

  it.effect("[SMART-235] [SMART-236] caches by normalized scopes", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      yield* backend.accessToken({ scopes: ["system/Patient.rs", "system/Observation.rs"] })
      yield* backend.accessToken({ scopes: ["system/Observation.s", "system/Patient.rs", "system/Observation.r"] })
      assert.strictEqual((yield* tokenRequests).length, 1)
      yield* backend.accessToken({ scopes: ["system/Patient.rs"] })
      assert.strictEqual((yield* tokenRequests).length, 2)
      assert.deepInclude((yield* tokenRequests)[1]?.form, {
        grant_type: "client_credentials",
        scope: "system/Patient.rs"
      })
    }).pipe(Effect.provide(layerOf())))

  it.effect("[SMART-235] [SMART-236] a parsed scope is the same as its text, and another scope has another token", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      for (const scope of ["system/Patient.rs", Scopes.system("Patient", "rs"), Scopes.system("Observation", "rs")]) {
        yield* backend.accessToken({ scopes: [scope] })
      }
      const requests = yield* tokenRequests
      assert.deepStrictEqual(
        requests.map(({ form }) => form?.["scope"]),
        ["system/Patient.rs", "system/Observation.rs"]
      )
    }).pipe(Effect.provide(layerOf())))

  it.effect("requests system/*.rs if no scopes are configured", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const { scopes } = yield* backend.tokens()
      assert.deepStrictEqual(scopes, ["system/*.rs"])
    }).pipe(Effect.provide(layerOf({ ...config, scopes: undefined }))))

  it.effect("a valid token is used while its renewal fails, and the next attempt waits for the cool-down", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      const first = yield* backend.accessToken()
      yield* TestClock.adjust("275 seconds")
      yield* ehr.fault("token", SandboxEhr.Fault.status(503), 2)
      const settled = TestServices.provideLive(Effect.sleep("20 millis"))
      for (let i = 0; i < 10; i++) {
        assert.strictEqual(Redacted.value(yield* backend.accessToken()), Redacted.value(first))
        yield* settled
      }
      assert.strictEqual((yield* tokenRequests).length, 2)
      yield* TestClock.adjust("6 seconds")
      yield* backend.accessToken()
      yield* eventually(tokenRequests, ({ length }) => length === 3)
      yield* settled
      yield* TestClock.adjust("30 seconds")
      yield* ehr.fault("token", SandboxEhr.Fault.status(503))
      assert.strictEqual((yield* Effect.flip(backend.accessToken()))._tag, "TokenError")
      assert.notStrictEqual(Redacted.value(yield* backend.accessToken()), Redacted.value(first))
    }).pipe(Effect.provide(layerOf())))

  it.effect("a failed renewal fails all waiting callers at once", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      yield* ehr.fault("token", SandboxEhr.Fault.status(503))
      const outcomes = yield* Effect.all(Array.from({ length: 50 }, () => Effect.either(backend.accessToken())), {
        concurrency: "unbounded"
      })
      assert.isTrue(outcomes.every(({ _tag }) => _tag === "Left"))
      assert.strictEqual((yield* tokenRequests).length, 1)
    }).pipe(Effect.provide(layerOf())))

  it.effect("rejected credentials are not sent again before the cool-down is over", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      yield* ehr.fault("token", SandboxEhr.Fault.oauthError("invalid_client", { status: 401 }))
      for (let i = 0; i < 5; i++) {
        const error = yield* Effect.flip(backend.accessToken())
        assert.strictEqual(error._tag === "TokenError" ? error.error : undefined, "invalid_client")
      }
      assert.strictEqual((yield* tokenRequests).length, 1)
      yield* TestClock.adjust("61 seconds")
      yield* backend.accessToken()
      assert.strictEqual((yield* tokenRequests).length, 2)
    }).pipe(Effect.provide(layerOf())))

  it.effect("interrupting the first caller does not interrupt the others", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      yield* ehr.fault("token", SandboxEhr.Fault.delay("1 second"))
      const first = yield* Effect.fork(backend.accessToken())
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(backend.accessToken())
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Redacted.isRedacted(yield* Fiber.join(second)))
      assert.strictEqual((yield* tokenRequests).length, 1)
    }).pipe(Effect.provide(layerOf())))

  it.effect("[SMART-264] `httpClient` sends the token to the FHIR base URL only, and renews it once after a 401", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      const client = backend.httpClient()
      const read = client.get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`)
      assert.strictEqual((yield* read).status, 200)

      const [old] = yield* ehr.issued
      yield* ehr.revoke(old!)
      assert.strictEqual((yield* read).status, 200)
      assert.strictEqual((yield* tokenRequests).length, 2)

      // A server that refuses every token is asked twice, not for ever.
      yield* ehr.fault("fhir", SandboxEhr.Fault.status(401), 2)
      assert.strictEqual((yield* read).status, 401)
      assert.strictEqual((yield* tokenRequests).length, 3)

      const before = (yield* ehr.requests).length
      for (
        const [url, reason] of [
          ["https://ehr.sandbox.test/fhir-evil/Patient/1", "OutsideBasePath"],
          ["https://ehr.sandbox.test/fhir/../auth/token", "OutsideBasePath"],
          ["https://evil.test/fhir/Patient/1", "ForeignOrigin"],
          ["http://ehr.sandbox.test/fhir/Patient/1", "ForeignOrigin"]
        ] as const
      ) {
        const error = yield* Effect.flip(client.get(url))
        assert.strictEqual(error._tag === "TokenAudienceError" ? error.reason : error._tag, reason)
      }
      assert.strictEqual((yield* ehr.requests).length, before)
    }).pipe(Effect.provide(layerOf())))

  it.effect("a refused token is renewed only if it is still cached", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const first = yield* backend.accessToken()
      const second = yield* backend.accessTokenAfter(first)
      assert.notStrictEqual(Redacted.value(second), Redacted.value(first))
      const again = yield* Effect.all(Array.from({ length: 10 }, () => backend.accessTokenAfter(first)), {
        concurrency: "unbounded"
      })
      assert.isTrue(again.every((token) => Redacted.value(token) === Redacted.value(second)))
      assert.strictEqual((yield* tokenRequests).length, 2)
    }).pipe(Effect.provide(layerOf())))

  it.effect("`httpClient` repeats a request whose body can be sent again", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      yield* ehr.fault("fhir", SandboxEhr.Fault.status(401))
      const response = yield* backend.httpClient().execute(
        HttpClientRequest.post(`${ehr.fhirBaseUrl}/Observation`).pipe(HttpClientRequest.bodyUnsafeJson({ a: 1 }))
      )
      assert.notStrictEqual(response.status, 401)
      const bodies = (yield* ehr.requests).filter(({ path }) => path.endsWith("/Observation")).map(({ body }) => body)
      assert.deepStrictEqual(bodies, ["{\"a\":1}", "{\"a\":1}"])
    }).pipe(Effect.provide(layerOf())))

  it.effect("each server of a registry has its own tokens, and a replaced server starts without tokens", () =>
    Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const backend = yield* BackendServices.BackendServices
      yield* backend.accessToken({ server: "a" })
      yield* backend.accessToken({ server: "b" })
      assert.strictEqual((yield* tokenRequests).length, 2)
      assert.strictEqual((yield* Effect.flip(backend.accessToken()))._tag, "UnknownServerError")
      assert.strictEqual((yield* Effect.flip(backend.accessToken({ server: "c" })))._tag, "UnknownServerError")
      yield* servers.add("a", { ...config, authentication })
      yield* backend.accessToken({ server: "a" })
      assert.strictEqual((yield* tokenRequests).length, 3)
      yield* servers.remove("a")
      assert.strictEqual((yield* Effect.flip(backend.accessToken({ server: "a" })))._tag, "UnknownServerError")
    }).pipe(Effect.provide(
      BackendServices.layer.pipe(
        Layer.provideMerge(SmartServers.layer({ a: { ...config, authentication }, b: { ...config, authentication } })),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  /** With another `clientCredentials`. */
  const over = (change: (client: SmartClient.Service) => SmartClient.Service["clientCredentials"]) =>
    BackendServices.layerFromClient.pipe(
      Layer.provide(Layer.map(SmartClient.layer({ ...config, name: "north" }), (context) => {
        const client = Context.get(context, SmartClient.SmartClient)
        return Context.add(context, SmartClient.SmartClient, { ...client, clientCredentials: change(client) })
      })),
      Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
      Layer.provide(authentication),
      Layer.provideMerge(SandboxEhr.layerHttpClient())
    )

  it.effect("a token is used for equal extensions only, in any order of their members", () => {
    const requested: Array<unknown> = []
    return Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const plain = value(yield* backend.accessToken())
      const first = { a: { x: 1, y: [2] }, b: "2" }
      const token = value(yield* backend.accessToken({ extensions: first }))
      assert.notStrictEqual(token, plain)
      assert.strictEqual(value(yield* backend.accessToken({ extensions: { b: "2", a: { y: [2], x: 1 } } })), token)
      const other = { ...first, b: "3" }
      assert.notStrictEqual(value(yield* backend.accessToken({ extensions: other })), token)
      assert.strictEqual(value(yield* backend.accessToken()), plain)
      assert.deepStrictEqual(requested, [undefined, first, other])
      assert.strictEqual((yield* backend.client()).name, "north")
      assert.strictEqual((yield* backend.client({ server: "north" })).name, "north")
      assert.strictEqual((yield* Effect.flip(backend.client({ server: "south" }))).reason, "UnknownKey")
    }).pipe(Effect.provide(over((client) => ({ extensions, scopes } = {}) => {
      requested.push(extensions)
      return client.clientCredentials({ scopes })
    })))
  })

  it.effect("logs once that no scopes are configured", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const first = yield* backend.accessToken()
      yield* backend.accessTokenAfter(first)
      yield* backend.accessToken({ scopes: ["system/Patient.rs"] })
      assert.deepStrictEqual(lines.filter((line) => line.includes("scopes")), [
        "https://ehr.sandbox.test/fhir: no scopes are configured, so system/*.rs is requested"
      ])
    }).pipe(
      Effect.provide(layerOf({ ...config, scopes: undefined })),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
  })

  it.effect("a new token that expires before it is received is a TokenError with the reason Expired", () =>
    Effect.gen(function*() {
      const backend = yield* BackendServices.BackendServices
      const error = yield* Effect.flip(backend.tokens())
      assert.deepInclude(error, { reason: "Expired", operation: "clientCredentials", server: "north" })
    }).pipe(Effect.provide(over((client) => (options) =>
      Effect.zipWith(
        client.clientCredentials(options),
        DateTime.now,
        (tokens, now) => new TokenSet.TokenSet({ ...tokens, expiresAt: now })
      )
    ))))

  it.effect("the configured pauses and margin apply", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      const first = value(yield* backend.accessToken())
      yield* TestClock.adjust("149 seconds")
      assert.strictEqual(value(yield* backend.accessToken()), first)
      assert.strictEqual((yield* tokenRequests).length, 1)
      yield* ehr.fault("token", SandboxEhr.Fault.status(503))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(value(yield* backend.accessToken()), first)
      yield* eventually(tokenRequests, ({ length }) => length === 2)
      yield* TestServices.provideLive(Effect.sleep("20 millis"))
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual(value(yield* backend.accessToken()), first)
      assert.strictEqual((yield* tokenRequests).length, 2)
      yield* TestClock.adjust("1 second")
      yield* eventually(backend.accessToken(), (token) => value(token) !== first)
      assert.strictEqual((yield* tokenRequests).length, 3)

      yield* TestClock.adjust("6 minutes")
      yield* ehr.fault("token", SandboxEhr.Fault.oauthError("invalid_client", { status: 401 }))
      yield* Effect.flip(backend.accessToken())
      yield* TestClock.adjust("29 seconds")
      yield* Effect.flip(backend.accessToken())
      assert.strictEqual((yield* tokenRequests).length, 4)
      yield* TestClock.adjust("1 second")
      yield* backend.accessToken()
    }).pipe(Effect.provide(
      BackendServices.layerWith({
        renewalMargin: "5 minutes",
        failureCooldown: "20 seconds",
        credentialsCooldown: "30 seconds"
      }).pipe(
        Layer.provide(SmartServers.layerFromClient),
        Layer.provide(SmartClient.layer(config)),
        Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
        Layer.provide(authentication),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("`httpClient` works with the combinators of HttpClient", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      const client = backend.httpClient().pipe(
        HttpClient.filterStatusOk,
        HttpClient.mapRequest(HttpClientRequest.prependUrl(ehr.fhirBaseUrl))
      )
      const patient = yield* Effect.flatMap(client.get("/Patient/patient-alpha"), (response) => response.json)
      assert.propertyVal(patient, "id", "patient-alpha")
    }).pipe(Effect.provide(layerOf())))
})
