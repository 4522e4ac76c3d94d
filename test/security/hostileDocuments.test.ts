/**
 * Documents of a server that are made to break who reads them: nested without end, endless lists, objects in the place
 * of strings. None ends the program, and none loses tokens or credentials that came with it.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import {
  Brands,
  ClientAuthentication,
  ConformanceWarning,
  Discovery,
  IdToken,
  IdTokenError,
  Jwks,
  OpenIdConfiguration,
  Reference,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers,
  TokenEndpoint,
  TokenError
} from "effect-safire"
import { ClientMetadata } from "../../src/client/ClientMetadata.js"
import * as RegisteredClient from "../../src/client/RegisteredClient.js"
import * as Registration from "../../src/client/Registration.js"
import { RegistrationError } from "../../src/client/RegistrationError.js"
import { base, written } from "../fhir/fixtures.js"
import { leak } from "../support/canary.js"
import * as Http from "../support/http.js"
import * as Identity from "../support/identityServer.js"

const DEPTH = 10_000
const nested = (depth = DEPTH): unknown => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`)
/** Text, because `JSON.stringify` cannot write it. */
const withNested = (document: object, member: string, depth = DEPTH): string =>
  `${JSON.stringify(document).slice(0, -1)},"${member}":${"[".repeat(depth)}"x"${"]".repeat(depth)}}`
const raw = (body: string, status = 200) => () =>
  new Response(body, { status, headers: { "content-type": "application/json" } })

const start = Date.parse("2026-01-01T00:00:00Z")
const value = Redacted.value

describe("hostile key sets", () => {
  const find = (key: (good: Identity.Key) => string) =>
    Effect.gen(function*() {
      const good = yield* Identity.makeKey("a")
      const server = Identity.makeServer([])
      server.responses.set(Identity.jwksUri, raw(`{"keys":[${key(good)}]}`))
      const jwks = yield* Effect.provide(Jwks.Jwks, Layer.provide(Jwks.layer(), server.layer))
      return yield* jwks.find(Identity.jwksUri, { alg: "ES256", kid: "a" }).pipe(
        Effect.map(({ type }) => type),
        Effect.catchTag("MetadataError", ({ reason }) => Effect.succeed(reason))
      )
    })

  it.effect("uses a key with a member nested 10,000 levels, and the keys beside it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* find(({ jwk }) => withNested(jwk, "x5c")), "public")
      assert.strictEqual(
        yield* find(({ jwk }) => `${withNested({ kty: "EC", kid: "b" }, "crv")},${JSON.stringify(jwk)}`),
        "public"
      )
    }))

  it.effect("ignores a key whose members have the wrong type", () =>
    Effect.gen(function*() {
      for (
        const wrong of [{ use: { toString: 1 } }, { alg: ["ES256"] }, { x: 7 }, { key_ops: "verify" }, { kid: {} }]
      ) {
        assert.strictEqual(yield* find(({ jwk }) => JSON.stringify({ ...jwk, ...wrong })), "NoSuchKey")
      }
      assert.strictEqual(yield* find(({ jwk }) => withNested({ kty: jwk.kty, kid: "a" }, "key_ops")), "NoSuchKey")
    }))

  it.effect("checks a list of 100,000 key operations in linear time", () =>
    Effect.gen(function*() {
      const key_ops = Array.from({ length: 100_000 }, (_, index) => `v${index}`)
      assert.strictEqual(yield* find(({ jwk }) => JSON.stringify({ ...jwk, key_ops })), "NoSuchKey")
    }))
})

describe("hostile id_tokens", () => {
  const claims = (change: (good: Identity.Members) => unknown) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* Identity.makeKey("a")
      const server = Identity.makeServer([key.jwk])
      return yield* Effect.exit(
        Identity.login(server, (nonce) =>
          Effect.flatMap(Identity.validClaims(nonce), (good) =>
            Identity.sign(key, change(good) as Identity.Members)))
          .pipe(Effect.provide(Identity.layerClient(server)))
      )
    })

  it.effect("rejects claims that are objects with a `toString` member, with a typed error", () =>
    Effect.gen(function*() {
      const bad = { toString: 1, valueOf: 2 }
      for (const claim of ["iss", "sub", "aud", "exp", "iat", "nbf", "azp", "nonce"]) {
        const exit = yield* claims((good) => ({ ...good, [claim]: bad }))
        assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail", `${claim} ${JSON.stringify(exit)}`)
      }
      const exit = yield* claims((good) => ({ ...good, fhirUser: bad, name: bad }))
      assert.isTrue(Exit.isSuccess(exit))
    }))

  it.effect("the error of a rejected id_token has the tokens, redacted and absent from its encoding", () =>
    Effect.gen(function*() {
      const exit = yield* claims((good) => ({ ...good, aud: "another-app" }))
      const error = Option.getOrThrow(
        Exit.causeOption(exit).pipe(
          Option.flatMap((cause) =>
            cause._tag === "Fail" && cause.error._tag === "IdTokenError" ? Option.some(cause.error) : Option.none()
          )
        )
      )
      assert(error.tokens !== undefined)
      const tokens = value(error.tokens)
      assert.deepStrictEqual(
        [value(tokens.accessToken), value(tokens.refreshToken ?? Redacted.make(""))],
        ["access-1", "refresh-1"]
      )
      const encoded = JSON.stringify(yield* Schema.encode(IdTokenError)(error))
      assert.notInclude(encoded + JSON.stringify(error) + String(error), "access-1")
      const decoded = yield* Schema.decodeUnknown(IdTokenError)(JSON.parse(encoded))
      assert.deepStrictEqual([decoded.reason, decoded.tokens], ["AudienceMismatch", undefined])
    }))
})

/** Sessions at a server that gives the first tokens properly; what it answers to a refresh is the test's. */
const sessionsAt = (refreshed: () => Response, more: Layer.Layer<never> = Layer.empty) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(start)
    const key = yield* Identity.makeKey("a")
    const server = Identity.makeServer([key.jwk], { revocation_endpoint: `${Identity.issuer}/revoke` })
    const forms: Array<URLSearchParams> = []
    const revoked: Array<string | null> = []
    server.responses.set(`${Identity.issuer}/revoke`, (form) =>
      Effect.sync(() => {
        revoked.push(form.get("token"))
        return {}
      }))
    const layer = Sessions.layer.pipe(
      Layer.provide(SmartServers.layerFromClient),
      Layer.provideMerge(SessionStore.layerMemory),
      Layer.provide(Identity.layerClient(server)),
      Layer.provide([RetryPolicy.layer(RetryPolicy.none), more])
    )
    const context = yield* Layer.build(layer)
    const sessions = yield* Effect.provide(Sessions.Sessions, context)
    let turns = 0
    const login = (idTokenOf: (good: Identity.Members) => Effect.Effect<string>) =>
      Effect.gen(function*() {
        const { url } = yield* sessions.startLaunch()
        const good = yield* Identity.validClaims(url.searchParams.get("nonce") ?? undefined)
        const idToken = yield* idTokenOf(good)
        server.responses.set(Identity.tokenUrl, (form) =>
          Effect.sync(() => {
            forms.push(form)
            return Identity.tokenResponse(idToken)
          }))
        return yield* sessions.completeLaunch(`https://app.test/callback?code=c&state=${url.searchParams.get("state")}`)
      })
    const answerRefresh = () => {
      server.responses.set(Identity.tokenUrl, () => {
        turns += 1
        return refreshed()
      })
      return TestClock.adjust("10 minutes")
    }
    return { sessions, server, key, login, answerRefresh, forms, revoked, turns: () => turns }
  })

describe("hostile token responses", () => {
  const renewed = {
    access_token: "access-2",
    refresh_token: "refresh-2",
    token_type: "Bearer",
    expires_in: 300,
    scope: "openid fhirUser patient/*.rs offline_access"
  }

  it.scoped("[SMART-117] a refresh with extensions that cannot be encoded saves the rotated tokens and names the member", () =>
    Effect.gen(function*() {
      const { answerRefresh, key, login, server, sessions } = yield* sessionsAt(raw(withNested(renewed, "copy")))
      const id = yield* login((good) => Identity.sign(key, good))
      yield* answerRefresh()
      assert.strictEqual(value(yield* sessions.accessToken(id)), "access-2")
      const { tokens } = yield* sessions.session(id)
      assert.strictEqual(value(tokens.refreshToken ?? Redacted.make("")), "refresh-2")
      const warning = server.warnings.find(({ code, detail }) => code === "TokenMemberMalformed" && /copy/.test(detail))
      assert.isDefined(warning)
    }))

  it.scoped(
    "any member of a token response can nest 10,000 levels or be a very long list",
    () =>
      Effect.gen(function*() {
        const members = [
          "expires_in",
          "scope",
          "id_token",
          "patient",
          "encounter",
          "fhirContext",
          "need_patient_banner",
          "intent",
          "smart_style_url",
          "tenant",
          "authorization_details",
          "__proto__",
          "toString"
        ]
        for (const member of members) {
          for (
            const body of [
              withNested(renewed, member),
              `${JSON.stringify(renewed).slice(0, -1)},"${member}":[${"1,".repeat(150_000)}{"toString":1}]}`
            ]
          ) {
            // A number that is too large beside it, which JSON cannot write again.
            const { answerRefresh, key, login, server, sessions } = yield* sessionsAt(
              raw(`${body.slice(0, -1)},"large":1e999}`)
            )
            const id = yield* login((good) => Identity.sign(key, good))
            yield* answerRefresh()
            server.warnings.length = 0
            assert.strictEqual(value(yield* sessions.accessToken(id)), "access-2", member)
            const { tokens } = yield* sessions.session(id)
            assert.strictEqual(value(tokens.refreshToken ?? Redacted.make("")), "refresh-2", member)
            assert.isBelow(server.warnings.length, 10, member)
          }
        }
      }),
    60_000
  )

  it.scoped("[SMART-117] a defect in the check of a refreshed id_token is a warning; the rotated tokens are saved", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* Identity.makeKey("a")
      const server = Identity.makeServer([key.jwk])
      let isBroken = false
      const good = yield* Effect.provide(Jwks.Jwks, Layer.provide(Jwks.layer(), server.layer))
      const jwks = Layer.succeed(Jwks.Jwks, {
        ...good,
        find: (...args) =>
          isBroken ? Effect.die(new RangeError("Maximum call stack size exceeded")) : good.find(...args)
      })
      const openId = OpenIdConfiguration.layer()
      const parts = Layer.mergeAll(
        Discovery.layer(),
        SmartClient.layerDependencies(),
        Layer.provide(IdToken.layerWithoutDependencies, Layer.merge(jwks, openId))
      )
      const client = SmartClient.layerWithoutDependencies(Identity.config).pipe(
        Layer.provide(ClientAuthentication.layerPublic),
        Layer.provide(parts)
      )
      const run = Effect.gen(function*() {
        const tokens = yield* Identity.login(
          server,
          (nonce) => Effect.flatMap(Identity.validClaims(nonce), (claims) => Identity.sign(key, claims))
        )
        isBroken = true
        const idToken = yield* Effect.flatMap(Identity.validClaims(undefined), (claims) => Identity.sign(key, claims))
        server.responses.set(Identity.tokenUrl, () => Effect.succeed({ ...renewed, id_token: idToken }))
        const smart = yield* SmartClient.SmartClient
        const next = yield* smart.refresh(tokens)
        assert.strictEqual(value(next.accessToken), "access-2")
        assert.strictEqual(value(next.refreshToken ?? Redacted.make("")), "refresh-2")
        assert.strictEqual(next.identity?.sub, tokens.identity?.sub)
        assert.include(server.codes(), "IdTokenInvalid")
        // At a login it is an error that holds the tokens.
        const error = yield* Effect.flip(
          Identity.login(
            server,
            (nonce) => Effect.flatMap(Identity.validClaims(nonce), (claims) => Identity.sign(key, claims))
          )
        )
        assert(error._tag === "IdTokenError" && error.tokens !== undefined)
        assert.include(error.message, "RangeError")
        assert.strictEqual(value(value(error.tokens).accessToken), "access-1")
      })
      yield* run.pipe(Effect.provide(client), Effect.provide(server.layer), Effect.provide(server.layerWarnings))
    }))

  it.scoped("[SMART-117] a key set that never arrives delays a refresh by ten seconds and loses no tokens", () =>
    Effect.gen(function*() {
      const other = yield* Identity.makeKey("unknown")
      const signed = yield* Effect.flatMap(Identity.validClaims(undefined), (good) => Identity.sign(other, good))
      const { answerRefresh, key, login, server, sessions } = yield* sessionsAt(() =>
        Http.json({ ...renewed, id_token: signed })
      )
      const id = yield* login((good) => Identity.sign(key, good))
      yield* answerRefresh()
      server.responses.set(Identity.jwksUri, () => Effect.never)
      const fiber = yield* Effect.fork(sessions.accessToken(id))
      yield* TestClock.adjust("9 seconds")
      assert.isNull(yield* fiber.poll.pipe(Effect.map(Option.getOrNull)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(value(yield* Fiber.join(fiber)), "access-2")
      const { tokens } = yield* sessions.session(id)
      assert.strictEqual(value(tokens.refreshToken ?? Redacted.make("")), "refresh-2")
      assert.isTrue(server.warnings.some(({ detail }) => detail.includes("KeysUnavailable")))
    }))

  it.scoped("[SMART-117] a defect in a warning service loses no tokens", () =>
    Effect.gen(function*() {
      const dying = Layer.succeed(ConformanceWarning.ConformanceWarnings, {
        report: () => Effect.die(new Error("the caller's")),
        stream: Effect.never as never
      })
      const http = Http.fake(() => Http.json({ ...renewed, scope: undefined }))
      const endpoint = yield* Effect.provide(
        TokenEndpoint.TokenEndpoint,
        Layer.provide(TokenEndpoint.layer, [http.layer, dying])
      )
      const tokens = yield* endpoint.refresh(
        { endpoint: Identity.tokenUrl, clientId: "app", authentication: ClientAuthentication.makePublic },
        { refreshToken: Redacted.make("refresh-1") }
      )
      assert.strictEqual(value(tokens.accessToken), "access-2")
    }))

  it.scoped("[SMART-117] a refresh with an unusable access token keeps the rotated refresh token for the next refresh", () =>
    Effect.gen(function*() {
      for (const wrong of [{ token_type: "DPoP" }, { access_token: ["access-2"] }]) {
        const { answerRefresh, key, login, server, sessions } = yield* sessionsAt(() =>
          Http.json({ ...renewed, ...wrong })
        )
        const id = yield* login((good) => Identity.sign(key, good))
        yield* answerRefresh()
        const error = yield* Effect.flip(sessions.accessToken(id))
        assert(error._tag === "TokenError")
        assert.include(error.message, "`issued`")
        const sent: Array<string | null> = []
        server.responses.set(Identity.tokenUrl, (form) =>
          Effect.sync(() => {
            sent.push(form.get("refresh_token"))
            return { ...renewed, access_token: "access-3" }
          }))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(value(yield* sessions.accessToken(id)), "access-3")
        assert.deepStrictEqual(sent, ["refresh-2"])
      }
    }))

  it.scoped("a login that fails after the token response revokes the tokens", () =>
    Effect.gen(function*() {
      const { key, login, revoked } = yield* sessionsAt(() => Http.json({}))
      const error = yield* Effect.flip(login((good) => Identity.sign(key, { ...good, aud: "another-app" })))
      assert.strictEqual(error._tag, "IdTokenError")
      assert.deepStrictEqual(revoked, ["refresh-1"])
    }))

  it.effect("the client id and URLs that begin with it stay visible in a server's error description", () =>
    Effect.gen(function*() {
      const clientId = "https://login.ehr.test/apps/growth-chart"
      const clientSecret = "the-canary-client-secret"
      for (const encoding of ["raw", "form"] as const) {
        const description = `${clientId} sent ${clientSecret} ${
          Buffer.from(`${clientId}:${clientSecret}`).toString("base64")
        }`
        const http = Http.fake(() =>
          Http.json({ error: "invalid_client", error_description: description }, { status: 401 })
        )
        const endpoint = yield* Effect.provide(
          TokenEndpoint.TokenEndpoint,
          Layer.provide(TokenEndpoint.layer, http.layer)
        )
        const error = yield* Effect.flip(endpoint.clientCredentials({
          endpoint: Identity.tokenUrl,
          clientId,
          authentication: ClientAuthentication.makeClientSecretBasic({
            clientSecret: Redacted.make(clientSecret),
            encoding
          })
        }, { scopes: [] }))
        assert.include(error.message, `to ${Identity.tokenUrl} failed`)
        assert.include(error.message, `${clientId} sent <redacted>`)
        assert.isUndefined(leak(error.message, [clientSecret]))
      }
    }))

  it.effect("[SMART-74] a defect in the validation of a token response is a typed error with the tokens", () =>
    Effect.gen(function*() {
      const { scope: _, ...withoutScope } = renewed
      const http = Http.fake(() => Http.json(withoutScope))
      const endpoint = yield* Effect.provide(
        TokenEndpoint.TokenEndpoint,
        Layer.provide(TokenEndpoint.layer, http.layer)
      )
      const target = {
        endpoint: Identity.tokenUrl,
        clientId: "app",
        authentication: ClientAuthentication.makePublic
      }
      const exchange = {
        code: Redacted.make("code"),
        verifier: Redacted.make("verifier"),
        redirectUri: "https://app.test/"
      }
      // A program without types: the validation of the response fails on this scope.
      const scopes = [null as never]
      const error = yield* Effect.flip(endpoint.exchangeCode(target, { ...exchange, scopes }))
      assert(error._tag === "TokenError" && error.issued?.refreshToken !== undefined)
      assert.strictEqual(error.reason, "Malformed")
      assert.include(error.message, "TypeError")
      assert.strictEqual(value(error.issued.refreshToken), "refresh-2")
      const encoded = JSON.stringify(yield* Schema.encode(TokenError)(error))
      assert.notInclude(encoded + JSON.stringify(error) + error.message, "refresh-2")
      assert.isUndefined((yield* Schema.decodeUnknown(TokenError)(JSON.parse(encoded))).issued)
    }))
})

describe("hostile registrations", () => {
  const endpoint = "https://ehr.test/register"
  const given = {
    client_id: "id-1",
    client_secret: "secret-1",
    registration_access_token: "token-1",
    registration_client_uri: `${endpoint}/id-1`
  }
  const metadata = new ClientMetadata({
    redirectUris: ["https://app.test/callback"],
    scope: "launch",
    extensions: { launch_uris: ["https://app.test/launch"] }
  })
  const register = (body: string, of: ClientMetadata = metadata) =>
    Effect.flatMap(Registration.Registration, (service) => service.register(of, { endpoint })).pipe(
      Effect.provide(Registration.layer.pipe(
        Layer.provide(Discovery.layer()),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, Http.fake(raw(body, 201)).client))
      ))
    )
  const quoted = (depth: number) => `${"[".repeat(depth)}"a\\"b"${"]".repeat(depth)}`

  it.effect("[SMART-292] names members that nest too deeply and returns the credentials", () =>
    Effect.gen(function*() {
      for (
        const member of ["redirect_uris", "launch_uris", "jwks", "scope", "client_secret_expires_at", "x", "__proto__"]
      ) {
        for (const depth of [20, 60, DEPTH]) {
          const registered = yield* register(`${JSON.stringify(given).slice(0, -1)},"${member}":${quoted(depth)}}`)
          assert.strictEqual(value(registered.clientSecret ?? Redacted.make("")), "secret-1", member)
          if (depth === DEPTH) assert.include(registered.deviations.map((one) => one.member), member)
          const encoded = JSON.stringify(yield* Schema.encode(RegisteredClient.RegisteredClient)(registered))
          assert.isBelow(encoded.length, 5_000)
          yield* Schema.decodeUnknown(RegisteredClient.RegisteredClient)(JSON.parse(encoded))
        }
      }
    }))

  it.effect("limits times beyond the largest date to encodable values", () =>
    Effect.gen(function*() {
      const registered = yield* register(JSON.stringify({ ...given, client_secret_expires_at: 1.7e308 }))
      assert.strictEqual(registered.clientSecretExpiresAt, 8.64e15)
    }))

  it.effect("the error of a response without client_id has the credentials, redacted and absent from its encoding", () =>
    Effect.gen(function*() {
      for (
        const body of [
          JSON.stringify({ ...given, client_id: { toString: 1 } }),
          withNested({ ...given, client_id: 7 }, "x")
        ]
      ) {
        const error = yield* Effect.flip(register(body))
        assert(error instanceof RegistrationError && error.credentials !== undefined)
        assert.strictEqual(error.reason, "ClientIdMissing")
        const { clientSecret, registrationAccessToken, registrationClientUri } = error.credentials
        assert.deepStrictEqual(
          [clientSecret, registrationAccessToken, registrationClientUri].map((one) => one && value(one)),
          ["secret-1", "token-1", `${endpoint}/id-1`]
        )
        const encoded = JSON.stringify(yield* Schema.encode(RegistrationError)(error))
        for (const secret of ["secret-1", "token-1"]) {
          assert.notInclude(encoded + JSON.stringify(error) + error.message, secret)
        }
      }
    }))

  it.effect("a defect in a check is a typed error with the credentials", () =>
    Effect.gen(function*() {
      // What is asked for is read once when it is sent, and again when it is compared with the answer.
      let reads = 0
      const extensions = new Proxy({}, {
        ownKeys: () => {
          reads += 1
          if (reads > 1) throw new RangeError("Maximum call stack size exceeded")
          return []
        }
      })
      const of = new ClientMetadata({ redirectUris: ["https://app.test/callback"], extensions }, true)
      const error = yield* Effect.flip(register(JSON.stringify(given), of))
      assert(error instanceof RegistrationError)
      assert.include(error.message, "RangeError")
      assert.strictEqual(value(error.credentials?.clientSecret ?? Redacted.make("")), "secret-1")
    }))
})

describe("hostile metadata and brands", () => {
  it.effect("[SMART-227] uses and encodes the other members of a SMART configuration with a deeply nested member", () =>
    Effect.gen(function*() {
      const server = Identity.makeServer([])
      const url = `${Identity.fhirBaseUrl}/.well-known/smart-configuration`
      for (const member of ["x", "capabilities", "associated_endpoints", "user_access_brand_identifier", "__proto__"]) {
        server.responses.set(url, raw(withNested({ token_endpoint: Identity.tokenUrl }, member)))
        const discovery = yield* Effect.provide(
          Discovery.Discovery,
          Layer.provide(Discovery.layer({}), [server.layer, server.layerWarnings])
        )
        const found = yield* discovery.configuration(Identity.fhirBaseUrl)
        assert.strictEqual(found.tokenEndpoint, Identity.tokenUrl)
        assert.include(found.deviations.map((one) => one.member), member)
        assert.doesNotThrow(() => JSON.stringify(found))
      }
      server.responses.set(url, raw(`{"associated_endpoints":[${"{\"url\":7},".repeat(50_000)}{}]}`))
      server.warnings.length = 0
      const discovery = yield* Effect.provide(
        Discovery.Discovery,
        Layer.provide(Discovery.layer({}), [server.layer, server.layerWarnings])
      )
      yield* discovery.configuration(Identity.fhirBaseUrl)
      assert.isBelow(server.warnings.length, 5)
    }))

  it.effect("skips a brand whose id is an object with a `toString` member, and keeps the other brands", () =>
    Effect.sync(() => {
      const organization = (id: unknown, name: string) => ({ resource: { resourceType: "Organization", id, name } })
      const bad = { toString: 1, valueOf: 2 }
      for (
        const entry of [
          organization(bad, "bad"),
          organization(nested(), "bad"),
          { resource: { resourceType: bad, id: "x" } },
          { fullUrl: bad, resource: { resourceType: "Endpoint", id: bad } },
          organization(["good"], "bad")
        ]
      ) {
        const bundle = Brands.fromDocument("https://ehr.test/brands", {
          resourceType: "Bundle",
          type: "collection",
          entry: [entry, organization("good", "good")]
        })
        assert(Option.isSome(bundle))
        assert.include([...bundle.value.brands.values()].map(({ name }) => name), "good")
      }
    }))

  it.effect("any member of an Organization or Endpoint can be an object with a `toString` member or nest deeply", () =>
    Effect.sync(() => {
      const members = [
        "name",
        "telecom",
        "contact",
        "identifier",
        "extension",
        "type",
        "address",
        "endpoint",
        "partOf",
        "meta",
        "_name",
        "status",
        "connectionType",
        "alias",
        "active"
      ]
      for (const resourceType of ["Organization", "Endpoint"]) {
        for (const member of members) {
          for (const bad of [{ toString: 1 }, [{ toString: 1 }], nested(), [nested()], { reference: nested() }]) {
            const bundle = Brands.fromDocument("https://ehr.test/brands", {
              resourceType: "Bundle",
              entry: [{ resource: { resourceType, id: "a", [member]: bad } }]
            })
            assert.isTrue(Option.isSome(bundle))
          }
        }
      }
    }))
})

describe("hostile resources", () => {
  it("finds references in a list of 150,000 elements and at 10,000 levels", () => {
    const list = Array.from({ length: 150_000 }, (_, index) => ({ reference: `Patient/${index % 1000}` }))
    const found = Reference.collect({ resourceType: "Group", member: list } as never)
    assert.strictEqual(found.length, 1000)
    assert.deepStrictEqual(found.slice(0, 2), ["Patient/0", "Patient/1"])
    const members = Object.fromEntries(list.map((one, index) => [`m${index}`, one]))
    assert.strictEqual(Reference.collect({ resourceType: "Group", ...members }).length, 1000)
    assert.deepStrictEqual(Reference.collect({ resourceType: "Group", x: nested(), y: list[1] } as never), [
      "Patient/1"
    ])
  })

  it("skips a contained resource whose id is an object with a `toString` member", () => {
    const good = { resourceType: "Patient", id: "p" }
    const bad = { resourceType: "Patient", id: { toString: 1, valueOf: 2 } }
    const within = { resourceType: "Observation", contained: [bad, good, { resourceType: "Patient", id: 7 }] } as never
    assert.strictEqual(Reference.contained(within, "#p")?.["id"], "p")
    assert.isUndefined(Reference.contained(within, "#[object Object]"))
    assert.isUndefined(Reference.contained(within, "#7"))
  })

  it.scoped("a recursive schema fails on a resource of 10,000 levels with a typed error", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly x?: Tree | undefined
      }
      const Tree: Schema.Schema<Tree> = Schema.Struct({ x: Schema.optional(Schema.suspend(() => Tree)) })
      const body = `{"resourceType":"Patient","id":"1","x":${"{\"x\":".repeat(DEPTH)}{}${"}".repeat(DEPTH)}}`
      const fhir = yield* written(Http.fake(raw(body)))
      const error = yield* Effect.flip(fhir.read("Patient", "1", { schema: Tree }))
      assert.strictEqual(error._tag === "FhirError" ? error.reason : error, "Undecodable")
      assert.include(error.message, base)
      assert.strictEqual((yield* fhir.read("Patient", "1"))["id"], "1")
    }))

  it.scoped("rejects a resource that JSON cannot represent, without sending it", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Http.json({ resourceType: "Patient", id: "1" }))
      const fhir = yield* written(http)
      const circular: Record<string, unknown> = { resourceType: "Patient", id: "1" }
      circular["x"] = circular
      const resources = [{ resourceType: "Patient", id: "1", x: nested() }, circular]
      // Bun and Deno write JSON of this depth.
      for (const resource of "Bun" in globalThis || "Deno" in globalThis ? [circular] : resources) {
        const given = resource as { readonly resourceType: string; readonly id: string }
        for (
          const call of [
            fhir.create(given),
            fhir.update(given),
            fhir.patch("Patient", "1", [{ op: "add", path: "/x", value: given }]),
            fhir.operation("x", { input: given }),
            fhir.batch([{ method: "POST", url: "Patient", resource: given }])
          ] as ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>>
        ) {
          const error = yield* Effect.flip(call)
          assert.strictEqual(error._tag, "FhirError")
          assert.include(error.message, "InvalidRequest")
        }
      }
      assert.strictEqual(http.requests.length, 0)
    }))

  it.scoped("the path of a schema error omits keys from the server", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({
        map: Schema.Record({ key: Schema.String, value: Schema.Struct({ family: Schema.Number }) })
      })
      const fhir = yield* written(
        Http.fake(() => Http.json({ resourceType: "Patient", map: { "Miller, born 1970-01-01": { family: "x" } } }))
      )
      const error = yield* Effect.flip(fhir.read("Patient", "1", { schema }))
      assert.include(error.message, "map.(a key).family")
      assert.notInclude(error.message, "Miller")
    }))
})
