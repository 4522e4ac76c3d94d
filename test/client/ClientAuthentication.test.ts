import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/TestClock"
import * as jose from "jose"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import * as SecureRandom from "../../src/base/SecureRandom.js"
import * as ClientAssertion from "../../src/client/ClientAssertion.js"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as ClientAuthenticationConfig from "../../src/client/ClientAuthenticationConfig.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import { ec, jwk, pem, publicJwk, rsa, vector, verifies } from "./keys.js"

const endpoint = "https://ehr.test:8443/auth/token/"
const pair = ec()
const keys = SigningKeys.layerPem({ pem: pem(pair), kid: "k1" })

const form = (request: HttpClientRequest.HttpClientRequest): Record<string, string> =>
  Object.fromEntries(
    new URLSearchParams(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")
  )

const code = {
  grant_type: "authorization_code",
  code: Redacted.make("the-code"),
  redirect_uri: "https://app.test/callback",
  code_verifier: Redacted.make("v".repeat(43)),
  resource: undefined
}
const codeNames = ["code", "code_verifier", "grant_type", "redirect_uri"]

const authenticate = (
  changes: Partial<ClientAuthentication.UnauthenticatedRequest> = {}
) =>
  Effect.flatMap(
    ClientAuthentication.ClientAuthentication,
    (service) => service.authenticate({ endpoint, clientId: "my-app", params: code, ...changes })
  )

const secret = Redacted.make("my-app-secret-123")

const kinds = {
  none: ClientAuthentication.layerPublic,
  client_secret_basic: ClientAuthentication.layerClientSecretBasic({ clientSecret: secret }),
  client_secret_post: ClientAuthentication.layerClientSecretPost({ clientSecret: secret }),
  private_key_jwt: Layer.provide(ClientAuthentication.layerPrivateKeyJwt(), keys)
} as const

const expected = {
  none: { form: [...codeNames, "client_id"], authorization: false },
  client_secret_basic: { form: codeNames, authorization: true },
  client_secret_post: { form: [...codeNames, "client_id", "client_secret"], authorization: false },
  private_key_jwt: { form: [...codeNames, "client_assertion", "client_assertion_type"], authorization: false }
} as const

describe("ClientAuthentication", () => {
  for (const method of ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const) {
    it.effect(`[SMART-62 SMART-63 SMART-71 SMART-72 SMART-333] ${method} sends exactly its own parameters and headers`, () =>
      Effect.gen(function*() {
        const request = yield* authenticate()
        assert.strictEqual((yield* ClientAuthentication.ClientAuthentication).method, method)
        assert.strictEqual(request.method, "POST")
        assert.strictEqual(request.url, endpoint)
        assert.deepStrictEqual(Object.keys(form(request)).sort(), [...expected[method].form].sort())
        assert.deepStrictEqual(
          Object.keys(request.headers).sort(),
          [
            "accept",
            ...(expected[method].authorization ? ["authorization"] : []),
            "content-length",
            "content-type"
          ]
        )
        assert.deepStrictEqual([request.headers["accept"], request.headers["content-type"]], [
          "application/json",
          "application/x-www-form-urlencoded"
        ])
        assert.strictEqual(form(request)["code"], "the-code")
      }).pipe(Effect.provide(kinds[method])))
  }

  describe("client_secret_basic", () => {
    const header = (clientId: string, options: ClientAuthentication.BasicOptions) =>
      Effect.map(
        ClientAuthentication.makeClientSecretBasic(options).authenticate({ endpoint, clientId, params: {} }),
        ({ headers }) => headers["authorization"] ?? ""
      )
    const basic = (credentials: string) => `Basic ${Encoding.encodeBase64(credentials)}`

    it.effect("[SMART-64 SMART-66 SMART-345] sends the headers of the examples in the specification", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* header("my-app", { clientSecret: secret }), "Basic bXktYXBwOm15LWFwcC1zZWNyZXQtMTIz")
        assert.strictEqual(
          yield* header("demo_app_whatever", {
            clientSecret: Redacted.make("secret-key-1234567890"),
            encoding: "form"
          }),
          "Basic ZGVtb19hcHBfd2hhdGV2ZXI6c2VjcmV0LWtleS0xMjM0NTY3ODkw"
        )
      }))

    it.effect("[SMART-345] joins client id and secret raw, or form-encoded (RFC 6749)", () =>
      Effect.gen(function*() {
        const clientSecret = Redacted.make("p@ss word:+%é")
        assert.strictEqual(yield* header("https://app", { clientSecret }), basic("https://app:p@ss word:+%é"))
        assert.strictEqual(
          yield* header("https://app", { clientSecret, encoding: "form" }),
          basic("https%3A%2F%2Fapp:p%40ss+word%3A%2B%25%C3%A9")
        )
      }))
  })

  describe("a secret that is replaced", () => {
    it.effect("is read for every request", () =>
      Effect.gen(function*() {
        const ref = yield* Ref.make(Redacted.make("old"))
        const service = ClientAuthentication.makeClientSecretPost({ clientSecret: Ref.get(ref) })
        const sent = Effect.map(
          service.authenticate({ endpoint, clientId: "app", params: {} }),
          (request) => form(request)["client_secret"]
        )
        assert.strictEqual(yield* sent, "old")
        yield* Ref.set(ref, Redacted.make("new"))
        assert.strictEqual(yield* sent, "new")
      }))

    it.effect("fails with the error of the effect that reads it", () =>
      Effect.gen(function*() {
        const failure = new ConfigurationError({ reason: "Missing", fields: ["vault"], detail: "the vault is sealed" })
        const service = ClientAuthentication.makeClientSecretBasic({ clientSecret: Effect.fail(failure) })
        assert.strictEqual(
          yield* Effect.flip(service.authenticate({ endpoint, clientId: "app", params: {} })),
          failure
        )
      }))

    it.effect("sends the previous secret once, and only if it is configured", () =>
      Effect.gen(function*() {
        const off = ClientAuthentication.makeClientSecretBasic({ clientSecret: secret })
        assert.isUndefined(off.fallback)
        const on = ClientAuthentication.makeClientSecretPost({
          clientSecret: secret,
          previousSecret: Redacted.make("old")
        })
        assert.isUndefined(on.fallback?.fallback)
        const again = on.fallback === undefined
          ? {}
          : form(yield* on.fallback.authenticate({ endpoint, clientId: "app", params: {} }))
        assert.deepStrictEqual(again, { client_id: "app", client_secret: "old" })
        const basic = ClientAuthentication.makeClientSecretBasic({
          clientSecret: secret,
          previousSecret: Redacted.make("o+d"),
          encoding: "form"
        })
        const header = basic.fallback === undefined
          ? undefined
          : (yield* basic.fallback.authenticate({ endpoint, clientId: "a", params: {} })).headers["authorization"]
        assert.strictEqual(header, `Basic ${Encoding.encodeBase64("a:o%2Bd")}`)
      }))
  })

  describe("private_key_jwt", () => {
    const assertion = (changes?: Partial<ClientAuthentication.UnauthenticatedRequest>) =>
      Effect.map(authenticate(changes), (request) => form(request)["client_assertion"] ?? "")
    const provide = (
      options?: ClientAuthentication.PrivateKeyJwtOptions,
      signing: Layer.Layer<SigningKeys.SigningKeys, ConfigurationError> = keys
    ) => Effect.provide(Layer.provide(ClientAuthentication.layerPrivateKeyJwt(options), signing))

    it.effect("[SMART-327 SMART-329 SMART-330 SMART-334] sends an assertion for the endpoint, with times of the Clock service", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_700_000_000_500)
        const jwt = yield* assertion()
        assert.isTrue(yield* verifies(jwt, [{ ...publicJwk(pair), kid: "k1", alg: "ES384" }]))
        const { jti, ...claims } = jose.decodeJwt(jwt)
        assert.deepStrictEqual(claims, { iss: "my-app", sub: "my-app", aud: endpoint, exp: 1_700_000_240 })
        assert.match(jti ?? "", /^[\w-]{43}$/)
        assert.deepStrictEqual({ ...jose.decodeProtectedHeader(jwt) }, { alg: "ES384", kid: "k1", typ: "JWT" })
        assert.strictEqual(
          form(yield* authenticate())["client_assertion_type"],
          "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        )
      }).pipe(provide()))

    it.effect("[SMART-319 SMART-233 SMART-332] every request has its own jti", () =>
      Effect.gen(function*() {
        const jtis = yield* Effect.replicateEffect(Effect.map(assertion(), (jwt) => jose.decodeJwt(jwt).jti), 200)
        assert.strictEqual(new Set(jtis).size, 200)
      }).pipe(provide()))

    it.effect("takes the jti from SecureRandom", () =>
      Effect.gen(function*() {
        assert.strictEqual(jose.decodeJwt(yield* assertion()).jti, "A".repeat(43))
      }).pipe(
        provide(),
        Effect.provide(SecureRandom.layer({ bytes: (count) => Effect.succeed(new Uint8Array(count)) }))
      ))

    it.effect("[SMART-331] an assertion has the configured lifetime", () =>
      Effect.gen(function*() {
        assert.strictEqual(jose.decodeJwt(yield* assertion()).exp, 300)
      }).pipe(provide({ lifetime: "5 minutes" })))

    it.effect("[SMART-331] cannot be built with a lifetime over five minutes", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(provide({ lifetime: "301 seconds" })(assertion()))
        assert.deepStrictEqual([error.reason, ...error.fields], ["Invalid", "lifetime"])
      }))

    it.effect("[SMART-301 SMART-324 SMART-325] sends the registered JWKS URL unchanged as jku", () =>
      Effect.gen(function*() {
        assert.strictEqual(jose.decodeProtectedHeader(yield* assertion()).jku, "https://app.test/jwks.json?v=1")
      }).pipe(provide({ jwksUri: "https://app.test/jwks.json?v=1" })))

    it.effect("[SMART-302] refuses a jku that is not https", () =>
      Effect.gen(function*() {
        const reason = (options: ClientAuthentication.PrivateKeyJwtOptions) =>
          Effect.map(Effect.flip(provide(options)(assertion())), (error) => `${error.reason} ${error.fields.join()}`)
        assert.strictEqual(yield* reason({ jwksUri: "http://app.test/jwks" }), "Insecure jwksUri")
        assert.strictEqual(yield* reason({ jwksUri: "http://localhost/jwks" }), "Insecure jwksUri")
        assert.strictEqual(yield* reason({ jwksUri: "/jwks" }), "Invalid jwksUri")
        const local = { jwksUri: "http://localhost/jwks", allowInsecureLocalhost: true }
        assert.isNotEmpty(yield* provide(local)(assertion()))
      }))

    it.effect("uses the configured profile", () =>
      Effect.gen(function*() {
        const jwt = yield* assertion()
        const { jti: _jti, ...claims } = jose.decodeJwt(jwt)
        assert.deepStrictEqual(claims, { iss: "my-app", sub: "my-app", aud: "https://ehr.test", exp: 240, iat: 0 })
        assert.strictEqual(jose.decodeProtectedHeader(jwt).typ, "client-authentication+jwt")
      }).pipe(provide({ profile: ClientAssertion.strict("https://ehr.test") })))

    it.effect("[SMART-320] signs with an algorithm that the server accepts; `signingAlgs` takes precedence over the server's metadata", () =>
      Effect.gen(function*() {
        const both = SigningKeys.layerPem({ pem: pem(rsa()), kid: "rsa" }, { pem: pem(pair), kid: "ec" })
        const alg = (options?: ClientAuthentication.PrivateKeyJwtOptions, signingAlgs?: ReadonlyArray<string>) =>
          Effect.map(
            provide(options, both)(assertion({ signingAlgs })),
            (jwt) => jose.decodeProtectedHeader(jwt).alg
          )
        assert.strictEqual(yield* alg(), "RS384")
        assert.strictEqual(yield* alg({}, ["ES384"]), "ES384")
        assert.strictEqual(yield* alg({ signingAlgs: ["ES384"] }, ["RS384"]), "ES384")
        const error = yield* Effect.flip(alg({}, ["PS384"]))
        assert.strictEqual(error.reason, "Conflict")
      }))
  })

  describe("layerConfig", () => {
    const run = (entries: Readonly<Record<string, string>>) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => {
          lines.push(String(message))
        })
        const provider = ConfigProvider.fromMap(new Map(Object.entries(entries)), { pathDelim: "_" })
        const request = yield* Effect.flatMap(ClientAuthentication.ClientAuthentication, (service) =>
          Effect.map(service.authenticate({ endpoint, clientId: "app", params: {} }), (request) => ({
            method: service.method,
            request
          }))).pipe(
            Effect.provide(ClientAuthenticationConfig.layer.pipe(
              Layer.provide(Logger.replace(Logger.defaultLogger, logger)),
              Layer.provide(Layer.setConfigProvider(provider))
            ))
          )
        return { ...request, lines }
      })
    const failure = (entries: Readonly<Record<string, string>>) =>
      Effect.map(
        Effect.flip(run(entries)),
        (error) => error instanceof ConfigurationError ? [error.reason, ...error.fields] : ["another error"]
      )
    const pemText = Redacted.value(pem(pair))

    it.effect("[SMART-12] without variables it is a public client, and logs so", () =>
      Effect.gen(function*() {
        const { lines, method, request } = yield* run({
          SMART_CLIENT_SECRET: "",
          SMART_PRIVATE_KEY: " ",
          SMART_KEY_ID: ""
        })
        assert.strictEqual(method, "none")
        assert.deepStrictEqual(form(request), { client_id: "app" })
        assert.deepStrictEqual(lines, [
          "this client authenticates by none: neither SMART_CLIENT_SECRET nor SMART_PRIVATE_KEY is set"
        ])
      }))

    it.effect("[SMART-343 SMART-345] with SMART_CLIENT_SECRET it is a symmetric client", () =>
      Effect.gen(function*() {
        const { lines, method, request } = yield* run({ SMART_CLIENT_SECRET: "canary-secret" })
        assert.strictEqual(method, "client_secret_basic")
        assert.strictEqual(request.headers["authorization"], `Basic ${Encoding.encodeBase64("app:canary-secret")}`)
        assert.deepStrictEqual(lines, ["this client authenticates by client_secret_basic: SMART_CLIENT_SECRET is set"])
      }))

    it.effect("SMART_CLIENT_SECRET_ENCODING selects how id and secret are joined", () =>
      Effect.gen(function*() {
        const sent = (encoding: string) =>
          Effect.map(
            run({ SMART_CLIENT_SECRET: "a:b c", SMART_CLIENT_SECRET_ENCODING: encoding }),
            ({ request }) => request.headers["authorization"]
          )
        for (const raw of ["raw", "", " "]) {
          assert.strictEqual(yield* sent(raw), `Basic ${Encoding.encodeBase64("app:a:b c")}`)
        }
        assert.strictEqual(yield* sent("form"), `Basic ${Encoding.encodeBase64("app:a%3Ab+c")}`)
        assert.deepStrictEqual(
          yield* failure({ SMART_CLIENT_SECRET: "secret", SMART_CLIENT_SECRET_ENCODING: "base64" }),
          ["Invalid", "SMART_CLIENT_SECRET_ENCODING"]
        )
        assert.deepStrictEqual(yield* failure({ SMART_CLIENT_SECRET_ENCODING: "form" }), [
          "Missing",
          "SMART_CLIENT_SECRET"
        ])
      }))

    it.effect("[SMART-334] with a PEM key it is an asymmetric client", () =>
      Effect.gen(function*() {
        const { lines, method, request } = yield* run({
          SMART_PRIVATE_KEY: pemText,
          SMART_KEY_ID: "env",
          SMART_JWKS_URI: "https://app.test/jwks"
        })
        assert.strictEqual(method, "private_key_jwt")
        assert.deepStrictEqual({ ...jose.decodeProtectedHeader(form(request)["client_assertion"] ?? "") }, {
          alg: "ES384",
          kid: "env",
          typ: "JWT",
          jku: "https://app.test/jwks"
        })
        assert.deepStrictEqual(lines, ["this client authenticates by private_key_jwt: SMART_PRIVATE_KEY is set"])
      }))

    it.effect("[SMART-334] with a JWK or a JWK Set it is an asymmetric client", () =>
      Effect.gen(function*() {
        const kid = (text: string) =>
          Effect.map(
            run({ SMART_PRIVATE_KEY: text }),
            ({ request }) => jose.decodeProtectedHeader(form(request)["client_assertion"] ?? "").kid
          )
        assert.strictEqual(yield* kid(vector("RS384.private.json")), "eee9f17a3b598fd86417a980b591fbe6")
        assert.strictEqual(yield* kid(JSON.stringify({ ...jwk(pair), kid: "own" })), "own")
      }))

    it.effect("the error names the variables that conflict, are missing or are wrong", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* failure({ SMART_CLIENT_SECRET: "s", SMART_PRIVATE_KEY: pemText }), [
          "Conflict",
          "SMART_CLIENT_SECRET",
          "SMART_PRIVATE_KEY"
        ])
        assert.deepStrictEqual(yield* failure({ SMART_KEY_ID: "k" }), ["Missing", "SMART_PRIVATE_KEY"])
        assert.deepStrictEqual(
          yield* failure({ SMART_JWKS_URI: "https://app.test/jwks", SMART_CLIENT_SECRET: "s" }),
          ["Missing", "SMART_PRIVATE_KEY"]
        )
        assert.deepStrictEqual(yield* failure({ SMART_PRIVATE_KEY: "hello" }), ["BadKey", "SMART_PRIVATE_KEY"])
        const http = { SMART_PRIVATE_KEY: pemText, SMART_JWKS_URI: "http://localhost/jwks" }
        assert.deepStrictEqual(yield* failure(http), ["Insecure", "SMART_JWKS_URI"])
        assert.strictEqual((yield* run({ ...http, SMART_ALLOW_INSECURE_LOCALHOST: "true" })).method, "private_key_jwt")
      }))
  })

  it.effect("two clients in one program send only their own credentials", () =>
    Effect.gen(function*() {
      const send = (clientSecret: string) =>
        Effect.map(authenticate(), (request) => form(request)["client_secret"]).pipe(
          Effect.provide(ClientAuthentication.layerClientSecretPost({ clientSecret: Redacted.make(clientSecret) }))
        )
      assert.deepStrictEqual(
        yield* Effect.all([send("a"), send("b"), send("a")], { concurrency: "unbounded" }),
        ["a", "b", "a"]
      )
    }))
})
