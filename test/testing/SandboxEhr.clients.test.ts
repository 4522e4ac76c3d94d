import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as jose from "jose"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import type { Fields } from "../support/rawApp.js"
import { authorizationUrl, get, login, post, redirectUri, refresh, verifier } from "../support/rawApp.js"

const basic = (id: string, secret: string) => ({ authorization: `Basic ${Encoding.encodeBase64(`${id}:${secret}`)}` })

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const now = 1_700_000_000

describe("SandboxEhr client authentication", () => {
  const secret = "p@ss:word+%/ é"
  const layer = SandboxEhr.layerHttpClient({
    clients: [
      ...SandboxEhr.defaultClients,
      {
        clientId: "https://special.sandbox.test/app",
        redirectUris: [redirectUri],
        authentication: { method: "client_secret_basic", secret: Redacted.make(secret) }
      },
      {
        clientId: "post-app",
        redirectUris: [redirectUri],
        authentication: { method: "client_secret_post", secret: Redacted.make(secret) },
        scopes: ["system/Observation.rs"]
      }
    ]
  })
  const credentials = (headers: Readonly<Record<string, string>>, fields: Fields = {}) =>
    Effect.flatMap(
      SandboxEhr.SandboxEhr,
      (ehr) => post(ehr.endpoints.token, { grant_type: "client_credentials", scope: "system/*.rs", ...fields }, headers)
    )

  it.effect("[SMART-345] accepts Basic credentials verbatim and form-encoded as in RFC 6749", () =>
    Effect.gen(function*() {
      const raw = yield* credentials(basic("https://special.sandbox.test/app", secret))
      assert.strictEqual(raw.status, 200)
      const encode = (value: string) => new URLSearchParams({ v: value }).toString().slice(2)
      const encoded = yield* credentials(basic(encode("https://special.sandbox.test/app"), encode(secret)))
      assert.strictEqual(encoded.status, 200)
    }).pipe(Effect.provide(layer)))

  it.effect("sends a challenge only to a client that used the Authorization header", () =>
    Effect.gen(function*() {
      const wrong = yield* credentials(basic("sandbox-symmetric-app", "wrong"))
      assert.deepStrictEqual([wrong.status, wrong.headers["www-authenticate"]], [401, "Basic realm=\"sandbox\""])
      const scheme = yield* credentials({ authorization: "Bearer abc" })
      assert.deepStrictEqual([scheme.status, scheme.body["error"]], [401, "invalid_client"])
      const form = yield* credentials({}, { client_id: "post-app", client_secret: "wrong" })
      assert.deepStrictEqual([form.status, form.headers["www-authenticate"]], [401, undefined])
    }).pipe(Effect.provide(layer)))

  it.effect("accepts client_secret_post only from a client registered for it", () =>
    Effect.gen(function*() {
      const good = yield* credentials({}, {
        client_id: "post-app",
        client_secret: secret,
        scope: "system/Observation.r system/Patient.rs"
      })
      assert.deepStrictEqual([good.status, good.body["scope"]], [200, "system/Observation.r"])
      const byHeader = yield* credentials(basic("post-app", secret))
      assert.strictEqual(byHeader.status, 401)
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-256] issues a backend service a short-lived token without a refresh token, limited to its system scopes", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* credentials(basic("sandbox-backend", Redacted.value(SandboxEhr.defaultClientSecret)), {
        scope: "system/Patient.rs"
      })
      assert.hasAllKeys(body, ["access_token", "token_type", "expires_in", "scope"])
      assert.strictEqual(body["expires_in"], 300)
      const patients = yield* get(`${ehr.fhirBaseUrl}/Patient`, body["access_token"])
      assert.strictEqual(patients.body["total"], 3)
      const conditions = yield* get(`${ehr.fhirBaseUrl}/Condition`, body["access_token"])
      assert.strictEqual(conditions.status, 403)
    }).pipe(Effect.provide(layer)))

  it.effect("rejects a grant type that the client is not registered for", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const headers = basic("sandbox-backend", Redacted.value(SandboxEhr.defaultClientSecret))
      const answer = yield* post(ehr.endpoints.token, { grant_type: "refresh_token", refresh_token: "x" }, headers)
      assert.deepStrictEqual([answer.status, answer.body["error"]], [400, "unauthorized_client"])
    }).pipe(Effect.provide(layer)))
})

// ---------------------------------------------------------------------------------------------------------------------
// private_key_jwt
// ---------------------------------------------------------------------------------------------------------------------

interface Keys {
  readonly ec: jose.CryptoKey
  readonly rsa: jose.CryptoKey
  readonly rs256: jose.CryptoKey
  readonly stranger: jose.CryptoKey
  readonly jwks: { readonly keys: ReadonlyArray<jose.JWK> }
}

const pair = (alg: string) => Effect.promise(() => jose.generateKeyPair(alg))

const publicJwk = (key: jose.CryptoKey, kid: string) =>
  Effect.map(Effect.promise(() => jose.exportJWK(key)), (jwk) => ({ ...jwk, kid }))

const makeKeys: Effect.Effect<Keys> = Effect.gen(function*() {
  const ec = yield* pair("ES384")
  const rsa = yield* pair("RS384")
  const rs256 = yield* pair("RS256")
  const stranger = yield* pair("ES384")
  const keys = yield* Effect.all([
    publicJwk(ec.publicKey, "ec"),
    publicJwk(rsa.publicKey, "rsa"),
    publicJwk(rs256.publicKey, "rs256"),
    publicJwk(ec.publicKey, "twin"),
    publicJwk(stranger.publicKey, "twin")
  ])
  return {
    ec: ec.privateKey,
    rsa: rsa.privateKey,
    rs256: rs256.privateKey,
    stranger: stranger.privateKey,
    jwks: { keys }
  }
})

interface AssertionParts {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly key?: "rsa" | "rs256" | "stranger"
}

const assertion = (keys: Keys, endpoint: string, parts: AssertionParts = {}): Effect.Effect<string> =>
  Effect.promise(() =>
    new jose.SignJWT({
      iss: "jwt-app",
      sub: "jwt-app",
      aud: endpoint,
      exp: now + 240,
      jti: globalThis.crypto.randomUUID(),
      ...parts.claims
    }).setProtectedHeader({ alg: "ES384", kid: "ec", typ: "JWT", ...parts.header }).sign(
      parts.key === undefined ? keys.ec : keys[parts.key]
    )
  )

const jwtClient = (authentication: SandboxEhr.ClientAuthentication): SandboxEhr.Client => ({
  clientId: "jwt-app",
  redirectUris: [redirectUri],
  authentication
})

const send = (jwt: string, fields: Fields = {}) =>
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) =>
    post(ehr.endpoints.token, {
      grant_type: "client_credentials",
      scope: "system/*.rs",
      client_assertion_type: assertionType,
      client_assertion: jwt,
      ...fields
    }))

const wrongAssertions: ReadonlyArray<readonly [name: string, parts: AssertionParts]> = [
  ["[SMART-320] another algorithm", { header: { alg: "RS256", kid: "rs256" }, key: "rs256" }],
  ["[SMART-323] another typ", { header: { typ: "client-authentication+jwt" } }],
  ["[SMART-323] no typ", { header: { typ: undefined } }],
  ["[SMART-322] no kid", { header: { kid: undefined } }],
  ["[SMART-322] a kid that the client did not register", { header: { kid: "unknown" } }],
  ["[SMART-322] a kid that two keys have", { header: { kid: "twin" } }],
  ["[SMART-322] the kid of a key of another type", { header: { kid: "rsa" } }],
  ["[SMART-324] a jku that is not registered", { header: { jku: "https://evil.sandbox.test/jwks" } }],
  ["a signature by another key", { key: "stranger" }],
  ["[SMART-327] an iss that is not sub", { claims: { iss: "someone-else" } }],
  ["[SMART-328] no sub", { claims: { sub: undefined } }],
  ["[SMART-327] an unknown client", { claims: { iss: "unknown-client", sub: "unknown-client" } }],
  ["[SMART-329] another aud", { claims: { aud: "https://ehr.sandbox.test/auth" } }],
  ["[SMART-329] aud as a list", { claims: { aud: ["https://ehr.sandbox.test/auth/token"] } }],
  ["[SMART-329] aud with a slash more", { claims: { aud: "https://ehr.sandbox.test/auth/token/" } }],
  ["[SMART-330] no exp", { claims: { exp: undefined } }],
  ["[SMART-330] an exp that has passed", { claims: { exp: now } }],
  ["[SMART-330] an exp more than five minutes ahead", { claims: { exp: now + 301 } }],
  ["[SMART-330] an exp with a fraction", { claims: { exp: now + 100.5 } }],
  ["an nbf in the future", { claims: { nbf: now + 10 } }],
  ["[SMART-332] no jti", { claims: { jti: undefined } }]
]

describe("SandboxEhr private_key_jwt", () => {
  const withKeys = <A, E>(
    use: (keys: Keys, endpoint: string) => Effect.Effect<A, E, SandboxEhr.SandboxEhr | HttpClient.HttpClient>
  ) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const keys = yield* makeKeys
      const ehr = SandboxEhr.layerHttpClient({
        clients: [jwtClient({ method: "private_key_jwt", jwks: keys.jwks })]
      })
      return yield* Effect.flatMap(SandboxEhr.SandboxEhr, ({ endpoints }) => use(keys, endpoints.token)).pipe(
        Effect.provide(ehr)
      )
    })

  it.effect("[SMART-308] [SMART-309] accepts RS384 and ES384", () =>
    withKeys((keys, endpoint) =>
      Effect.gen(function*() {
        const es384 = yield* send(yield* assertion(keys, endpoint))
        assert.strictEqual(es384.status, 200)
        const jwt = yield* assertion(keys, endpoint, { header: { alg: "RS384", kid: "rsa" }, key: "rsa" })
        assert.strictEqual((yield* send(jwt)).status, 200)
      })
    ))

  it.effect("[SMART-319] accepts an assertion once", () =>
    withKeys((keys, endpoint) =>
      Effect.gen(function*() {
        const jwt = yield* assertion(keys, endpoint)
        assert.strictEqual((yield* send(jwt)).status, 200)
        assert.strictEqual((yield* send(jwt)).status, 401)
        const again = yield* assertion(keys, endpoint, { claims: { jti: "same" } })
        const other = yield* assertion(keys, endpoint, { claims: { jti: "same", exp: now + 200 } })
        assert.strictEqual((yield* send(again)).status, 200)
        assert.strictEqual((yield* send(other)).body["error"], "invalid_client")
      })
    ))

  it.effect("rejects each invalid assertion with the error that names its fault", () =>
    withKeys((keys, endpoint) =>
      Effect.forEach(wrongAssertions, ([name, parts]) =>
        Effect.gen(function*() {
          const answer = yield* send(yield* assertion(keys, endpoint, parts))
          assert.deepStrictEqual([name, answer.status, answer.body["error"]], [name, 401, "invalid_client"])
          assert.strictEqual((yield* send(yield* assertion(keys, endpoint))).status, 200)
        }), { discard: true })
    ))

  it.effect("rejects another client_assertion_type, text that is not a JWT, and client_id beside an assertion", () =>
    withKeys((keys, endpoint) =>
      Effect.gen(function*() {
        const type = yield* send(yield* assertion(keys, endpoint), { client_assertion_type: "jwt" })
        assert.strictEqual(type.status, 401)
        assert.strictEqual((yield* send("not.a.jwt")).status, 401)
        const both = yield* send(yield* assertion(keys, endpoint), { client_id: "jwt-app" })
        assert.deepStrictEqual([both.status, both.body["error"]], [400, "invalid_request"])
      })
    ))

  it.effect("fetches a JWKS by URL and caches it as its Cache-Control allows", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const keys = yield* makeKeys
      let fetched = 0
      const httpClient = HttpClient.make((request) =>
        Effect.sync(() => {
          fetched += 1
          return HttpClientResponse.fromWeb(
            request,
            Response.json(keys.jwks, { headers: { "cache-control": "public, max-age=60" } })
          )
        })
      )
      const jwksUri = "https://app.sandbox.test/jwks.json"
      const sendOne = Effect.gen(function*() {
        const { endpoints } = yield* SandboxEhr.SandboxEhr
        const { status } = yield* send(yield* assertion(keys, endpoints.token, { header: { jku: jwksUri } }))
        assert.strictEqual(status, 200)
      })
      yield* Effect.gen(function*() {
        yield* sendOne
        yield* sendOne
        assert.strictEqual(fetched, 1)
        yield* TestClock.adjust("60 seconds")
        yield* sendOne
        assert.strictEqual(fetched, 2)
      }).pipe(Effect.provide(
        SandboxEhr.layerHttpClient({ clients: [jwtClient({ method: "private_key_jwt", jwksUri })], httpClient })
      ))
    }))

  it.effect("[SMART-295] rejects a client that registered its private key", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(now * 1000)
      const extractable = yield* Effect.promise(() => jose.generateKeyPair("ES384", { extractable: true }))
      const jwk = yield* publicJwk(extractable.privateKey, "ec")
      const keys = yield* makeKeys
      yield* Effect.gen(function*() {
        const { endpoints } = yield* SandboxEhr.SandboxEhr
        const answer = yield* send(yield* assertion({ ...keys, ec: extractable.privateKey }, endpoints.token))
        assert.deepStrictEqual([answer.status, answer.body["error_description"]], [
          401,
          "the registered key is a private key"
        ])
      }).pipe(Effect.provide(
        SandboxEhr.layerHttpClient({ clients: [jwtClient({ method: "private_key_jwt", jwks: { keys: [jwk] } })] })
      ))
    }))

  it.effect("completes a user's launch", () =>
    withKeys((keys, endpoint) =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const callback = yield* ehr.approve(yield* authorizationUrl("launch/patient", { client_id: "jwt-app" }))
        const answer = yield* send(yield* assertion(keys, endpoint), {
          grant_type: "authorization_code",
          scope: undefined,
          code: callback.searchParams.get("code") ?? "",
          redirect_uri: redirectUri,
          code_verifier: verifier
        })
        assert.strictEqual(answer.body["patient"], "patient-alpha")
      })
    ))
})

describe("SandboxEhr introspection and revocation", () => {
  const layer = SandboxEhr.layerHttpClient()
  const symmetric = basic("sandbox-symmetric-app", Redacted.value(SandboxEhr.defaultClientSecret))

  it.effect("[SMART-272] [SMART-277] introspects for a confidential client and for a request with a bearer token", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* login("openid fhirUser offline_access launch/patient patient/*.rs")
      const token = String(body["access_token"])
      const byClient = yield* post(ehr.endpoints.introspection, { token }, symmetric)
      assert.deepInclude(byClient.body, {
        active: true,
        client_id: "sandbox-public-app",
        scope: "openid fhirUser offline_access launch/patient patient/*.rs",
        exp: 300,
        patient: "patient-alpha",
        iss: ehr.issuer,
        fhirUser: `${ehr.fhirBaseUrl}/Practitioner/practitioner-one`
      })
      const byBearer = yield* post(ehr.endpoints.introspection, { token }, { authorization: `Bearer ${token}` })
      assert.deepStrictEqual(byBearer.body, byClient.body)
      const refreshToken = yield* post(ehr.endpoints.introspection, { token: String(body["refresh_token"]) }, symmetric)
      assert.strictEqual(refreshToken.body["active"], true)
      yield* TestClock.adjust("5 minutes")
      const expired = yield* post(ehr.endpoints.introspection, { token }, symmetric)
      assert.deepStrictEqual(expired.body, { active: false })
      const bearer = yield* post(ehr.endpoints.introspection, { token }, { authorization: `Bearer ${token}` })
      assert.deepStrictEqual([bearer.status, bearer.body["error"]], [401, "invalid_token"])
    }).pipe(Effect.provide(layer)))

  it.effect("rejects introspection with a public client's client_id alone", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const answer = yield* post(ehr.endpoints.introspection, { token: "x", client_id: "sandbox-public-app" })
      assert.deepStrictEqual([answer.status, answer.body["error"]], [401, "invalid_client"])
    }).pipe(Effect.provide(layer)))

  it.effect("revokes a token for its own client; an unknown token succeeds", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* login("offline_access patient/*.rs")
      const token = String(body["refresh_token"])
      const client_id = "sandbox-public-app"
      const foreign = yield* post(ehr.endpoints.revocation, { token }, symmetric)
      assert.deepStrictEqual([foreign.status, foreign.body["error"]], [400, "invalid_request"])
      const missing = yield* post(ehr.endpoints.revocation, { client_id })
      assert.strictEqual(missing.body["error"], "invalid_request")
      assert.strictEqual((yield* post(ehr.endpoints.revocation, { token: "made-up", client_id })).status, 200)
      assert.strictEqual((yield* post(ehr.endpoints.revocation, { token, client_id })).status, 200)
      assert.strictEqual((yield* refresh(token)).body["error"], "invalid_grant")
      const patient = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])
      assert.strictEqual(patient.status, 401)
    }).pipe(Effect.provide(Layer.fresh(layer))))
})
