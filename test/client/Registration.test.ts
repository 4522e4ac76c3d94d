import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import { ClientMetadata, validate } from "../../src/client/ClientMetadata.js"
import * as RegisteredClient from "../../src/client/RegisteredClient.js"
import * as Registration from "../../src/client/Registration.js"
import { RegistrationError } from "../../src/client/RegistrationError.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import * as Discovery from "../../src/server/Discovery.js"
import { DiscoveryError } from "../../src/server/DiscoveryError.js"
import { ConnectionFailure, fake, type FakeResponse, json, type SentRequest } from "../support/http.js"
import { ec, jwk, pem, publicJwk } from "./keys.js"

const endpoint = "https://ehr.test/auth/register"
const metadata = new ClientMetadata({
  redirectUris: ["https://app.test/callback", "org.example.app:/callback"],
  tokenEndpointAuthMethod: "client_secret_basic",
  grantTypes: ["authorization_code", "refresh_token"],
  clientName: "Growth charts",
  scope: "launch patient/*.rs",
  softwareStatement: Redacted.make("canary-software-statement"),
  extensions: { launch_uris: ["https://app.test/launch"], client_id: "not mine to choose" }
})
const wire = {
  redirect_uris: ["https://app.test/callback", "org.example.app:/callback"],
  token_endpoint_auth_method: "client_secret_basic",
  grant_types: ["authorization_code", "refresh_token"],
  client_name: "Growth charts",
  scope: "launch patient/*.rs",
  software_statement: "canary-software-statement",
  launch_uris: ["https://app.test/launch"]
}
const answered = {
  ...wire,
  client_id: "given-id",
  client_secret: "canary-client-secret",
  client_id_issued_at: 1_700_000_000,
  client_secret_expires_at: 1_800_000_000,
  registration_access_token: "canary-registration-token",
  registration_client_uri: "https://ehr.test/auth/register/given-id?x=canary-query"
}

const setup = (answer: (seen: SentRequest, index: number) => FakeResponse) => {
  const http = fake(answer)
  const layer = Registration.layer.pipe(
    Layer.provide(Discovery.layer()),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, http.client))
  )
  return { http, layer }
}

const register = (
  options: Partial<{ readonly initialAccessToken: Redacted.Redacted; readonly endpoint: string }> = {},
  of: ClientMetadata = metadata
) => Effect.flatMap(Registration.Registration, (service) => service.register(of, { endpoint, ...options }))

/** Lets all the waiting between attempts pass. */
const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

const registered = (changes: Partial<ConstructorParameters<typeof RegisteredClient.RegisteredClient>[0]> = {}) =>
  new RegisteredClient.RegisteredClient({
    clientId: "given-id",
    clientSecret: Redacted.make("canary-client-secret"),
    registrationAccessToken: Redacted.make("canary-registration-token"),
    registrationClientUri: answered.registration_client_uri,
    metadata: new ClientMetadata({}),
    changed: [],
    deviations: [],
    ...changes
  })

describe("Registration.register", () => {
  it.effect("[SMART-225] [SMART-291] [SMART-292] [SMART-294] [SMART-298] [SMART-300] [SMART-304] posts the metadata as JSON, with the initial access token, and reads the response", () => {
    const { http, layer } = setup(() => json(answered, { status: 201 }))
    return Effect.gen(function*() {
      const client = yield* register({ initialAccessToken: Redacted.make("initial-token") })
      const [request] = http.requests
      assert.deepStrictEqual([request?.method, request?.url], ["POST", endpoint])
      assert.deepStrictEqual(JSON.parse(request?.body ?? ""), wire)
      assert.strictEqual(request?.headers["authorization"], "Bearer initial-token")
      assert.deepStrictEqual([request?.headers["content-type"], request?.headers["accept"]], [
        "application/json",
        "application/json"
      ])
      assert.strictEqual(client.clientId, "given-id")
      assert.strictEqual(Redacted.value(client.clientSecret ?? Redacted.make("")), "canary-client-secret")
      assert.strictEqual(
        Redacted.value(client.registrationAccessToken ?? Redacted.make("")),
        "canary-registration-token"
      )
      assert.deepStrictEqual([client.clientIdIssuedAt, client.clientSecretExpiresAt], [
        1_700_000_000_000,
        1_800_000_000_000
      ])
      assert.deepStrictEqual([client.changed, client.deviations], [[], []])
      assert.deepStrictEqual(client.metadata.extensions, { launch_uris: ["https://app.test/launch"] })
    }).pipe(Effect.provide(layer))
  })

  it.effect("sends no Authorization header without an initial access token", () => {
    const { http, layer } = setup(() => json(answered, { status: 201 }))
    return Effect.gen(function*() {
      yield* register()
      assert.notProperty(http.requests[0]?.headers, "authorization")
    }).pipe(Effect.provide(layer))
  })

  it.effect("[SMART-438] discovers the endpoint, and fails if it is absent or not https", () => {
    const { http, layer } = setup(({ url }) => {
      if (url === endpoint) return json(answered)
      const registration_endpoint = url.includes("none") ? undefined : url.includes("http") && url.includes("plain")
        ? "http://ehr.test/register"
        : endpoint
      return json({ token_endpoint: "https://ehr.test/token", registration_endpoint })
    })
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const at = (fhirBaseUrl: string) => service.register(metadata, { fhirBaseUrl })
      assert.strictEqual((yield* at("https://ehr.test/fhir")).clientId, "given-id")
      assert.deepStrictEqual(http.requests.map(({ method, url }) => `${method} ${url}`), [
        "GET https://ehr.test/fhir/.well-known/smart-configuration",
        `POST ${endpoint}`
      ])
      for (const [base, reason] of [["none", "EndpointMissing"], ["plain", "InsecureEndpoint"]] as const) {
        const error = yield* Effect.flip(at(`https://ehr.test/${base}`))
        assert.isTrue(error instanceof DiscoveryError && error.reason === reason)
      }
      assert.strictEqual(http.requests.filter(({ method }) => method === "POST").length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("[SMART-1] sends nothing to an endpoint that is not https", () => {
    const { http, layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      for (const [bad, reason] of [["http://ehr.test/r", "Insecure"], ["/register", "Invalid"]] as const) {
        const error = yield* Effect.flip(register({ endpoint: bad }))
        assert.isTrue(error instanceof ConfigurationError && error.reason === reason)
      }
      assert.lengthOf(http.requests, 0)
      const service = yield* Registration.Registration
      const local = { endpoint: "http://127.0.0.1:9000/r", allowInsecureLocalhost: true }
      assert.strictEqual((yield* service.register(metadata, local)).clientId, "given-id")
      const relative = registered({ registrationClientUri: "/register/canary" })
      assert.strictEqual((yield* Effect.flip(service.read(relative))).processed, "no")
      assert.lengthOf(http.requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("[SMART-1] discovers an endpoint at http on a loopback host only if it is allowed", () => {
    const { http, layer } = setup(({ method }) =>
      method === "POST" ? json(answered) : json({ registration_endpoint: "http://localhost:9000/register" })
    )
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const fhirBaseUrl = "http://localhost:9000/fhir"
      const client = yield* service.register(metadata, { fhirBaseUrl, allowInsecureLocalhost: true })
      assert.strictEqual(client.clientId, "given-id")
      assert.strictEqual(http.requests.at(-1)?.url, "http://localhost:9000/register")
      assert.strictEqual((yield* Effect.flip(service.register(metadata, { fhirBaseUrl })))._tag, "DiscoveryError")
    }).pipe(Effect.provide(layer))
  })

  it.effect("its span has the URL without query", () => {
    const spans: Array<Tracer.Span> = []
    const { layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      const silent = yield* Effect.tracer
      const tracer = Tracer.make({
        context: (run) => run(),
        span: (...args) => {
          const span = silent.span(...args)
          spans.push(span)
          return span
        }
      })
      const service = yield* Registration.Registration
      yield* service.read(registered()).pipe(Effect.withSpan("program"), Effect.withTracer(tracer))
      const span = spans.find(({ name }) => name === "Registration.read")
      assert.strictEqual(span?.attributes.get("smart.url"), "https://ehr.test/auth/register/given-id")
    }).pipe(Effect.provide(layer))
  })

  it("a message tells what the server may have done, and what to do with the credentials", () => {
    const message = (changes: Partial<RegistrationError>) =>
      new RegistrationError({
        reason: "Status",
        operation: "register",
        url: "https://ehr.test/register",
        detail: "HTTP status 503",
        processed: "unknown",
        ...changes
      }).message
    assert.match(message({ status: 503 }), /: HTTP status 503, and whether the server acted is not known; /)
    assert.match(message({ status: 503, processed: "no" }), /: HTTP status 503; /)
    assert.match(message({ status: 404, detail: "HTTP status 404" }), /: HTTP status 404; /)
    assert.match(
      message({ status: 404, error: "invalid_request", credentials: {} }),
      /: HTTP status 503: invalid_request; the credentials it returned are in `credentials`: store them; /
    )
  })

  it.effect("[SMART-20 SMART-21 SMART-298 SMART-302] sends no request with metadata that must not be registered", () => {
    const { http, layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      const refused = (fields: ConstructorParameters<typeof ClientMetadata>[0]) =>
        Effect.map(
          Effect.flip(register({}, new ClientMetadata(fields))),
          (error) => error instanceof ConfigurationError ? [error.reason, ...error.fields].join(" ") : "another error"
        )
      const pair = ec()
      assert.strictEqual(yield* refused({ jwks: { keys: [publicJwk(pair), jwk(pair)] } }), "BadKey jwks")
      assert.strictEqual(
        yield* refused({ jwks: { keys: [publicJwk(pair)] }, jwksUri: "https://app.test/jwks" }),
        "Conflict jwks jwksUri"
      )
      assert.strictEqual(
        yield* refused({ redirectUris: ["https://app.test/a", "/b", "https://*.app.test/", "https://app.test/#x"] }),
        "Invalid redirectUris[1] redirectUris[2] redirectUris[3]"
      )
      assert.strictEqual(
        yield* refused({ redirectUris: ["http://app.test/", "http://localhost/"], jwksUri: "http://app.test/jwks" }),
        "Insecure redirectUris[0] redirectUris[1] jwksUri"
      )
      assert.strictEqual(
        yield* refused({ jwksUri: "app:/jwks", initiateLoginUri: "http://app.test/launch" }),
        "Insecure jwksUri initiateLoginUri"
      )
      assert.strictEqual(
        yield* refused({ jwksUri: "https://*.app.test/jwks", initiateLoginUri: "/launch" }),
        "Invalid jwksUri initiateLoginUri"
      )
      const service = yield* Registration.Registration
      const update = service.update(registered(), new ClientMetadata({ jwks: { keys: [jwk(pair)] } }))
      assert.strictEqual((yield* Effect.flip(update)).reason, "BadKey")
      assert.lengthOf(http.requests, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("registers public keys, redirect URIs of native apps, and loopback URLs if they are allowed", () => {
    const { http, layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const key = publicJwk(ec())
      const sent = new ClientMetadata({
        redirectUris: ["http://localhost:8080/callback", "org.example.app:/callback"],
        jwks: { keys: [key] },
        initiateLoginUri: "http://127.0.0.1/launch"
      })
      yield* service.register(sent, { endpoint, allowInsecureLocalhost: true })
      yield* service.update(registered(), sent, { allowInsecureLocalhost: true })
      for (const { body } of http.requests) {
        assert.deepInclude(JSON.parse(body), {
          redirect_uris: ["http://localhost:8080/callback", "org.example.app:/callback"],
          jwks: { keys: [key] },
          initiate_login_uri: "http://127.0.0.1/launch"
        })
      }
      const local = registered({ registrationClientUri: "http://localhost/c" })
      assert.strictEqual((yield* service.read(local, { allowInsecureLocalhost: true })).clientId, "given-id")
      yield* service.remove(local, { allowInsecureLocalhost: true })
      assert.strictEqual((yield* Effect.flip(service.remove(local))).reason, "InsecureEndpoint")
      assert.lengthOf(http.requests, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("`changed` lists the members that the server changed or did not return; the order of lists does not matter", () => {
    const { layer } = setup(() =>
      json({
        client_id: "id",
        redirect_uris: [...wire.redirect_uris].reverse(),
        token_endpoint_auth_method: "none",
        grant_types: null,
        scope: "patient/*.rs launch",
        client_name: "Growth charts",
        launch_uris: ["https://app.test/launch", "https://other.test"],
        tos_uri: 7
      })
    )
    return Effect.gen(function*() {
      const client = yield* register()
      assert.deepStrictEqual(client.changed.map(({ kind, member }) => `${kind} ${member}`), [
        "Changed launch_uris",
        "Changed token_endpoint_auth_method",
        "NotEchoed grant_types"
      ])
      assert.deepStrictEqual(client.changed[1], {
        member: "token_endpoint_auth_method",
        kind: "Changed",
        requested: "client_secret_basic",
        registered: "none"
      })
      assert.deepStrictEqual(client.deviations, [{ member: "tos_uri", expected: "a non-empty string" }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("decodes a response with malformed members, and lists them in `deviations`", () => {
    const { layer } = setup(() =>
      json({
        client_id: "id",
        client_secret: 5,
        client_id_issued_at: "1700000000",
        client_secret_expires_at: 0,
        registration_access_token: null,
        jwks: { keys: "x" }
      })
    )
    return Effect.gen(function*() {
      const client = yield* register({}, new ClientMetadata({}))
      assert.deepStrictEqual(
        [client.clientId, client.clientSecret, client.clientIdIssuedAt, client.clientSecretExpiresAt],
        ["id", undefined, 1_700_000_000_000, undefined]
      )
      assert.deepStrictEqual(client.deviations.map(({ member }) => member), ["client_secret"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("[SMART-317] a success without a usable client_id is an error, and is not retried", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [() => Response, string]> = [
        [() => json({ client_secret: "canary" }, { status: 201 }), "ClientIdMissing"],
        [() => json({ client_id: "" }), "ClientIdMissing"],
        [() => json({ client_id: "  " }), "ClientIdMissing"],
        [() => json({ client_id: 12 }), "ClientIdMissing"],
        [() => json({ client_id: null }), "ClientIdMissing"],
        [() => json(["canary"]), "NotObject"],
        [() => new Response("<html>canary</html>"), "NotJson"],
        [() => new Response(null, { status: 204 }), "NotJson"]
      ]
      for (const [answer, reason] of cases) {
        const { http, layer } = setup(answer)
        const error = yield* Effect.provide(Effect.flip(register()), layer)
        assert.isTrue(error instanceof RegistrationError)
        if (!(error instanceof RegistrationError)) continue
        assert.deepStrictEqual([error.reason, error.processed, error.isRetryable, http.requests.length], [
          reason,
          "unknown",
          false,
          1
        ])
        assert.notInclude(JSON.stringify(error) + error.message, "canary")
      }
    }))

  it.effect("an unusable success has its credentials in the error, which no text shows", () => {
    const credentials = {
      client_id: 7,
      client_secret: "canary-secret",
      registration_access_token: "canary-token",
      registration_client_uri: "https://ehr.test/register/canary"
    }
    const { layer } = setup((_, index) =>
      index === 0
        ? json(credentials)
        : index === 1
        ? json({ client_id: "someone-else" })
        : index === 2
        ? json({ registration_client_uri: 7 })
        : json(["canary"])
    )
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const failed = Effect.flatMap(
        Effect.flip(register()),
        (error) => error instanceof RegistrationError ? Effect.succeed(error) : Effect.die(error)
      )
      const error = yield* failed
      const { clientId, clientSecret, registrationAccessToken, registrationClientUri } = error.credentials ?? {}
      assert.isUndefined(clientId)
      assert.deepStrictEqual(
        [clientSecret, registrationAccessToken, registrationClientUri].map((secret) =>
          secret && Redacted.value(secret)
        ),
        ["canary-secret", "canary-token", "https://ehr.test/register/canary"]
      )
      assert.notInclude(JSON.stringify(error) + error.message, "canary")
      assert.include(error.message, "the credentials it returned are in `credentials`")
      assert.include(error.message, "the response has no usable client_id")
      const other = yield* Effect.flip(service.read(registered()))
      assert.strictEqual(other.credentials?.clientId, "someone-else")
      assert.include(other.message, "the response has another client_id")
      assert.isUndefined((yield* failed).credentials)
      assert.isUndefined((yield* failed).credentials)
    }).pipe(Effect.provide(layer))
  })

  it.effect("the reason of a failure depends on its status and on an OAuth error in its body", () =>
    Effect.gen(function*() {
      const reasonAt = (status: number, body?: unknown) => {
        const { layer } = setup(() => body === undefined ? new Response("no JSON", { status }) : json(body, { status }))
        return Effect.map(Effect.provide(patiently(Effect.flip(register())), layer), (error) => error.reason)
      }
      const oauthError = { error: "invalid_client_metadata" }
      assert.deepStrictEqual(
        yield* Effect.all([
          reasonAt(400),
          reasonAt(401, oauthError),
          reasonAt(403),
          reasonAt(404),
          reasonAt(404, oauthError),
          reasonAt(422, oauthError),
          reasonAt(429, oauthError),
          reasonAt(500),
          reasonAt(503, oauthError)
        ]),
        ["Refused", "Unauthorized", "Unauthorized", "Status", "Refused", "Refused", "Status", "Status", "Status"]
      )
    }))

  it.effect("the error of a failure shows no secret that the server repeats", () => {
    const { layer } = setup(() =>
      json({
        error: "invalid_client_metadata",
        error_description: "canary-token canary-secret canary-statement canary-software-statement",
        registration_access_token: "canary-token",
        client_secret: "canary-secret",
        software_statement: "canary-statement"
      }, { status: 400 })
    )
    return Effect.gen(function*() {
      const error = yield* Effect.flip(register())
      const redacted = ["<redacted>", "<redacted>", "<redacted>", "<redacted>"].join(" ")
      assert.strictEqual("errorDescription" in error ? error.errorDescription : undefined, redacted)
    }).pipe(Effect.provide(layer))
  })

  it.effect("the error has the server's OAuth error, without secrets", () => {
    const { http, layer } = setup(() =>
      json({
        error: "invalid_redirect_uri",
        error_description: "no\nway: canary-initial-token and canary-software-statement",
        error_uri: "https://ehr.test/help"
      }, { status: 400 })
    )
    return Effect.gen(function*() {
      const error = yield* Effect.flip(register({ initialAccessToken: Redacted.make("canary-initial-token") }))
      assert.isTrue(error instanceof RegistrationError)
      if (!(error instanceof RegistrationError)) return
      assert.deepStrictEqual(
        [error.reason, error.status, error.error, error.errorDescription, error.errorUri, error.processed],
        [
          "Refused",
          400,
          "invalid_redirect_uri",
          "no way: <redacted> and <redacted>",
          "https://ehr.test/help",
          "no"
        ]
      )
      assert.strictEqual(
        error.message,
        "Client registration (register) failed (Refused) at https://ehr.test/auth/register: HTTP status 400: " +
          "invalid_redirect_uri — no way: <redacted> and <redacted> — https://ehr.test/help; change the metadata as the server demands"
      )
      assert.lengthOf(http.requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is retried only if the server did not act", () =>
    Effect.gen(function*() {
      const attempts = (first: () => FakeResponse) => {
        const { http, layer } = setup((_, index) => index === 0 ? first() : json(answered))
        return Effect.map(
          Effect.provide(patiently(Effect.either(register())), layer),
          (result) => `${http.requests.length} ${result._tag}`
        )
      }
      const status = (status: number) => () => json({}, { status })
      assert.strictEqual(yield* attempts(status(429)), "2 Right")
      assert.strictEqual(yield* attempts(status(503)), "2 Right")
      assert.strictEqual(
        yield* attempts(() => json({ error: "temporarily_unavailable" }, { status: 503 })),
        "2 Right"
      )
      assert.strictEqual(yield* attempts(() => new ConnectionFailure("ECONNREFUSED")), "2 Right")
      for (const code of [400, 401, 403, 404, 405, 408, 500, 502, 504]) {
        assert.strictEqual(yield* attempts(status(code)), "1 Left", String(code))
      }
      assert.strictEqual(yield* attempts(() => new ConnectionFailure("ECONNRESET")), "1 Left")
      assert.strictEqual(yield* attempts(() => Effect.never), "1 Left")
      assert.strictEqual(yield* attempts(() => Response.redirect("https://ehr.test/elsewhere", 307)), "1 Left")
    }))

  it.effect("waits for the time of Retry-After", () => {
    const { http, layer } = setup((_, index) =>
      index === 0 ? json({}, { status: 503, headers: { "retry-after": "20" } }) : json(answered)
    )
    return Effect.gen(function*() {
      yield* patiently(register())
      assert.isAtLeast(http.times()[1] ?? 0, 20)
    }).pipe(Effect.provide(layer))
  })
})

describe("Registration management", () => {
  it.effect("`read` sends the registration access token, and keeps members that the response does not repeat", () => {
    const { http, layer } = setup(() => json({ client_id: "given-id", client_name: "Now" }))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const now = yield* service.read(registered())
      const [request] = http.requests
      assert.deepStrictEqual([request?.method, request?.url, request?.body], [
        "GET",
        answered.registration_client_uri,
        ""
      ])
      assert.notProperty(request?.headers, "content-type")
      assert.strictEqual(request?.headers["authorization"], "Bearer canary-registration-token")
      assert.strictEqual(now.metadata.clientName, "Now")
      assert.strictEqual(Redacted.value(now.clientSecret ?? Redacted.make("")), "canary-client-secret")
      assert.strictEqual(now.registrationClientUri, answered.registration_client_uri)
    }).pipe(Effect.provide(layer))
  })

  it.effect("`read` is retried after every transient failure", () => {
    const { http, layer } = setup((_, index) => index === 0 ? json({}, { status: 502 }) : json(answered))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      assert.strictEqual((yield* patiently(service.read(registered()))).clientId, "given-id")
      assert.lengthOf(http.requests, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("`update` sends all metadata, the client id and the secret, and returns a new secret and token", () => {
    const { http, layer } = setup(() =>
      json({
        ...answered,
        client_secret: "new-secret",
        registration_access_token: "new-token",
        client_secret_expires_at: 0
      })
    )
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const now = yield* service.update(registered({ clientSecretExpiresAt: 5 }), metadata)
      const [request] = http.requests
      assert.deepStrictEqual([request?.method, request?.url], ["PUT", answered.registration_client_uri])
      assert.deepStrictEqual(JSON.parse(request?.body ?? ""), {
        ...wire,
        client_id: "given-id",
        client_secret: "canary-client-secret"
      })
      assert.deepStrictEqual(
        [now.clientSecret, now.registrationAccessToken].map((secret) => secret && Redacted.value(secret)),
        ["new-secret", "new-token"]
      )
      assert.isUndefined(now.clientSecretExpiresAt)
    }).pipe(Effect.provide(layer))
  })

  it.effect("`update` sends no secret if the client has none", () => {
    const { http, layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      yield* service.update(registered({ clientSecret: undefined }), new ClientMetadata({}))
      assert.deepStrictEqual(JSON.parse(http.requests[0]?.body ?? ""), { client_id: "given-id" })
    }).pipe(Effect.provide(layer))
  })

  it.effect("`update` reports what the server changed, and `read` compares nothing", () => {
    const { layer } = setup(() => json({ ...answered, client_name: "Other" }))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const changes = (yield* service.update(registered(), metadata)).changed
      assert.deepStrictEqual(changes, [
        { member: "client_name", kind: "Changed", requested: "Growth charts", registered: "Other" }
      ])
      assert.deepStrictEqual((yield* service.read(registered({ metadata }))).changed, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("an error shows no secret of the client and no query of its URL", () => {
    const { layer } = setup(() =>
      json({
        error: "invalid_request",
        error_description: "canary-registration-token canary-client-secret canary-query canary-software-statement"
      }, { status: 400 })
    )
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const error = yield* Effect.flip(service.update(registered(), metadata))
      assert.notInclude(`${JSON.stringify(error)} ${error.message}`, "canary")
      const missing = yield* Effect.flip(service.read(registered({
        registrationAccessToken: undefined,
        registrationClientUri: "https://ehr.test/register/canary-client-secret?x=canary"
      })))
      assert.deepStrictEqual([missing.url, missing.processed], ["https://ehr.test/register/<redacted>", "no"])
      const nowhere = yield* Effect.flip(service.read(registered({ registrationClientUri: undefined })))
      assert.strictEqual(nowhere.url, "(none)")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a response about another client is an error", () => {
    const { layer } = setup(() => json({ client_id: "someone-else" }))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const error = yield* Effect.flip(service.read(registered()))
      assert.deepStrictEqual([error.reason, error.operation], ["ClientIdMissing", "read"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("`remove` deletes the registration", () => {
    const { http, layer } = setup((_, index) =>
      index === 0 ? new Response(null, { status: 204 }) : json({ error: "invalid_token" }, { status: 401 })
    )
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      yield* service.remove(registered())
      assert.deepStrictEqual([http.requests[0]?.method, http.requests[0]?.body], ["DELETE", ""])
      const again = yield* Effect.flip(service.remove(registered()))
      assert.deepStrictEqual([again.reason, again.error, again.url], [
        "Unauthorized",
        "invalid_token",
        "https://ehr.test/auth/register/given-id"
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("[SMART-1] sends no token without a registration_client_uri that is https", () => {
    const { http, layer } = setup(() => json(answered))
    return Effect.gen(function*() {
      const service = yield* Registration.Registration
      const missing = yield* Effect.flip(service.read(registered({ registrationClientUri: undefined })))
      const tokenless = yield* Effect.flip(service.remove(registered({ registrationAccessToken: undefined })))
      const plain = yield* Effect.flip(service.read(registered({ registrationClientUri: "http://ehr.test/c" })))
      assert.deepStrictEqual([missing.reason, tokenless.reason, plain.reason], [
        "NotManageable",
        "NotManageable",
        "InsecureEndpoint"
      ])
      assert.lengthOf(http.requests, 0)
    }).pipe(Effect.provide(layer))
  })
})

describe("RegisteredClient", () => {
  const fromResponse = (
    response: Readonly<Record<string, unknown>>,
    options?: Parameters<typeof RegisteredClient.fromResponse>[1]
  ) => {
    const client = RegisteredClient.fromResponse({ client_id: "given-id", ...response }, options)
    return client ?? assert.fail("the response has a client_id")
  }

  it.effect("metadata is validated without options, too", () =>
    Effect.gen(function*() {
      const local = new ClientMetadata({ redirectUris: ["http://localhost/callback"] })
      assert.strictEqual((yield* Effect.flip(validate(local))).reason, "Insecure")
      yield* validate(local, { allowInsecureLocalhost: true })
    }))

  it("a time is a number of seconds, also as text; others count as absent and are deviations", () => {
    const expiresAt = (value: unknown) => {
      const { clientSecretExpiresAt, deviations } = fromResponse({ client_secret_expires_at: value })
      return [clientSecretExpiresAt, deviations.map(({ expected, member }) => `${member}: ${expected}`).join()]
    }
    const malformed = [undefined, "client_secret_expires_at: a number of seconds"]
    for (const [value, expected] of [[5, 5_000], ["5", 5_000], ["0", undefined], [1e300, 8.64e15], [null, undefined]]) {
      assert.deepStrictEqual(expiresAt(value), [expected, ""])
    }
    for (const value of ["", " ", "soon", -1, "-1", "Infinity", true, [5]]) {
      assert.deepStrictEqual(expiresAt(value), malformed)
    }
  })

  it("members that a response does not repeat are those of the previous one", () => {
    const previous = registered({ clientIdIssuedAt: 1_000, clientSecretExpiresAt: 2_000 })
    const same = fromResponse({}, { previous })
    assert.deepStrictEqual(
      [same.clientIdIssuedAt, same.clientSecretExpiresAt, same.registrationClientUri],
      [1_000, 2_000, answered.registration_client_uri]
    )
    assert.deepStrictEqual(
      [same.clientSecret, same.registrationAccessToken].map((secret) => secret && Redacted.value(secret)),
      ["canary-client-secret", "canary-registration-token"]
    )
    assert.strictEqual(fromResponse({ client_secret_expires_at: 3 }, { previous }).clientSecretExpiresAt, 3_000)
    assert.isUndefined(fromResponse({ client_secret_expires_at: 0 }, { previous }).clientSecretExpiresAt)
    // A new secret without an expiry has none.
    assert.isUndefined(fromResponse({ client_secret: "new" }, { previous }).clientSecretExpiresAt)
    assert.strictEqual(fromResponse({ client_id_issued_at: 9 }, { previous }).clientIdIssuedAt, 9_000)
    assert.isUndefined(RegisteredClient.fromResponse({ client_id: "other" }, { previous }))
    assert.isUndefined(RegisteredClient.fromResponse({}))
    assert.isUndefined(RegisteredClient.fromResponse({ client_id: " " }))
  })

  it("compares values without the order of lists and members, and scopes without extra spaces", () => {
    const changed = (requested: unknown, returned: unknown) =>
      fromResponse({ x: returned }, { requested: new ClientMetadata({ extensions: { x: requested } }) })
        .changed.map(({ kind }) => kind).join()
    const nested = { a: [1, { b: null, c: "x" }], d: true }
    for (
      const [requested, returned, expected] of [
        [nested, { d: true, a: [{ c: "x", b: null }, 1] }, ""],
        [nested, { d: true, a: [{ c: "x", b: 0 }, 1] }, "Changed"],
        [{ a: 1, b: 2 }, { a: 2, b: 1 }, "Changed"],
        [["a", "b"], ["a", "b", "b"], "Changed"],
        [["a,b"], ["a", "b"], "Changed"],
        ["a", ["a"], "Changed"],
        [["a"], { 0: "a" }, "Changed"],
        [{}, [], "Changed"],
        [1, "1", "Changed"],
        ["a  b", "b a", "Changed"],
        [null, undefined, "NotEchoed"],
        [0, null, "NotEchoed"],
        [false, false, ""]
      ] as const
    ) {
      assert.strictEqual(changed(requested, returned), expected, JSON.stringify([requested, returned]))
    }
    const scopes = (returned: unknown) =>
      fromResponse({ scope: returned }, { requested: new ClientMetadata({ scope: "launch patient/*.rs" }) })
        .changed.map(({ kind }) => kind).join()
    assert.deepStrictEqual([scopes(" patient/*.rs  launch "), scopes("launch"), scopes(["launch", "patient/*.rs"])], [
      "",
      "Changed",
      ""
    ])
    const inherited = new ClientMetadata({ extensions: { toString: "x" } })
    assert.deepStrictEqual(fromResponse({}, { requested: inherited }).changed.map(({ kind }) => kind), ["NotEchoed"])
  })

  it("reads the keys of a registered key set, without what is not a key", () => {
    const { metadata } = fromResponse({ jwks: { keys: [{ kty: "EC" }, "x", null] } })
    assert.deepStrictEqual(metadata.jwks, { keys: [{ kty: "EC" }] })
  })
  it.effect("encoding and decoding are inverse", () =>
    Effect.gen(function*() {
      const kept = yield* Schema.encode(RegisteredClient.RegisteredClient)(registered())
      const back = yield* Schema.decodeUnknown(RegisteredClient.RegisteredClient)(JSON.parse(JSON.stringify(kept)))
      assert.strictEqual(Redacted.value(back.clientSecret ?? Redacted.make("")), "canary-client-secret")
      assert.strictEqual(back.registrationClientUri, answered.registration_client_uri)
    }))

  it.effect("[SMART-22 SMART-23 SMART-317] `toClient` returns the client id and the authentication of the registered method", () =>
    Effect.gen(function*() {
      const signingKeys = yield* Effect.provide(
        SigningKeys.SigningKeys,
        SigningKeys.layerPem({ pem: pem(ec()) })
      )
      const method = (
        tokenEndpointAuthMethod: string | undefined,
        clientSecret?: Redacted.Redacted,
        options?: RegisteredClient.ClientOptions
      ) =>
        Effect.match(
          RegisteredClient.toClient(
            registered({ clientSecret, metadata: new ClientMetadata({ tokenEndpointAuthMethod }) }),
            options
          ),
          {
            onSuccess: ({ authentication, clientId }) => `${clientId} ${authentication.method}`,
            onFailure: ({ fields, reason }) => `${reason} ${fields.join()}`
          }
        )
      const secret = Redacted.make("s")
      const header = (encoding: "raw" | "form") =>
        Effect.gen(function*() {
          const { authentication } = yield* RegisteredClient.toClient(
            registered({ clientSecret: Redacted.make("a+b") }),
            { encoding }
          )
          const { headers } = yield* authentication.authenticate({ endpoint, clientId: "c", params: {} })
          return Buffer.from((headers["authorization"] ?? "").slice("Basic ".length), "base64").toString()
        })
      assert.deepStrictEqual([yield* header("raw"), yield* header("form")], ["c:a+b", "c:a%2Bb"])
      const { authentication: posts } = yield* RegisteredClient.toClient(registered({
        metadata: new ClientMetadata({ tokenEndpointAuthMethod: "client_secret_post" })
      }))
      const { body } = yield* posts.authenticate({ endpoint, clientId: "c", params: {} })
      assert.include(
        body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "",
        "client_secret=canary-client-secret"
      )
      assert.strictEqual(yield* method("none"), "given-id none")
      assert.strictEqual(yield* method("client_secret_basic", secret), "given-id client_secret_basic")
      assert.strictEqual(yield* method("client_secret_post", secret), "given-id client_secret_post")
      assert.strictEqual(yield* method("private_key_jwt", undefined, { signingKeys }), "given-id private_key_jwt")
      assert.strictEqual(yield* method(undefined, secret), "given-id client_secret_basic")
      assert.strictEqual(yield* method(undefined, undefined, { signingKeys }), "given-id private_key_jwt")
      assert.strictEqual(yield* method(undefined), "given-id none")
      assert.strictEqual(yield* method("client_secret_basic"), "Missing clientSecret")
      assert.strictEqual(yield* method("private_key_jwt"), "Missing signingKeys")
      assert.strictEqual(yield* method("client_secret_jwt", secret), "Invalid tokenEndpointAuthMethod")
    }))
})
