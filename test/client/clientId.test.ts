import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import { ClientAuthenticationError } from "../../src/client/ClientAuthenticationError.js"
import * as SmartClient from "../../src/smart/SmartClient.js"
import * as TokenEndpoint from "../../src/token/TokenEndpoint.js"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const target: Omit<TokenEndpoint.Target, "authentication"> = {
  endpoint: "https://auth.example/token",
  clientId: "configured",
  server: "ehr"
}
const unregistered = new ConfigurationError({ reason: "Missing", fields: ["clientId"], detail: "not registered" })
const good = () => Http.json({ access_token: "AT", token_type: "Bearer", expires_in: 60, scope: "a" })

const over = (http: Http.Fake) => Effect.provide(TokenEndpoint.make, Layer.merge(http.layer, recorded().layer))

const paramsOf = (http: Http.Fake, index: number) => new URLSearchParams(http.requests[index]?.body)

describe("ClientAuthentication.clientId", () => {
  it.effect("is the configured client id where the authentication has none", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* ClientAuthentication.clientId(ClientAuthentication.makePublic, "configured"),
        "configured"
      )
    }))

  it.effect("is missing where neither has one", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ClientAuthentication.clientId(ClientAuthentication.makePublic, undefined))
      assert.strictEqual(
        error._tag === "ConfigurationError" && `${error.reason} ${error.fields.join()}`,
        "Missing clientId"
      )
    }))

  it.effect("is the client id of the authentication where it has one", () =>
    Effect.gen(function*() {
      const authentication = { ...ClientAuthentication.makePublic, clientId: Effect.succeed("registered") }
      assert.strictEqual(yield* ClientAuthentication.clientId(authentication, "configured"), "registered")
    }))
})

describe("ClientAuthentication.withClientId", () => {
  it.effect("learns the client id once for concurrent requests, and sends it with each", () =>
    Effect.gen(function*() {
      let runs = 0
      const learn = Effect.delay(Effect.sync(() => `registered-${++runs}`), "1 second")
      const authentication = ClientAuthentication.withClientId(ClientAuthentication.makePublic, learn)
      const http = Http.script(good)
      const service = yield* over(http)
      const requests = yield* Effect.fork(Effect.all(
        Array.from({ length: 5 }, () => service.clientCredentials({ ...target, authentication }, { scopes: ["a"] })),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(requests)
      yield* service.clientCredentials({ ...target, authentication }, { scopes: ["a"] })
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(
        http.requests.map((_, index) => paramsOf(http, index).get("client_id")),
        Array.from({ length: 6 }, () => "registered-1")
      )
    }))

  it.effect("keeps learning for the other requests when the first one is interrupted", () =>
    Effect.gen(function*() {
      let runs = 0
      const learn = Effect.delay(Effect.sync(() => `registered-${++runs}`), "1 second")
      const { clientId = Effect.succeed("") } = ClientAuthentication.withClientId(
        ClientAuthentication.makePublic,
        learn
      )
      const first = yield* Effect.fork(clientId)
      const second = yield* Effect.fork(clientId)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(second), "registered-1")
      assert.strictEqual(runs, 1)
    }))

  it.effect("fails with the error of `learn`, sends nothing, and learns again for the next request", () =>
    Effect.gen(function*() {
      let runs = 0
      const learn = Effect.suspend(() => ++runs === 1 ? unregistered : Effect.succeed("registered"))
      const authentication = ClientAuthentication.withClientId(ClientAuthentication.makePublic, learn)
      const http = Http.script(good)
      const service = yield* over(http)
      const call = service.clientCredentials({ ...target, authentication }, { scopes: ["a"] })
      assert.strictEqual(yield* Effect.flip(call), unregistered)
      assert.strictEqual(http.requests.length, 0)
      yield* call
      assert.strictEqual(paramsOf(http, 0).get("client_id"), "registered")
    }))

  it("a client without a previous secret has none with a learned client id either", () => {
    const authentication = ClientAuthentication.withClientId(ClientAuthentication.makePublic, Effect.succeed("x"))
    assert.isUndefined(authentication.fallback)
  })

  it("a ClientAuthenticationError names the server and the cause, and is retryable if the cause is temporary", () => {
    const error = (temporary: boolean) =>
      new ClientAuthenticationError({
        reason: "RegistrationFailed",
        server: "https://ehr.example/fhir",
        detail: "HTTP status 503",
        temporary
      })
    assert.strictEqual(
      error(true).message,
      "This client cannot authenticate to https://ehr.example/fhir (RegistrationFailed): HTTP status 503"
    )
    assert.deepStrictEqual([error(true).isRetryable, error(false).isRetryable], [true, false])
  })

  it.effect("holds for the previous secret, too", () =>
    Effect.gen(function*() {
      const secrets = { clientSecret: Redacted.make("new"), previousSecret: Redacted.make("old") }
      const authentication = ClientAuthentication.withClientId(
        ClientAuthentication.makeClientSecretPost(secrets),
        Effect.succeed("registered")
      )
      const http = Http.script(() => Http.json({ error: "invalid_client" }, { status: 401 }), good)
      yield* (yield* over(http)).clientCredentials({ ...target, authentication }, { scopes: ["a"] })
      assert.deepStrictEqual(
        http.requests.map((
          _,
          index
        ) => [paramsOf(http, index).get("client_id"), paramsOf(http, index).get("client_secret")]),
        [["registered", "new"], ["registered", "old"]]
      )
    }))
})

describe("SmartClient", () => {
  const clientWith = (clientId: Effect.Effect<string, ConfigurationError>, http: Http.Fake) =>
    SmartClient.make({
      fhirBaseUrl: "https://ehr.example/fhir",
      clientId: "configured",
      redirectUri: "https://app.example/callback",
      scopes: ["launch/patient", "offline_access"],
      metadata: {
        authorizationEndpoint: "https://auth.example/authorize",
        tokenEndpoint: "https://auth.example/token",
        codeChallengeMethodsSupported: ["S256"]
      }
    }).pipe(
      Effect.provide(Layer.mergeAll(
        Layer.provide(SmartClient.layerDependencies(), http.layer),
        Layer.succeed(
          ClientAuthentication.ClientAuthentication,
          { ...ClientAuthentication.makePublic, clientId }
        ),
        recorded().layer
      ))
    )

  it.effect("sends the learned client id in the authorization request and at the token endpoint", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      const client = yield* clientWith(Effect.succeed("registered"), http)
      const { pending, url } = yield* client.authorize()
      assert.strictEqual(url.searchParams.get("client_id"), "registered")
      yield* client.exchange(
        new URL(`https://app.example/callback?code=c&state=${Redacted.value(pending.state)}`),
        pending
      )
      assert.strictEqual(paramsOf(http, 0).get("client_id"), "registered")
    }))

  it.effect("`authorize` and `exchange` fail with the error of the client id before a request is made", () =>
    Effect.gen(function*() {
      const http = Http.script(good)
      let known = true
      const clientId = Effect.suspend(() => known ? Effect.succeed("registered") : unregistered)
      const client = yield* clientWith(clientId, http)
      const { pending } = yield* client.authorize()
      const callback = new URL(`https://app.example/callback?code=c&state=${Redacted.value(pending.state)}`)
      known = false
      assert.strictEqual(yield* Effect.flip(client.authorize()), unregistered)
      assert.strictEqual(yield* Effect.flip(client.exchange(callback, pending)), unregistered)
      assert.strictEqual(http.requests.length, 0)
    }))
})
