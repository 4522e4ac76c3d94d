import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ClientAuthentication, type ConfigurationError, FhirClient, SecureRandom, SigningKeys } from "effect-safire"
import * as jose from "jose"
import { OidcProvider } from "../support/OidcProvider.js"
import type { ErrorFields } from "../support/oidcProviderApp.js"
import { approved, connect, environment, failed, login, refusal, refused, scopes } from "../support/oidcProviderApp.js"
import { plainSecret, specialClientId, specialSecret } from "../support/oidcProviderClients.js"
import { patientId } from "../support/oidcProviderConfiguration.js"
import { vectorJwk } from "../support/oidcProviderStore.js"

type Authentication = Layer.Layer<ClientAuthentication.ClientAuthentication, ConfigurationError>

const basic = (clientSecret: string, encoding?: "raw" | "form") =>
  ClientAuthentication.layerClientSecretBasic({ clientSecret: Redacted.make(clientSecret), encoding })
const post = (clientSecret: string) =>
  ClientAuthentication.layerClientSecretPost({ clientSecret: Redacted.make(clientSecret) })

const vectorKeys = (name: "RS384" | "ES384", kid?: string) => {
  const jwk = vectorJwk(name, "private")
  return SigningKeys.layerJwk({ jwk: Redacted.make({ ...jwk, kid: kid ?? jwk.kid }) })
}
const keys = (
  signingKeys: Layer.Layer<SigningKeys.SigningKeys, ConfigurationError>,
  options?: ClientAuthentication.PrivateKeyJwtOptions
): Authentication => Layer.provide(ClientAuthentication.layerPrivateKeyJwt(options), signingKeys)

interface Kind {
  readonly name: string
  readonly clientId: string
  readonly authentication: Authentication
  /** What its token requests hold beside those of the grant, and the scheme of their `Authorization` header. */
  readonly params: ReadonlyArray<string>
  readonly scheme: string | undefined
}

const assertionParams = ["client_assertion", "client_assertion_type"]

const kinds: ReadonlyArray<Kind> = [
  {
    name: "public",
    clientId: "public-app",
    authentication: ClientAuthentication.layerPublic,
    params: ["client_id"],
    scheme: undefined
  },
  {
    name: "client_secret_basic, raw",
    clientId: "basic-app",
    authentication: basic(plainSecret),
    params: [],
    scheme: "Basic"
  },
  {
    name: "client_secret_basic, form-encoded, with special characters in the secret and in the client id",
    clientId: specialClientId,
    authentication: basic(specialSecret, "form"),
    params: [],
    scheme: "Basic"
  },
  {
    name: "client_secret_post, with special characters in the secret",
    clientId: "post-app",
    authentication: post(specialSecret),
    params: ["client_id", "client_secret"],
    scheme: undefined
  },
  {
    name: "private_key_jwt by RS384, with a JWKS by value",
    clientId: "key-app",
    authentication: keys(vectorKeys("RS384")),
    params: assertionParams,
    scheme: undefined
  },
  {
    name: "private_key_jwt by ES384, with a JWKS by URL",
    clientId: "key-by-url-app",
    authentication: keys(vectorKeys("ES384")),
    params: assertionParams,
    scheme: undefined
  }
]

const mismatch = "the provided authentication mechanism does not match the registered client authentication method"

layer(environment(), { excludeTestServices: true })("every kind of client at oidc-provider", (it) => {
  for (const { authentication, clientId, name, params, scheme } of kinds) {
    it.scoped(`[SMART-72] ${name}: completes a launch, and sends the parameters of its kind only`, () =>
      Effect.gen(function*() {
        const server = yield* OidcProvider
        const fhir = yield* FhirClient.FhirClient
        const client = yield* connect(clientId, authentication)
        const { callback, pending } = yield* approved(client)
        const [tokens, forms] = yield* server.received(
          Effect.gen(function*() {
            const first = yield* client.exchange(callback, pending)
            const next = yield* client.refresh(first)
            const introspection = yield* client.introspect(next.accessToken)
            assert.deepStrictEqual([introspection.active, introspection.clientId], [true, clientId])
            const patient = yield* fhir.forTokens(client, next).read("Patient", next.context.patient ?? "")
            assert.strictEqual(patient["id"], patientId)
            yield* client.revoke(next.accessToken)
            return next
          })
        )
        assert.deepStrictEqual(tokens.scopes, scopes)
        assert.isFalse(yield* server.isActive(Redacted.value(tokens.accessToken)))
        assert.deepStrictEqual(
          forms.map((form) => Object.keys(form.params).sort()),
          [
            ["code", "code_verifier", "grant_type", "redirect_uri", ...params].sort(),
            ["grant_type", "refresh_token", ...params].sort(),
            ["token", ...params].sort(),
            ["token", ...params].sort()
          ]
        )
        assert.deepStrictEqual(
          forms.map((form) => form.authorization?.split(" ")[0]),
          [scheme, scheme, scheme, scheme]
        )
      }))
  }
})

layer(environment(), { excludeTestServices: true })("client credentials at oidc-provider", (it) => {
  const credentials = { scopes: ["system/*.rs"] }

  it.scoped("[SMART-236] with a secret", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect("backend", basic(plainSecret))
      const [tokens, [form]] = yield* server.received(client.clientCredentials(credentials))
      assert.deepStrictEqual(form?.params, { grant_type: "client_credentials", scope: "system/*.rs" })
      assert.deepStrictEqual(tokens.scopes, ["system/*.rs"])
      assert.isUndefined(tokens.refreshToken)
      assert.isTrue(yield* server.isActive(Redacted.value(tokens.accessToken)))
    }))

  it.scoped("[SMART-236] [SMART-237] [SMART-238] with a key, its JWKS by URL", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect("key-backend", keys(vectorKeys("ES384")))
      const [tokens, [form]] = yield* server.received(client.clientCredentials(credentials))
      assert.deepStrictEqual(
        Object.keys(form?.params ?? {}).sort(),
        ["client_assertion", "client_assertion_type", "grant_type", "scope"]
      )
      assert.strictEqual(
        form?.params["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
      )
      assert.isTrue(yield* server.isActive(Redacted.value(tokens.accessToken)))
    }))

  it.scoped("[SMART-319] each request has its own assertion", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect("key-backend", keys(vectorKeys("ES384")))
      const [, forms] = yield* server.received(
        Effect.all([client.clientCredentials(credentials), client.clientCredentials(credentials)])
      )
      const ids = forms.map(({ params }) => jose.decodeJwt(String(params["client_assertion"])).jti)
      assert.strictEqual(new Set(ids).size, 2)
    }))

  it.scoped("a scope that the client is not registered for is refused", () =>
    Effect.gen(function*() {
      const client = yield* connect("key-backend", keys(vectorKeys("ES384")))
      assert.deepStrictEqual(
        yield* refusal(client.clientCredentials({ scopes: ["user/*.rs"] })),
        [refused("clientCredentials", "invalid_scope", 400), "requested scope is not allowed"]
      )
    }))

  it.scoped("another kind of client than the registered one is refused", () =>
    Effect.gen(function*() {
      const invalidClient = refused("clientCredentials", "invalid_client", 401)
      for (const authentication of [ClientAuthentication.layerPublic, keys(vectorKeys("ES384"))]) {
        const client = yield* connect("backend", authentication)
        assert.deepStrictEqual(yield* refusal(client.clientCredentials(credentials)), [invalidClient, mismatch])
      }
    }))
})

layer(environment(), { excludeTestServices: true })("oidc-provider refuses credentials", (it) => {
  const invalidClient = refused("exchangeCode", "invalid_client", 401)

  /** The exchange of a good code with credentials that are wrong. */
  const exchange = (clientId: string, authentication: Authentication) =>
    Effect.gen(function*() {
      const client = yield* connect(clientId, authentication)
      const { callback, pending } = yield* approved(client)
      return yield* refusal(client.exchange(callback, pending))
    })

  const wrong = "a-wrong-secret-0123456789"
  const symmetric: ReadonlyArray<readonly [string, string, Authentication, readonly [ErrorFields, string]]> = [
    ["a wrong secret by Basic", "basic-app", basic(wrong), [invalidClient, "invalid secret provided"]],
    ["a wrong secret by post", "post-app", post(wrong), [invalidClient, "invalid secret provided"]],
    ["no secret", "basic-app", ClientAuthentication.layerPublic, [invalidClient, mismatch]],
    ["a client id with a colon, raw", specialClientId, basic(specialSecret, "raw"), [
      invalidClient,
      "client not found"
    ]],
    [
      "a percent sign that encodes nothing, raw",
      "basic-app",
      basic("100%", "raw"),
      [refused("exchangeCode", "invalid_request", 400), "URI malformed"]
    ]
  ]
  for (const [name, clientId, authentication, expected] of symmetric) {
    it.scoped(name, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* exchange(clientId, authentication), expected)
      }))
  }

  it.scoped("the error contains neither the secret nor its encodings", () =>
    Effect.gen(function*() {
      const client = yield* connect("basic-app", basic(wrong))
      const { callback, pending } = yield* approved(client)
      const error = yield* failed(client.exchange(callback, pending))
      const printed = `${error.message}${JSON.stringify(error)}${String(error)}`
      for (const secret of [wrong, btoa(`basic-app:${wrong}`), callback.searchParams.get("code") ?? ""]) {
        assert.notInclude(printed, secret)
      }
    }))

  it.scoped("a key of another client with the registered kid", () =>
    Effect.gen(function*() {
      const pair = yield* Effect.promise(() => jose.generateKeyPair("ES384"))
      const kid = vectorJwk("ES384", "public").kid
      const stranger = keys(SigningKeys.layerCryptoKey({ ...pair, kid }))
      assert.deepStrictEqual(yield* exchange("key-by-url-app", stranger), [
        invalidClient,
        "signature verification failed"
      ])
    }))

  it.scoped("[SMART-322] an unknown kid", () =>
    Effect.gen(function*() {
      for (const [clientId, name] of [["key-app", "RS384"], ["key-by-url-app", "ES384"]] as const) {
        assert.deepStrictEqual(
          yield* exchange(clientId, keys(vectorKeys(name, "unpublished-key"))),
          [invalidClient, "no applicable key found in the JSON Web Key Set"]
        )
      }
    }))

  it.scoped("[SMART-329] another audience", () =>
    Effect.gen(function*() {
      const elsewhere = keys(vectorKeys("RS384"), { profile: { audience: "https://other.example.test/token" } })
      assert.deepStrictEqual(yield* exchange("key-app", elsewhere), [
        invalidClient,
        "audience (aud) must equal the endpoint url, issuer identifier or token endpoint url"
      ])
    }))

  it.scoped("[SMART-330] an expired assertion", () =>
    Effect.gen(function*() {
      const clock = Clock.make()
      const hourAgo: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() - 3_600_000,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now - 3_600_000),
        currentTimeNanos: clock.currentTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      const late = Layer.map(keys(vectorKeys("RS384")), (context) => {
        const service = Context.get(context, ClientAuthentication.ClientAuthentication)
        return Context.make(ClientAuthentication.ClientAuthentication, {
          ...service,
          authenticate: (request) => Effect.withClock(service.authenticate(request), hourAgo)
        })
      })
      assert.deepStrictEqual(yield* exchange("key-app", late), [invalidClient, "jwt expired"])
    }))

  it.scoped("[SMART-332] a jti that was used before", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const stuck = SecureRandom.layer({ bytes: (count) => Effect.succeed(new Uint8Array(count).fill(7)) })
      const client = yield* connect("key-app", Layer.provide(keys(vectorKeys("RS384")), stuck))
      yield* login(client)
      const [again, forms] = yield* server.received(
        exchange("key-app", Layer.provide(keys(vectorKeys("RS384")), stuck))
      )
      assert.deepStrictEqual(again, [invalidClient, "client assertion tokens must only be used once"])
      assert.strictEqual(forms.length, 1)
    }))

  it.scoped("[SMART-319] an assertion that is sent twice", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const once = Layer.map(keys(vectorKeys("RS384")), (context) => {
        const service = Context.get(context, ClientAuthentication.ClientAuthentication)
        let first: string | undefined
        return Context.make(ClientAuthentication.ClientAuthentication, {
          ...service,
          authenticate: (request) =>
            Effect.map(service.authenticate(request), (made) => {
              const form = new URLSearchParams(
                made.body._tag === "Uint8Array" ? new TextDecoder().decode(made.body.body) : ""
              )
              first ??= form.get("client_assertion") ?? ""
              form.set("client_assertion", first)
              return HttpClientRequest.bodyUrlParams(made, form)
            })
        })
      })
      const client = yield* connect("key-app", once)
      const tokens = yield* login(client)
      const [error, forms] = yield* server.received(refusal(client.refresh(tokens)))
      assert.deepStrictEqual(error, [
        refused("refresh", "invalid_client", 401),
        "client assertion tokens must only be used once"
      ])
      assert.deepStrictEqual(forms.map(({ path }) => path), ["/token"])
    }))
})
