import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import {
  ClientAuthentication,
  ClientAuthenticationConfig,
  Discovery,
  FhirClient,
  RetryPolicy,
  Scopes,
  SmartClient,
  TokenSet
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import { PendingAuthorization } from "../../src/launch/PendingAuthorization.js"
import * as Http from "../support/http.js"
import { recordSpans } from "../support/spans.js"
import { recorded } from "../support/warnings.js"

const { Fault } = SandboxEhr

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

const world = (changes: Partial<SmartClient.Config> = {}, sandbox: SandboxEhr.Options = {}) =>
  Layer.mergeAll(SmartClient.layer({ ...config, ...changes }), FhirClient.layer).pipe(
    Layer.provide(ClientAuthentication.layerPublic),
    Layer.provideMerge(SandboxEhr.layerHttpClient(sandbox))
  )

const layer = world()

const login = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const client = yield* SmartClient.SmartClient
  const { pending, url } = yield* client.authorize()
  return yield* client.exchange(yield* ehr.approve(url), pending)
})

const requestsTo = (step: string) =>
  Effect.flatMap(
    SandboxEhr.SandboxEhr,
    (ehr) => Effect.map(ehr.requests, (requests) => requests.filter((request) => request.step === step))
  )

/** A client over written answers. */
const clientOver = (http: Http.Fake, changes: Partial<SmartClient.Config> = {}) =>
  Effect.map(
    Effect.scoped(Layer.build(
      SmartClient.layer({ ...config, ...changes }).pipe(
        Layer.provide([http.layer, ClientAuthentication.layerPublic, RetryPolicy.layer(RetryPolicy.none)])
      )
    )),
    Context.get(SmartClient.SmartClient)
  )

const metadata = (changes: Readonly<Record<string, unknown>> = {}) => () =>
  Http.json({
    authorization_endpoint: "https://auth.example/authorize",
    token_endpoint: "https://auth.example/token",
    code_challenge_methods_supported: ["S256"],
    ...changes
  })

describe("SmartClient, settings and their defaults", () => {
  it.effect("[SMART-1] endpoints of a loopback host require allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      const local = metadata({ token_endpoint: "http://localhost:8080/token" })
      const strict = yield* clientOver(Http.script(local))
      assert.deepInclude(yield* Effect.flip(strict.authorize()), {
        _tag: "DiscoveryError",
        reason: "InsecureEndpoint",
        member: "token_endpoint"
      })
      assert.deepInclude(yield* Effect.flip(strict.clientCredentials({ scopes: ["system/*.rs"] })), {
        _tag: "DiscoveryError",
        reason: "InsecureEndpoint"
      })
      const allowed = yield* clientOver(Http.script(local), { allowInsecureLocalhost: true })
      assert.strictEqual((yield* allowed.authorize()).pending.tokenEndpoint, "http://localhost:8080/token")
    }))

  it.effect("the error of an invalid FHIR base URL hides its credentials", () =>
    Effect.gen(function*() {
      const fhirBaseUrl = "https://user:pa55word@ehr.example/fhir"
      for (const [name, expected] of [[undefined, "https://ehr.example/fhir"], ["ehr", "ehr"]] as const) {
        const error = yield* Effect.flip(clientOver(Http.script(metadata()), { fhirBaseUrl, name }))
        assert.strictEqual(error._tag === "ConfigurationError" && error.server, expected)
        assert.notInclude(JSON.stringify(error), "pa55word")
      }
    }))

  it.effect("tokens of the same server in another spelling are its own, and those of another server are not", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const tokens = yield* login
      const from = (fhirBaseUrl: string) => client.refresh(new TokenSet.TokenSet({ ...tokens, fhirBaseUrl }))
      const error = yield* Effect.flip(from("https://ehr.sandbox.test/fhir2"))
      assert.strictEqual(error._tag === "TokenError" && error.reason, "WrongServer")
      const renewed = yield* from("https://EHR.sandbox.test:443/fhir/")
      assert.notStrictEqual(Redacted.value(renewed.accessToken), Redacted.value(tokens.accessToken))
    }).pipe(Effect.provide(layer)))

  it.effect("a URL above `maxAuthorizationUrlLength` is a form, and one of that length is not", () =>
    Effect.gen(function*() {
      const http = Http.script(metadata({ capabilities: ["authorize-post"] }))
      const { url } = yield* (yield* clientOver(http)).authorize()
      for (const [difference, isForm] of [[0, false], [-1, true]] as const) {
        const client = yield* clientOver(http, { maxAuthorizationUrlLength: url.href.length + difference })
        const { post } = yield* client.authorize()
        assert.strictEqual(post !== undefined, isForm)
      }
    }))

  it.live("each step has a span with the name of the server", () =>
    Effect.gen(function*() {
      const { spans, tracer } = yield* recordSpans
      const client = yield* clientOver(Http.script(metadata()), { name: "ehr" })
      yield* Effect.withTracer(client.authorize(), tracer)
      assert.deepInclude(spans[0], { name: "SmartClient.authorize", attributes: { "smart.server": "ehr" } })
    }))

  it.effect("the errors of `authorize` name the settings", () =>
    Effect.gen(function*() {
      const fields = (options: SmartClient.AuthorizeOptions, changes: Partial<SmartClient.Config> = {}) =>
        Effect.gen(function*() {
          const client = yield* clientOver(Http.script(metadata()), changes)
          const error = yield* Effect.flip(client.authorize(options))
          return error._tag === "ConfigurationError" ? [error.reason, ...error.fields] : error._tag
        })
      assert.deepStrictEqual(yield* fields({}, { scopes: [] }), ["Missing", "scopes"])
      assert.deepStrictEqual(yield* fields({ iss: "https://other.example/fhir" }), ["Conflict", "iss", "fhirBaseUrl"])
    }))
})

describe("SmartClient", () => {
  it.effect("goes from the base URL to the patient, and refreshes after expiry", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const fhir = yield* FhirClient.FhirClient

      const { pending, url } = yield* client.authorize()
      const callback = yield* ehr.approve(url)
      const tokens = yield* client.exchange(callback, pending)
      const patient = yield* fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "")
      assert.strictEqual(patient.resourceType, "Patient")

      yield* TestClock.adjust("10 minutes")
      assert.isTrue(TokenSet.isExpired(tokens, yield* DateTime.now))
      const refused = yield* Effect.flip(fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? ""))
      assert.strictEqual(refused.reason, "Unauthorized")

      const renewed = yield* client.refresh(tokens)
      assert.notStrictEqual(Redacted.value(renewed.accessToken), Redacted.value(tokens.accessToken))
      assert.strictEqual(renewed.context.patient, tokens.context.patient)
      const again = yield* fhir.forTokens(client, renewed).read("Patient", tokens.context.patient ?? "")
      assert.strictEqual(again["id"], patient["id"])
    }).pipe(Effect.provide(layer)))

  it.effect("sends no request when it is built, and one metadata request for a whole launch", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      assert.deepStrictEqual(yield* ehr.requests, [])
      const client = yield* SmartClient.SmartClient
      yield* client.refresh(yield* login)
      assert.strictEqual((yield* requestsTo("discovery")).length, 1)
    }).pipe(Effect.provide(layer)))
})

describe("SmartClient, the authorization request", () => {
  const sent = (options?: SmartClient.AuthorizeOptions) =>
    Effect.gen(function*() {
      const { pending, url } = yield* (yield* SmartClient.SmartClient).authorize(options)
      return { pending, scope: url.searchParams.get("scope"), url }
    })

  it.effect("[SMART-46] `scopes` of a call replace the configured ones; `addScopes` are added, each once", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* sent()).scope, "launch/patient patient/*.rs offline_access")
      assert.strictEqual((yield* sent({ scopes: ["patient/Observation.rs"] })).scope, "patient/Observation.rs")
      assert.strictEqual(
        (yield* sent({ addScopes: ["openid", "patient/*.rs"] })).scope,
        "launch/patient patient/*.rs offline_access openid"
      )
      const both = yield* sent({ scopes: ["a/b"], addScopes: ["c/d"] })
      assert.strictEqual(both.scope, "a/b c/d")
      assert.deepStrictEqual(both.pending.scopes, ["a/b", "c/d"])
      assert.strictEqual((yield* sent()).scope, "launch/patient patient/*.rs offline_access")
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-2] [SMART-13] [SMART-39] [SMART-40] each request has a new state, verifier and challenge, none derived from another", () =>
    Effect.gen(function*() {
      const all = yield* Effect.replicateEffect(sent(), 50)
      const states = all.map(({ pending }) => Redacted.value(pending.state))
      const verifiers = all.map(({ pending }) => Redacted.value(pending.verifier))
      assert.strictEqual(new Set([...states, ...verifiers]).size, 100)
      for (const { pending, url } of all) {
        assert.match(Redacted.value(pending.state), /^[A-Za-z0-9_-]{43}$/)
        assert.strictEqual(url.searchParams.get("state"), Redacted.value(pending.state))
        assert.isFalse(url.href.includes(Redacted.value(pending.verifier)))
      }
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-35] [SMART-41] [SMART-161] [SMART-162] an EHR launch sends launch and aud unchanged, and adds the scope launch", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const { launch } = yield* ehr.launch({ patient: "patient-alpha" })
      const { pending, scope, url } = yield* sent({ launch, iss: "https://ehr.sandbox.test/fhir" })
      assert.strictEqual(scope, "launch/patient patient/*.rs offline_access launch")
      const tokens = yield* client.exchange(yield* ehr.approve(url), pending)
      assert.strictEqual(tokens.context.patient, "patient-alpha")
      const slashed = yield* sent({ launch: "a+b/c=", iss: "https://EHR.sandbox.test/fhir/" })
      assert.strictEqual(slashed.url.searchParams.get("aud"), "https://EHR.sandbox.test/fhir/")
      assert.strictEqual(slashed.url.searchParams.get("launch"), "a+b/c=")
    }).pipe(Effect.provide(layer)))

  it.effect("refuses a launch from another server before any request", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      for (
        const iss of [
          "https://evil.test/fhir",
          "https://ehr.sandbox.test/fhir2",
          "https://ehr.sandbox.test/fhir?x",
          "http://ehr.sandbox.test/fhir",
          "https://ehr.sandbox.test@evil.test/fhir",
          "nonsense",
          ""
        ]
      ) {
        const error = yield* Effect.flip(sent({ launch: "x", iss }))
        assert.strictEqual(error._tag === "ConfigurationError" && error.reason, "Conflict", iss)
      }
      assert.deepStrictEqual(yield* ehr.requests, [])
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-37] `authorize` fails before a request without scopes, with invalid scopes or without a redirect URI", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      for (const scopes of [[], ["a,b"], ["a\"b"], [""]]) {
        const error = yield* Effect.flip(sent({ scopes }))
        assert.strictEqual(error._tag, "ConfigurationError", JSON.stringify(scopes))
      }
      assert.deepStrictEqual(yield* ehr.requests, [])
      const bare = yield* clientOver(Http.script(metadata()), { redirectUri: undefined })
      const error = yield* Effect.flip(bare.authorize())
      assert.deepStrictEqual(error._tag === "ConfigurationError" && error.fields, ["redirectUri"])
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-230] [SMART-232] `authorize` fails if an endpoint that the launch needs is missing or insecure", () =>
    Effect.gen(function*() {
      const refusals = [
        [{ token_endpoint: "http://auth.example/token" }, "InsecureEndpoint", "token_endpoint"],
        [{ token_endpoint: "http://localhost/token" }, "InsecureEndpoint", "token_endpoint"],
        [{ authorization_endpoint: "http://auth.example/a" }, "InsecureEndpoint", "authorization_endpoint"],
        [{ authorization_endpoint: "javascript:alert(1)" }, "InsecureEndpoint", "authorization_endpoint"],
        [{ token_endpoint: undefined }, "EndpointMissing", "token_endpoint"],
        [{ authorization_endpoint: 1 }, "EndpointMissing", "authorization_endpoint"]
      ] as const
      for (const [changes, reason, member] of refusals) {
        const client = yield* clientOver(Http.script(metadata(changes)))
        const error = yield* Effect.flip(client.authorize())
        assert.strictEqual(error._tag === "DiscoveryError" && `${error.reason} ${error.member}`, `${reason} ${member}`)
      }
    }))

  it.effect("[SMART-394] S256 is sent where it is not advertised, with a warning", () =>
    Effect.gen(function*() {
      for (const advertised of [undefined, [], ["plain"], "S256"]) {
        const warnings = recorded()
        const client = yield* clientOver(Http.script(metadata({ code_challenge_methods_supported: advertised }))).pipe(
          Effect.provide(warnings.layer)
        )
        const { url } = yield* client.authorize()
        assert.strictEqual(url.searchParams.get("code_challenge_method"), "S256")
        assert.include(warnings.codes(), "PkceNotAdvertised")
      }
    }))

  it.effect("the pending authorization has what validates the callback", () =>
    Effect.gen(function*() {
      const pendingWith = (
        changes: Readonly<Record<string, unknown>>,
        options?: SmartClient.AuthorizeOptions
      ) =>
        Effect.gen(function*() {
          const client = yield* clientOver(Http.script(metadata(changes)))
          return (yield* client.authorize(options)).pending
        })
      yield* TestClock.setTime(1_700_000_000_000)
      assert.deepInclude(
        yield* pendingWith({}),
        {
          server: config.fhirBaseUrl,
          fhirBaseUrl: config.fhirBaseUrl,
          authorizationEndpoint: "https://auth.example/authorize",
          tokenEndpoint: "https://auth.example/token",
          redirectUri: "https://app.sandbox.test/callback",
          nonce: undefined,
          maxAge: undefined,
          issuer: undefined,
          issuerPromised: false,
          createdAt: DateTime.unsafeMake(1_700_000_000_000)
        }
      )
      const issuer = "https://auth.example"
      const promised = { issuer, authorization_response_iss_parameter_supported: true }
      assert.deepInclude(yield* pendingWith(promised, { params: { max_age: "123456789" } }), {
        issuer,
        issuerPromised: true,
        maxAge: 123_456_789
      })
      for (const max_age of ["", "1234567890", "1s", "s1", "-1"]) {
        const error = yield* Effect.flip(pendingWith({}, { params: { max_age } }))
        assert.deepStrictEqual(error._tag === "ConfigurationError" && error.fields, ["params.max_age"])
      }
    }))

  it.effect("`authorize` without openid does not need the keys of the server", () =>
    Effect.gen(function*() {
      const client = yield* clientOver(Http.script(metadata({ jwks_uri: "http://auth.example/jwks" })))
      const { url } = yield* client.authorize()
      assert.isFalse(url.searchParams.has("nonce"))
      const openid = yield* Effect.flip(client.authorize({ addScopes: ["openid"] }))
      assert.strictEqual(openid._tag === "DiscoveryError" && openid.member, "jwks_uri")
      const keyless = yield* clientOver(Http.script(metadata()))
      assert.isTrue((yield* keyless.authorize({ addScopes: ["openid"] })).url.searchParams.has("nonce"))
    }))

  it.effect("an error about scopes names each scope that cannot be sent, and its server", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(sent({ scopes: ["patient/*.rs", "a,b", "c\"d"] }))
      assert.deepStrictEqual(error._tag === "ConfigurationError" && [error.reason, error.fields, error.server], [
        "Invalid",
        ["scopes"],
        config.fhirBaseUrl
      ])
      assert.include(error.message, "\"a,b\": ")
      assert.include(error.message, "; \"c\"d\": ")
      assert.notInclude(error.message, "patient/*.rs")
      const none = yield* Effect.flip(sent({ scopes: [] }))
      assert.strictEqual(none._tag === "ConfigurationError" && none.reason, "Missing")
      const unconfigured = yield* clientOver(Http.script(metadata()), { scopes: undefined })
      const missing = yield* Effect.flip(unconfigured.authorize())
      assert.strictEqual(missing._tag === "ConfigurationError" && missing.reason, "Missing")
      const launched = yield* unconfigured.authorize({ launch: "x" })
      assert.strictEqual(launched.url.searchParams.get("scope"), "launch")
    }).pipe(Effect.provide(layer)))

  it.effect("`audience` replaces aud", () =>
    Effect.gen(function*() {
      const client = yield* clientOver(Http.script(metadata()), { audience: "urn:other" })
      assert.strictEqual((yield* client.authorize()).url.searchParams.get("aud"), "urn:other")
    }))
})

describe("SmartClient, the exchange", () => {
  it.effect("a callback of another launch causes no request", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const { pending, url } = yield* client.authorize()
      const callback = yield* ehr.approve(url)
      const forged = new URL(callback)
      forged.searchParams.set("state", "forged")
      const other = new PendingAuthorization({ ...pending, server: "another" })
      const attempts = [
        [forged, pending, "StateMismatch"],
        ["", pending, "NotACallback"],
        [callback, other, "WrongServer"],
        [yield* ehr.deny(url), pending, "AccessDenied"]
      ] as const
      for (const [given, kept, reason] of attempts) {
        const error = yield* Effect.flip(client.exchange(given, kept))
        assert.strictEqual(error._tag === "AuthorizationError" && error.reason, reason)
      }
      yield* TestClock.adjust("31 minutes")
      const late = yield* Effect.flip(client.exchange(callback, pending))
      assert.strictEqual(late._tag === "AuthorizationError" && late.reason, "Expired")
      assert.deepStrictEqual(yield* requestsTo("token"), [])
    }).pipe(Effect.provide(layer)))

  it.effect("a pending authorization can be stored as JSON", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const { pending, url } = yield* client.authorize()
      const stored = JSON.stringify(yield* Schema.encode(PendingAuthorization)(pending))
      const restored = yield* Schema.decodeUnknown(PendingAuthorization)(JSON.parse(stored))
      assert.strictEqual((yield* client.exchange(yield* ehr.approve(url), restored)).version, 1)
      assert.notInclude(JSON.stringify(pending), Redacted.value(pending.verifier))
    }).pipe(Effect.provide(layer)))

  it.effect("repeats the exchange once after a lost response, and not with `retryUnknown: false`", () =>
    Effect.gen(function*() {
      for (const retryUnknown of [undefined, false]) {
        yield* Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const client = yield* SmartClient.SmartClient
          const { pending, url } = yield* client.authorize()
          const callback = yield* ehr.approve(url)
          yield* ehr.fault("token", Fault.lostResponse)
          const fiber = yield* Effect.fork(Effect.flip(client.exchange(callback, pending)))
          const drive = TestClock.adjust("1 second").pipe(Effect.repeatN(5))
          yield* drive
          const error = yield* Fiber.join(fiber)
          const reason = error._tag === "TokenError" && error.reason
          assert.strictEqual(reason, retryUnknown === false ? "Unreachable" : "Refused")
          assert.strictEqual((yield* requestsTo("token")).length, retryUnknown === false ? 1 : 2)
        }).pipe(Effect.provide(world({ retryUnknown: retryUnknown })))
      }
    }))
})

describe("SmartClient, other requests", () => {
  const tokenResponse = () =>
    Http.json({ access_token: "AT", token_type: "Bearer", expires_in: 60, scope: "patient/*.rs" })

  it.effect("a client outside a registry accepts an unknown issuer with a warning, and a known one without", () =>
    Effect.gen(function*() {
      const codesWith = (changes: Readonly<Record<string, unknown>>, configured?: string) =>
        Effect.gen(function*() {
          const warnings = recorded()
          const client = yield* clientOver(Http.script(metadata(changes), tokenResponse), { issuer: configured }).pipe(
            Effect.provide(warnings.layer)
          )
          const { pending } = yield* client.authorize()
          const callback = new URL(pending.redirectUri)
          callback.search = String(
            new URLSearchParams({ code: "c", state: Redacted.value(pending.state), iss: "https://auth.example" })
          )
          yield* client.exchange(callback, pending)
          return warnings.codes().filter((code) => code.startsWith("Issuer"))
        })
      assert.deepStrictEqual(yield* codesWith({}), ["IssuerUnknown"])
      assert.deepStrictEqual(yield* codesWith({ issuer: "https://auth.example" }), [])
      assert.deepStrictEqual(yield* codesWith({}, "https://auth.example"), [])
    }))

  it.effect("`introspect` and `revoke` send the token and its kind to the endpoints of the metadata", () =>
    Effect.gen(function*() {
      const http = Http.script(
        metadata({
          introspection_endpoint: "https://auth.example/introspect",
          revocation_endpoint: "https://auth.example/revoke"
        }),
        () => Http.json({ active: true }),
        () => new Response(null, { status: 200 })
      )
      const client = yield* clientOver(http)
      const tokenTypeHint = "refresh_token"
      assert.isTrue((yield* client.introspect(Redacted.make("t1"), { tokenTypeHint })).active)
      yield* client.revoke(Redacted.make("t2"), { tokenTypeHint })
      assert.deepStrictEqual(
        http.requests.slice(1).map(({ body, url }) => [url, Object.fromEntries(new URLSearchParams(body))]),
        [
          ["https://auth.example/introspect", {
            token: "t1",
            token_type_hint: tokenTypeHint,
            client_id: "sandbox-public-app"
          }],
          ["https://auth.example/revoke", {
            token: "t2",
            token_type_hint: tokenTypeHint,
            client_id: "sandbox-public-app"
          }]
        ]
      )
    }))

  it.effect("the error of a callback for another server names what has changed", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const { pending } = yield* client.authorize()
      const detail = (changes: Partial<PendingAuthorization>) =>
        Effect.map(
          Effect.flip(client.exchange("", new PendingAuthorization({ ...pending, ...changes }))),
          (error) => error._tag === "AuthorizationError" ? error.detail : error._tag
        )
      assert.strictEqual(yield* detail({ server: "another" }), "the launch was started with another")
      assert.strictEqual(
        yield* detail({ fhirBaseUrl: "https://before.test/fhir?secret" }),
        "the launch was started with https://before.test/fhir, which had this name before"
      )
    }).pipe(Effect.provide(layer)))

  it.effect("an authentication for one server gets its configuration, with the scopes as text", () =>
    Effect.gen(function*() {
      const configured: Array<ClientAuthentication.ConfiguredServer> = []
      const authentication: ClientAuthentication.Service = {
        ...ClientAuthentication.makePublic,
        forServer: (server) => {
          configured.push(server)
          return { ...ClientAuthentication.makePublic, clientId: Effect.succeed("registered") }
        }
      }
      const build = (changes: Partial<SmartClient.Config>) =>
        SmartClient.make({ ...config, clientId: undefined, ...changes }).pipe(
          Effect.provide(Layer.provide(SmartClient.layerDependencies(), Http.script(metadata()).layer)),
          Effect.provideService(ClientAuthentication.ClientAuthentication, authentication)
        )
      const client = yield* build({ scopes: ["launch", Scopes.patient("Observation", "rs")] })
      const { url } = yield* client.authorize()
      assert.strictEqual(url.searchParams.get("client_id"), "registered")
      assert.strictEqual(url.searchParams.get("scope"), "launch patient/Observation.rs")
      yield* build({ scopes: undefined })
      const { fhirBaseUrl, redirectUri } = config
      assert.deepStrictEqual(configured, [
        { fhirBaseUrl, redirectUri, scopes: ["launch", "patient/Observation.rs"], allowInsecureLocalhost: undefined },
        { fhirBaseUrl, redirectUri, scopes: undefined, allowInsecureLocalhost: undefined }
      ])
    }))
})

describe("SmartClient, the refresh", () => {
  it.effect("accepts tokens that were stored without their server", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const tokens = yield* login
      const renewed = yield* client.refresh(new TokenSet.TokenSet({ ...tokens, fhirBaseUrl: undefined }))
      assert.notStrictEqual(Redacted.value(renewed.accessToken), Redacted.value(tokens.accessToken))
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-107] [SMART-108] sends a subset of the scopes, and refuses more than the grant without a request", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const ehr = yield* SandboxEhr.SandboxEhr
      const tokens = yield* login
      yield* ehr.clearRequests
      for (const scopes of [["user/*.rs"], ["patient/*.cruds"], ["patient/*.rs", "openid"]]) {
        const error = yield* Effect.flip(client.refresh(tokens, { scopes }))
        assert.strictEqual(error._tag === "TokenError" && error.reason, "ScopeExceedsGrant", scopes.join())
      }
      assert.deepStrictEqual(yield* ehr.requests, [])
      const narrowed = yield* client.refresh(tokens, { scopes: ["patient/Observation.rs"] })
      assert.deepStrictEqual(narrowed.scopes, ["patient/Observation.rs"])
      assert.strictEqual((yield* requestsTo("token"))[0]?.form["scope"], "patient/Observation.rs")
    }).pipe(Effect.provide(layer)))

  it.effect("after a narrowed refresh the original grant can be requested again, and nothing beyond it (RFC 6749, section 6)", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const tokens = yield* login
      const narrowed = yield* client.refresh(tokens, { scopes: ["patient/Observation.rs"] })
      const narrower = yield* client.refresh(narrowed, { scopes: ["patient/Observation.r"] })
      assert.deepStrictEqual(narrower.originalScopes, tokens.scopes)
      const wide = yield* client.refresh(narrower, { scopes: ["patient/*.rs"] })
      assert.deepStrictEqual(wide.scopes, ["patient/*.rs"])
      const error = yield* Effect.flip(client.refresh(narrower, { scopes: ["patient/*.cruds"] }))
      assert.strictEqual(error._tag === "TokenError" && error.reason, "ScopeExceedsGrant")
      // Without scopes it is the original grant that is requested.
      const whole = yield* client.refresh(wide)
      assert.sameMembers([...whole.scopes], [...tokens.scopes])
      assert.isUndefined(whole.originalScopes)
    }).pipe(Effect.provide(layer)))

  it.effect("the error of a missing refresh token explains the grant and names prompt=consent", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const tokens = yield* login
      const messageFor = (scopes: ReadonlyArray<string>) =>
        Effect.map(
          Effect.flip(client.refresh(new TokenSet.TokenSet({ ...tokens, scopes, refreshToken: undefined }))),
          ({ message }) => message
        )
      const granted = yield* messageFor(["patient/*.rs", "offline_access"])
      assert.include(granted, "the server granted offline_access but gave no refresh token")
      const refused = yield* messageFor(["patient/*.rs"])
      assert.include(refused, "granted neither offline_access nor online_access")
      for (const message of [granted, refused]) assert.include(message, "prompt=consent")
    }).pipe(Effect.provide(layer)))

  it.effect("needs a refresh token only, with or without offline_access", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("token", Fault.mutate((members) => ({ ...members, scope: "patient/*.rs" })))
      const tokens = yield* login
      assert.notInclude(tokens.scopes, "offline_access")
      assert.isDefined((yield* (yield* SmartClient.SmartClient).refresh(tokens)).refreshToken)
    }).pipe(Effect.provide(layer)))

  it.effect("sends no request without a refresh token, or with tokens of another server", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const ehr = yield* SandboxEhr.SandboxEhr
      const tokens = yield* login
      yield* ehr.clearRequests
      const without = new TokenSet.TokenSet({ ...tokens, refreshToken: undefined })
      const foreign = new TokenSet.TokenSet({ ...tokens, fhirBaseUrl: "https://other.test/fhir" })
      for (const [given, reason] of [[without, "NoRefreshToken"], [foreign, "WrongServer"]] as const) {
        const error = yield* Effect.flip(client.refresh(given))
        assert.strictEqual(error._tag === "TokenError" && error.reason, reason)
        assert.isFalse(error.isRetryable)
      }
      assert.deepStrictEqual(yield* ehr.requests, [])
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-97] tokens of another server are not used for reading either", () =>
    Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const fhir = yield* FhirClient.FhirClient
      const ehr = yield* SandboxEhr.SandboxEhr
      const foreign = new TokenSet.TokenSet({ ...yield* login, fhirBaseUrl: "https://other.test/fhir" })
      yield* ehr.clearRequests
      const error = yield* Effect.flip(fhir.forTokens(client, foreign).read("Patient", "patient-alpha"))
      assert.strictEqual(error.reason, "ForeignLink")
      assert.deepStrictEqual(yield* ehr.requests, [])
    }).pipe(Effect.provide(layer)))
})

describe("SmartClient, its configuration", () => {
  const refusal = (changes: Partial<SmartClient.Config>) =>
    Effect.scoped(Layer.build(SmartClient.layer({ ...config, ...changes }))).pipe(
      Effect.provide([ClientAuthentication.layerPublic, Http.script(metadata()).layer]),
      Effect.either,
      Effect.map((built) => built._tag === "Left" ? `${built.left.reason} ${built.left.fields.join()}` : "built")
    )

  it.effect("[SMART-1] one error lists all invalid settings", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* refusal({}), "built")
      assert.strictEqual(
        yield* refusal({ fhirBaseUrl: "nonsense", clientId: "", redirectUri: "http://app.test/" }),
        "Invalid fhirBaseUrl,clientId,redirectUri"
      )
      assert.strictEqual(
        yield* refusal({ fhirBaseUrl: "http://ehr.test/fhir", redirectUri: "http://app.test/" }),
        "Insecure fhirBaseUrl,redirectUri"
      )
      assert.strictEqual(
        yield* refusal({ fhirBaseUrl: "http://ehr.test/fhir", clientId: "" }),
        "Invalid clientId,fhirBaseUrl"
      )
      for (
        const member of [
          "authorizationEndpoint",
          "tokenEndpoint",
          "registrationEndpoint",
          "introspectionEndpoint",
          "revocationEndpoint",
          "jwksUri",
          "issuer"
        ] as const
      ) {
        const withMember = (url: string) => refusal({ metadata: { [member]: url } })
        assert.strictEqual(yield* withMember("/relative"), `Invalid metadata.${member}`)
        assert.strictEqual(yield* withMember("https://me@ehr.test/x"), `Invalid metadata.${member}`)
        assert.strictEqual(yield* withMember("http://ehr.test/x"), `Insecure metadata.${member}`)
        assert.strictEqual(yield* withMember("https://ehr.test/x"), "built")
      }
      assert.strictEqual(yield* refusal({ redirectUri: undefined, clientId: undefined }), "Missing clientId")
      assert.strictEqual(yield* refusal({ redirectUri: undefined }), "built")
      assert.strictEqual(yield* refusal({ issuer: "the hospital" }), "Invalid issuer")
      assert.strictEqual(yield* refusal({ issuer: "http://ehr.test/auth" }), "Insecure issuer")
      assert.strictEqual(yield* refusal({ issuer: "https://me@ehr.test/auth" }), "Invalid issuer")
      assert.strictEqual(yield* refusal({ issuer: "https://:pw@ehr.test/auth" }), "Invalid issuer")
    }))

  it.effect("[SMART-1] accepts http for loopback hosts only, with allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      const local = { fhirBaseUrl: "http://localhost:1/fhir", redirectUri: "http://127.0.0.1:8000/cb" }
      assert.strictEqual(yield* refusal(local), "Insecure fhirBaseUrl,redirectUri")
      assert.strictEqual(yield* refusal({ ...local, allowInsecureLocalhost: true }), "built")
      for (const host of ["ehr.test", "localhost.evil.test", "127.0.0.2", "0.0.0.0"]) {
        assert.strictEqual(
          yield* refusal({ fhirBaseUrl: `http://${host}/fhir`, allowInsecureLocalhost: true }),
          "Insecure fhirBaseUrl",
          host
        )
      }
    }))

  it.effect.each([
    ["org.example.app:/callback", "built"],
    ["https://app.test/cb?x=1", "built"],
    ["https://app.test/cb#x", "Invalid redirectUri"],
    ["https://me@app.test/cb", "Invalid redirectUri"],
    ["https://:pw@app.test/cb", "Invalid redirectUri"],
    ["/callback", "Invalid redirectUri"],
    ["1org.example.app:/callback", "Invalid redirectUri"],
    ["a.b:/callback", "built"],
    ["org-1.example2.app+x:/callback", "built"],
    ["org.example.:/callback", "Insecure redirectUri"],
    ["org..app:/callback", "Insecure redirectUri"],
    ["org..example.app:/callback", "Insecure redirectUri"],
    ["org-app:/callback", "Insecure redirectUri"],
    ["javascript:alert(1)", "Insecure redirectUri"],
    ["myapp:/callback", "Insecure redirectUri"],
    ["data:text/html,x", "Insecure redirectUri"]
  ])("the redirect URI %s: %s", ([redirectUri, outcome]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* refusal({ redirectUri }), outcome)
    }))

  const fromEnvironment = (environment: Readonly<Record<string, string>>, http = Http.script(metadata())) =>
    Effect.scoped(Layer.build(Layer.provide(SmartClient.layerConfig(), ClientAuthenticationConfig.layer))).pipe(
      Effect.map(Context.get(SmartClient.SmartClient)),
      Effect.provide(http.layer),
      Effect.withConfigProvider(
        ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_", seqDelim: "," })
      )
    )
  const environment = {
    SMART_FHIR_BASE_URL: "https://ehr.sandbox.test/fhir",
    SMART_CLIENT_ID: "app",
    SMART_REDIRECT_URI: "https://app.test/cb",
    SMART_ISSUER: "https://ehr.sandbox.test/auth",
    SMART_SCOPES: "openid  patient/*.rs"
  }

  it.effect("layerConfig reads the environment", () =>
    Effect.gen(function*() {
      const client = yield* fromEnvironment(environment)
      assert.deepStrictEqual(client.config.scopes, ["openid", "patient/*.rs"])
      assert.strictEqual(client.config.clientId, "app")
      assert.strictEqual(client.config.issuer, "https://ehr.sandbox.test/auth")
      const { url } = yield* client.authorize()
      assert.strictEqual(url.searchParams.get("redirect_uri"), "https://app.test/cb")
      const minimal = yield* fromEnvironment({ SMART_FHIR_BASE_URL: "https://e.test", SMART_CLIENT_ID: "x" })
      assert.isUndefined(minimal.config.redirectUri)
      assert.isUndefined(minimal.config.issuer)
    }))

  it.effect("layerConfig fails with the variables that are missing, insecure or in conflict", () =>
    Effect.gen(function*() {
      const failure = (changes: Readonly<Record<string, string>>) =>
        Effect.map(
          Effect.flip(fromEnvironment({ ...environment, ...changes })),
          (error) => error instanceof ConfigurationError ? `${error.reason} ${error.fields.join()}` : String(error)
        )
      assert.strictEqual(yield* failure({ SMART_FHIR_BASE_URL: "http://localhost/fhir" }), "Insecure fhirBaseUrl")
      const both = { SMART_CLIENT_SECRET: "env-s3cret", SMART_PRIVATE_KEY: "env-k3y" }
      const conflict = yield* failure(both)
      assert.strictEqual(conflict, "Conflict SMART_CLIENT_SECRET,SMART_PRIVATE_KEY")
      const { SMART_CLIENT_ID: _, ...incomplete } = environment
      const missing = yield* Effect.flip(fromEnvironment(incomplete))
      assert.include(String(missing), "CLIENT_ID")
      const local = { SMART_FHIR_BASE_URL: "http://localhost/fhir", SMART_ALLOW_INSECURE_LOCALHOST: "true" }
      assert.isTrue((yield* fromEnvironment({ ...environment, ...local })).config.allowInsecureLocalhost)
      const flag = (value: string) => ({ ...environment, SMART_ALLOW_INSECURE_LOCALHOST: value })
      for (const off of ["", " ", "false", "No"]) {
        assert.isFalse((yield* fromEnvironment(flag(off))).config.allowInsecureLocalhost)
      }
      const unclear = yield* Effect.flip(fromEnvironment(flag("maybe")))
      assert.include(String(unclear), "SMART.ALLOW_INSECURE_LOCALHOST: \"Expected true or false, but received maybe\"")
    }))
})

describe("SmartClient, replaceable parts", () => {
  it.effect("the HTTP layer", () =>
    Effect.gen(function*() {
      const http = Http.script(metadata({ token_endpoint: "https://swapped.example/token" }))
      const swapped = SmartClient.layer(config).pipe(Layer.provide([http.layer, ClientAuthentication.layerPublic]))
      const client = yield* Effect.provide(SmartClient.SmartClient, swapped)
      assert.strictEqual((yield* client.configuration).tokenEndpoint, "https://swapped.example/token")
    }))

  it.effect("the retry policy: of a service, and of a call", () =>
    Effect.gen(function*() {
      const attempts = (wrap: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
        Effect.gen(function*() {
          const http = Http.script(() => Http.text("", { status: 503 }))
          const patient = Layer.provide(
            SmartClient.layer(config),
            [http.layer, ClientAuthentication.layerPublic, RetryPolicy.layer(Schedule.recurs(6))]
          )
          const client = yield* Effect.provide(SmartClient.SmartClient, patient)
          yield* Effect.flip(wrap(client.configuration))
          return http.requests.length
        })
      assert.strictEqual(yield* attempts((self) => self), 7)
      assert.strictEqual(yield* attempts((self) => RetryPolicy.withPolicy(RetryPolicy.none)(self) as typeof self), 1)
    }))

  it.effect("any part: a Discovery with another time to live", () =>
    Effect.gen(function*() {
      const http = Http.script(metadata())
      const parts = Layer.merge(SmartClient.layerDependencies(), Discovery.layer({ timeToLive: "1 minute" }))
      const client = yield* Effect.provide(
        SmartClient.SmartClient,
        SmartClient.layerWithoutDependencies(config).pipe(
          Layer.provide([parts, ClientAuthentication.layerPublic]),
          Layer.provide(http.layer)
        )
      )
      yield* client.configuration
      yield* TestClock.adjust("1 minute")
      yield* client.configuration
      assert.strictEqual(http.requests.length, 2)
    }))
})
