import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { ClientAuthentication, FhirClient, SigningKeys, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as jose from "jose"
import { joinWithSteps } from "./support/eventually.js"

/**
 * A public, a symmetric and an asymmetric app differ in one layer only: the same test for every `ClientAuthentication`.
 */

const clientSecret = Redacted.make("a secret of 24 characters")
const redirectUri = "https://app.sandbox.test/callback"

const keyPair = (alg: "RS384" | "ES384") =>
  Effect.promise(async () => {
    const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true })
    const named = { kid: `the-${alg}-key`, alg }
    return {
      jwk: { ...(await jose.exportJWK(privateKey)), ...named },
      jwks: { keys: [{ ...(await jose.exportJWK(publicKey)), ...named }] }
    }
  })

interface Kind {
  readonly name: string
  readonly registered: SandboxEhr.Client["authentication"]
  readonly layer: Layer.Layer<ClientAuthentication.ClientAuthentication, unknown>
  /** What it adds to each form, and whether it sends an Authorization header. */
  readonly adds: ReadonlyArray<string>
  readonly authorization: boolean
}

const kinds: Effect.Effect<ReadonlyArray<Kind>> = Effect.gen(function*() {
  const [rs384, es384] = yield* Effect.all([keyPair("RS384"), keyPair("ES384")])
  const asymmetric = (name: string, { jwk, jwks }: Effect.Effect.Success<ReturnType<typeof keyPair>>): Kind => ({
    name,
    registered: { method: "private_key_jwt", jwks },
    layer: ClientAuthentication.layerPrivateKeyJwt().pipe(
      Layer.provide(SigningKeys.layerJwk({ jwk: Redacted.make(JSON.stringify(jwk)) }))
    ),
    adds: ["client_assertion", "client_assertion_type"],
    authorization: false
  })
  return [
    {
      name: "public",
      registered: { method: "none" },
      layer: ClientAuthentication.layerPublic,
      adds: ["client_id"],
      authorization: false
    },
    {
      name: "client_secret_basic",
      registered: { method: "client_secret_basic", secret: clientSecret },
      layer: ClientAuthentication.layerClientSecretBasic({ clientSecret }),
      adds: [],
      authorization: true
    },
    {
      name: "client_secret_basic, form-encoded",
      registered: { method: "client_secret_basic", secret: clientSecret },
      layer: ClientAuthentication.layerClientSecretBasic({ clientSecret, encoding: "form" }),
      adds: [],
      authorization: true
    },
    {
      name: "client_secret_post",
      registered: { method: "client_secret_post", secret: clientSecret },
      layer: ClientAuthentication.layerClientSecretPost({ clientSecret }),
      adds: ["client_id", "client_secret"],
      authorization: false
    },
    asymmetric("private_key_jwt, RS384", rs384),
    asymmetric("private_key_jwt, ES384", es384)
  ]
})

const walk = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const client = yield* SmartClient.SmartClient
  const fhir = yield* FhirClient.FhirClient
  const { pending, url } = yield* client.authorize()
  const tokens = yield* client.exchange(yield* ehr.approve(url), pending)
  yield* TestClock.adjust("10 minutes")
  const renewed = yield* client.refresh(tokens)
  const patient = yield* fhir.forTokens(client, renewed).read("Patient", renewed.context.patient ?? "")
  assert.strictEqual(patient["id"], tokens.context.patient)
  assert.isTrue((yield* client.introspect(renewed.accessToken, { authorization: renewed.accessToken })).active)
  yield* client.revoke(renewed.refreshToken ?? renewed.accessToken)
  assert.isFalse(
    (yield* client.introspect(renewed.accessToken, {
      authorization: (yield* client.refresh(
        yield* Effect.flatMap(
          client.authorize(),
          ({ pending, url }) => Effect.flatMap(ehr.approve(url), (callback) => client.exchange(callback, pending))
        )
      )).accessToken
    })).active
  )
  return yield* ehr.requests
})

const run = <A, E, R>(kind: Kind, self: Effect.Effect<A, E, R>) =>
  self.pipe(
    Effect.provide(Layer.mergeAll(
      SmartClient.layer({
        fhirBaseUrl: "https://ehr.sandbox.test/fhir",
        clientId: "the-app",
        redirectUri,
        scopes: ["launch/patient", "patient/*.rs", "offline_access"]
      }),
      FhirClient.layer
    )),
    Effect.provide(kind.layer),
    Effect.provide(SandboxEhr.layerHttpClient({
      clients: [{ clientId: "the-app", redirectUris: [redirectUri], authentication: kind.registered }]
    }))
  )

const CODE = ["code", "code_verifier", "grant_type", "redirect_uri"]
const REFRESH = ["grant_type", "refresh_token"]
const REVOKE = ["token"]

describe("every kind of client", () => {
  it.effect("[SMART-63] [SMART-67] [SMART-71] [SMART-72] [SMART-105] [SMART-333] [SMART-334] a whole launch sends exactly the parameters of its kind", () =>
    Effect.gen(function*() {
      for (const kind of yield* kinds) {
        const requests = yield* run(kind, walk)
        const posted = requests.filter(({ path }) => /\/(token|revoke)$/.test(path))
        assert.isAtLeast(posted.length, 5, kind.name)
        for (const { form = {}, headers, path } of posted) {
          const own = path.endsWith("/revoke") ? REVOKE : form["grant_type"] === "refresh_token" ? REFRESH : CODE
          assert.deepStrictEqual(Object.keys(form).sort(), [...own, ...kind.adds].sort(), `${kind.name} ${path}`)
          assert.strictEqual(headers["authorization"] !== undefined, kind.authorization, `${kind.name} ${path}`)
        }
      }
    }))

  it.effect("[SMART-319] each attempt of a request has its own assertion", () =>
    Effect.gen(function*() {
      const kind = (yield* kinds)[4]!
      const requests = yield* run(
        kind,
        Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const client = yield* SmartClient.SmartClient
          const { pending, url } = yield* client.authorize()
          const callback = yield* ehr.approve(url)
          yield* ehr.fault("token", SandboxEhr.Fault.status(503), 2)
          // The assertions are signed in other threads, between the waits.
          yield* joinWithSteps(yield* Effect.fork(client.exchange(callback, pending)))
          return yield* ehr.requests
        })
      )
      const assertions = requests.flatMap(({ form }) => form?.["client_assertion"] ?? [])
      assert.strictEqual(assertions.length, 3)
      assert.strictEqual(new Set(assertions.map((jwt) => jose.decodeJwt(jwt).jti)).size, 3)
      for (const jwt of assertions) assert.strictEqual(jose.decodeJwt(jwt).aud, "https://ehr.sandbox.test/auth/token")
    }))

  it.effect("the previous secret is sent after invalid_client, only if it is configured", () =>
    Effect.gen(function*() {
      const registered = { method: "client_secret_basic", secret: clientSecret } as const
      const kind = (previousSecret: Redacted.Redacted | undefined): Kind => ({
        name: "rolled over",
        registered,
        layer: ClientAuthentication.layerClientSecretBasic({
          clientSecret: Redacted.make("the next secret"),
          previousSecret
        }),
        adds: [],
        authorization: true
      })
      const grant = Effect.flatMap(
        SmartClient.SmartClient,
        (client) => client.clientCredentials({ scopes: ["system/*.rs"] })
      )
      const tokens = yield* run(kind(clientSecret), grant)
      assert.isTrue(Redacted.isRedacted(tokens.accessToken))
      const refused = yield* Effect.flip(run(kind(undefined), grant))
      assert.propertyVal(refused, "error", "invalid_client")
    }))

  it.effect("[SMART-320] signs with an algorithm that the server accepts, or fails with a typed error", () =>
    Effect.gen(function*() {
      const ehr = { metadata: { token_endpoint_auth_signing_alg_values_supported: ["ES384"] } }
      const [rs384, es384] = yield* Effect.all([keyPair("RS384"), keyPair("ES384")])
      const clientWith = (...keys: ReadonlyArray<typeof rs384>) =>
        Effect.flatMap(SmartClient.SmartClient, (client) => client.clientCredentials({ scopes: ["system/*.rs"] })).pipe(
          Effect.provide(SmartClient.layer({ fhirBaseUrl: "https://ehr.sandbox.test/fhir", clientId: "the-app" })),
          Effect.provide(ClientAuthentication.layerPrivateKeyJwt()),
          Effect.provide(
            SigningKeys.layerJwk({ jwk: Redacted.make(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })) })
          ),
          Effect.provide(SandboxEhr.layerHttpClient({
            ...ehr,
            clients: [{
              clientId: "the-app",
              redirectUris: [redirectUri],
              authentication: { method: "private_key_jwt", jwks: { keys: keys.flatMap(({ jwks }) => jwks.keys) } }
            }]
          }))
        )
      assert.isTrue(Redacted.isRedacted((yield* clientWith(rs384, es384)).accessToken))
      const error = yield* Effect.flip(clientWith(rs384))
      assert.strictEqual(error._tag, "ConfigurationError")
      assert.include(error.message, "ES384")
    }))
})
