import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, layer } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import {
  AuthorizationError,
  ClientAuthentication,
  FhirClient,
  PendingAuthorization,
  TokenEndpoint,
  TokenSet
} from "effect-safire"
import * as jose from "jose"
import { OidcProvider } from "../support/OidcProvider.js"
import {
  approved,
  connect,
  environment,
  failed,
  login,
  refreshTokenOf,
  refusal,
  refused,
  scopes,
  tokenError
} from "../support/oidcProviderApp.js"
import { redirectUri } from "../support/oidcProviderClients.js"
import { accountId, patientId } from "../support/oidcProviderConfiguration.js"

layer(environment(), { excludeTestServices: true })("a public app at oidc-provider", (it) => {
  it.scoped("goes from the base URL to the patient, and refreshes after expiry", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const fhir = yield* FhirClient.FhirClient
      const configuration = yield* client.configuration
      assert.strictEqual(configuration.issuer, server.issuer)
      assert.strictEqual(configuration.tokenEndpoint, server.metadata["token_endpoint"])

      const tokens = yield* login(client)
      assert.deepStrictEqual(tokens.scopes, scopes)
      assert.strictEqual(tokens.context.patient, patientId)
      assert.isFalse(TokenSet.isExpired(tokens, yield* DateTime.now, "9 minutes"))
      const patient = yield* fhir.forTokens(client, tokens).read("Patient", patientId)
      assert.deepStrictEqual(patient, { resourceType: "Patient", id: patientId })

      yield* server.expire(Redacted.value(tokens.accessToken))
      const late = yield* failed(fhir.forTokens(client, tokens).read("Patient", patientId))
      assert.deepStrictEqual([late.reason, late.status], ["Unauthorized", 401])

      const renewed = yield* client.refresh(tokens)
      const again = yield* fhir.forTokens(client, renewed).read("Patient", renewed.context.patient ?? "")
      assert.strictEqual(again["id"], patientId)
    }))

  it.scoped("[SMART-41] sends aud verbatim, and no launch in a standalone launch [SMART-36]", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      yield* approved(yield* connect())
      assert.deepStrictEqual(yield* server.lastLaunch, { aud: server.fhirBaseUrl, launch: undefined })
    }))

  it.scoped("[SMART-35] sends the launch of an EHR launch byte for byte", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const handle = "a+b/c=d&e%20f g?#é"
      const { pending } = yield* approved(yield* connect(), { launch: handle, iss: `${server.fhirBaseUrl}/` })
      assert.include(pending.scopes, "launch")
      assert.deepStrictEqual(yield* server.lastLaunch, { aud: `${server.fhirBaseUrl}/`, launch: handle })
    }))

  it.scoped("[SMART-63] [SMART-71] sends its client_id and no Authorization header at each step", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const [, forms] = yield* server.received(
        Effect.gen(function*() {
          const tokens = yield* client.exchange(callback, pending)
          const next = yield* client.refresh(tokens)
          yield* client.introspect(next.accessToken)
          yield* client.revoke(next.accessToken)
        })
      )
      assert.deepStrictEqual(forms.map(({ path }) => path), [
        "/token",
        "/token",
        "/token/introspection",
        "/token/revocation"
      ])
      assert.deepStrictEqual(forms.map(({ params }) => Object.keys(params).sort()), [
        ["client_id", "code", "code_verifier", "grant_type", "redirect_uri"],
        ["client_id", "grant_type", "refresh_token"],
        ["client_id", "token"],
        ["client_id", "token"]
      ])
      assert.isTrue(
        forms.every(({ authorization, params }) => authorization === undefined && params["client_id"] === "public-app")
      )
    }))

  it.scoped("[SMART-198] with openid, the identity comes from an id_token that the server's keys verify; without openid a login has no identity", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const http = yield* HttpClient.HttpClient
      const client = yield* connect()
      const tokens = yield* login(client)
      const jwks = yield* Effect.flatMap(http.get(server.metadata["jwks_uri"] ?? ""), (response) => response.text)
      const keys = jose.createLocalJWKSet(JSON.parse(jwks))
      const idToken = tokens.idToken === undefined ? "" : Redacted.value(tokens.idToken)
      const { payload } = yield* Effect.promise(() =>
        jose.jwtVerify(idToken, keys, { issuer: server.issuer, audience: "public-app" })
      )
      assert.strictEqual(payload.sub, accountId)
      assert.strictEqual(payload["fhirUser"], `${server.fhirBaseUrl}/Patient/${patientId}`)

      assert.deepStrictEqual([tokens.identity?.iss, tokens.identity?.sub], [server.issuer, accountId])
      assert.deepStrictEqual(tokens.identity?.fhirUser, {
        resourceType: "Patient",
        id: patientId,
        url: `${server.fhirBaseUrl}/Patient/${patientId}`,
        isLocal: true
      })
      const renewed = yield* client.refresh(tokens)
      assert.strictEqual(renewed.identity?.sub, accountId)
      assert.strictEqual((yield* client.userInfo(renewed)).sub, accountId)

      const without = yield* login(client, { scopes: ["patient/*.rs", "launch/patient"] })
      assert.isUndefined(without.idToken)
      assert.isUndefined(without.identity)
      assert.isUndefined(without.refreshToken)
    }))

  it.scoped("refuses an id_token with another nonce, which the error does not contain", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const nonce = Redacted.make("a-nonce-of-another-login")
      const error = yield* failed(
        client.exchange(callback, new PendingAuthorization.PendingAuthorization({ ...pending, nonce }))
      )
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "NonceMismatch")
      assert.notInclude(`${error.message}${JSON.stringify(error)}`, Redacted.value(nonce))
    }))

  it.scoped("[SMART-78] uses the granted scopes, not the requested ones", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client, { scopes: ["openid", "patient/*.rs", "patient/Unknown.scope"] })
      assert.deepStrictEqual(tokens.scopes, ["openid", "patient/*.rs"])
    }))

  it.scoped("an unknown app gets no callback", () =>
    Effect.gen(function*() {
      const client = yield* connect("unregistered-app")
      const error = yield* failed(approved(client))
      assert.deepStrictEqual([error._tag, "status" in error && error.status], ["WalkError", 400])
    }))

  const transports = { fetch: FetchHttpClient.layer, undici: NodeHttpClient.layerUndici, node: NodeHttpClient.layer }
  for (const [name, transport] of Object.entries(transports)) {
    it.scoped(`completes a launch over ${name}`, () =>
      Effect.gen(function*() {
        const client = yield* connect()
        const fhir = yield* FhirClient.make
        const tokens = yield* login(client)
        const renewed = yield* client.refresh(tokens)
        const patient = yield* fhir.forTokens(client, renewed).read("Patient", patientId)
        assert.strictEqual(patient["id"], patientId)
        const refusedRefresh = yield* refusal(client.refresh(tokens))
        assert.deepStrictEqual(refusedRefresh[0], refused("refresh", "invalid_grant", 400))
      }).pipe(Effect.provide(transport)))
  }
})

layer(environment(), { excludeTestServices: true })("the callback from oidc-provider", (it) => {
  const exchange = (change: (callback: URL) => void) =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const code = callback.searchParams.get("code") ?? ""
      change(callback)
      const [error, forms] = yield* server.received(failed(client.exchange(callback, pending)))
      assert.instanceOf(error, AuthorizationError)
      assert.deepStrictEqual(forms, [])
      assert.notInclude(error.message, code)
      return error.reason
    })

  it.scoped("a denied consent is AccessDenied, with the server's description", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { pending, url } = yield* client.authorize()
      const callback = yield* server.deny(url)
      const [error, forms] = yield* server.received(failed(client.exchange(callback, pending)))
      assert.instanceOf(error, AuthorizationError)
      assert.deepStrictEqual(
        [error.reason, error.error, error.errorDescription],
        ["AccessDenied", "access_denied", "the user denied access"]
      )
      assert.deepStrictEqual(forms, [])
    }))

  it.scoped("another error is Refused", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { pending, url } = yield* client.authorize()
      url.searchParams.set("code_challenge", "short")
      const callback = yield* server.approve(url)
      const error = yield* failed(client.exchange(callback, pending))
      assert.instanceOf(error, AuthorizationError)
      assert.deepStrictEqual([error.reason, error.error], ["Refused", "invalid_request"])
    }))

  it.scoped("has its issuer as iss (RFC 9207), as the metadata announce", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const { callback, pending } = yield* approved(yield* connect())
      assert.strictEqual(callback.searchParams.get("iss"), server.issuer)
      assert.deepStrictEqual([pending.issuer, pending.issuerPromised], [server.issuer, true])
    }))

  it.scoped("with another iss causes no token request", () =>
    Effect.gen(function*() {
      const reason = yield* exchange((callback) => callback.searchParams.set("iss", "https://other.example.test"))
      assert.strictEqual(reason, "IssuerMismatch")
    }))

  it.scoped("without the announced iss causes no token request", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* exchange((callback) => callback.searchParams.delete("iss")), "IssuerMissing")
    }))

  it.scoped("[SMART-60] with another state causes no token request", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* exchange((callback) => callback.searchParams.set("state", "another")), "StateMismatch")
    }))

  it.scoped("[SMART-60] without a state causes no token request", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* exchange((callback) => callback.searchParams.delete("state")), "StateMissing")
    }))

  it.scoped("of one launch does not complete another launch", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback } = yield* approved(client)
      const { pending } = yield* client.authorize()
      const error = yield* failed(client.exchange(callback, pending))
      assert.instanceOf(error, AuthorizationError)
      assert.strictEqual(error.reason, "StateMismatch")
    }))
})

layer(environment(), { excludeTestServices: true })("the token endpoint of oidc-provider refuses", (it) => {
  const invalidGrant = refused("exchangeCode", "invalid_grant", 400)

  /** The exchange of a good callback with something changed in what was kept. */
  const exchangeWith = (changes: Partial<PendingAuthorization.PendingAuthorization>) =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      return yield* refusal(
        client.exchange(callback, new PendingAuthorization.PendingAuthorization({ ...pending, ...changes }))
      )
    })

  it.scoped("[SMART-70] a wrong verifier", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* exchangeWith({ verifier: Redacted.make("x".repeat(43)) }),
        [invalidGrant, "code_verifier does not match code_challenge"]
      )
    }))

  it.scoped("[SMART-70] a verifier that is too short", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* exchangeWith({ verifier: Redacted.make("short") }),
        [
          refused("exchangeCode", "invalid_request", 400),
          "code_verifier must be a string with a minimum length of 43 characters"
        ]
      )
    }))

  it.scoped("[SMART-69] another redirect_uri", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* exchangeWith({ redirectUri: `${redirectUri}/` }), [
        invalidGrant,
        "authorization code redirect_uri mismatch"
      ])
    }))

  it.scoped("[SMART-68] a code that it did not issue, which the error does not contain", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      callback.searchParams.set("code", "never-issued-code")
      const error = yield* failed(client.exchange(callback, pending))
      assert.strictEqual(error._tag, "TokenError")
      assert.notInclude(`${error.message}${JSON.stringify(error)}`, "never-issued-code")
      assert.notInclude(JSON.stringify(error), Redacted.value(pending.verifier))
      assert.deepStrictEqual(yield* tokenError(Effect.fail(error)), invalidGrant)
    }))

  it.scoped("a code that is used twice, and revokes the tokens of the first use", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const tokens = yield* client.exchange(callback, pending)
      assert.isTrue(yield* server.isActive(Redacted.value(tokens.accessToken)))
      assert.deepStrictEqual(
        yield* refusal(client.exchange(callback, pending)),
        [invalidGrant, "authorization code already consumed"]
      )
      assert.isFalse(yield* server.isActive(Redacted.value(tokens.accessToken)))
    }))

  it.scoped("an expired code", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      yield* server.expire(callback.searchParams.get("code") ?? "")
      assert.deepStrictEqual(
        yield* refusal(client.exchange(callback, pending)),
        [invalidGrant, "authorization code is expired"]
      )
    }))

  it.scoped("the code of another client", () =>
    Effect.gen(function*() {
      const { callback, pending } = yield* approved(yield* connect())
      const other = yield* connect("other-public-app")
      assert.deepStrictEqual(yield* refusal(other.exchange(callback, pending)), [invalidGrant, "client mismatch"])
    }))

  it.scoped("an unknown client", () =>
    Effect.gen(function*() {
      const { callback, pending } = yield* approved(yield* connect())
      const stranger = yield* connect("unregistered-app")
      assert.deepStrictEqual(
        yield* refusal(stranger.exchange(callback, pending)),
        [refused("exchangeCode", "invalid_client", 401), "client not found"]
      )
    }))

  it.scoped("[SMART-229] client credentials for a public client, with the cause in the error", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      assert.deepStrictEqual(
        yield* refusal(client.clientCredentials({ scopes: ["system/*.rs"] })),
        [refused("clientCredentials", "invalid_request", 400), "requested grant type is not allowed for this client"]
      )
    }))

  it.scoped("once: the request is not repeated", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const [, forms] = yield* server.received(exchangeWith({ verifier: Redacted.make("x".repeat(43)) }))
      assert.strictEqual(forms.filter(({ path }) => path === "/token").length, 1)
    }))
})

layer(environment(), { excludeTestServices: true })("refresh at oidc-provider", (it) => {
  const invalidGrant = refused("refresh", "invalid_grant", 400)

  it.scoped("[SMART-117] rotates: the new refresh token replaces the old", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const next = yield* client.refresh(tokens)
      assert.notStrictEqual(Redacted.value(next.accessToken), Redacted.value(tokens.accessToken))
      assert.notStrictEqual(refreshTokenOf(next), refreshTokenOf(tokens))
      assert.strictEqual(next.context.patient, patientId)
      const third = yield* client.refresh(next)
      assert.notStrictEqual(refreshTokenOf(third), refreshTokenOf(next))
    }))

  it.scoped("a refresh token that was replaced is refused, and its use ends the whole family", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const tokens = yield* login(client)
      const next = yield* client.refresh(tokens)
      assert.deepStrictEqual(yield* refusal(client.refresh(tokens)), [invalidGrant, "refresh token already used"])
      assert.deepStrictEqual(yield* refusal(client.refresh(next)), [invalidGrant, "refresh token not found"])
      assert.isFalse(yield* server.isActive(Redacted.value(next.accessToken)))
    }))

  it.scoped("an expired refresh token is refused", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const tokens = yield* login(client)
      yield* server.expire(refreshTokenOf(tokens))
      assert.deepStrictEqual(yield* refusal(client.refresh(tokens)), [invalidGrant, "refresh token is expired"])
    }))

  it.scoped("the refresh token of another client is refused", () =>
    Effect.gen(function*() {
      const tokens = yield* login(yield* connect())
      const other = yield* connect("other-public-app")
      assert.deepStrictEqual(yield* refusal(other.refresh(tokens)), [invalidGrant, "client mismatch"])
    }))

  it.scoped("can request fewer scopes", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const less = yield* client.refresh(yield* login(client), { scopes: ["patient/*.rs"] })
      assert.deepStrictEqual(less.scopes, ["patient/*.rs"])
      assert.isDefined(less.idToken)
    }))

  it.scoped("a request for more scopes is refused by the client, without a request, and by the server", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const tokens = yield* login(client)
      const more = { scopes: ["patient/*.cruds"] }
      const [own, forms] = yield* server.received(failed(client.refresh(tokens, more)))
      assert.strictEqual(own._tag === "TokenError" ? own.reason : own._tag, "ScopeExceedsGrant")
      assert.deepStrictEqual(forms, [])
      const theirs = yield* refusal(
        client.refresh(new TokenSet.TokenSet({ ...tokens, scopes: [...scopes, "patient/*.cruds"] }), more)
      )
      assert.deepStrictEqual(theirs, [
        refused("refresh", "invalid_scope", 400),
        "refresh token missing requested scope"
      ])
    }))
})

layer(environment(), { excludeTestServices: true })("introspection and revocation at oidc-provider", (it) => {
  it.scoped("[SMART-272] [SMART-277] an active token has scopes, client, expiry, person and patient", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const tokens = yield* login(client)
      const introspection = yield* client.introspect(tokens.accessToken, { tokenTypeHint: "access_token" })
      assert.isTrue(introspection.active)
      assert.deepStrictEqual(introspection.scopes, scopes)
      assert.strictEqual(introspection.clientId, "public-app")
      assert.strictEqual(introspection.sub, accountId)
      assert.strictEqual(introspection.iss, server.issuer)
      assert.strictEqual(introspection.context.patient, patientId)
      assert.isDefined(introspection.expiresAt)
    }))

  it.scoped("[SMART-272] the server reports a token that it never issued, and one of another client, as inactive", () =>
    Effect.gen(function*() {
      const tokens = yield* login(yield* connect())
      const other = yield* connect("other-public-app")
      for (const token of [tokens.accessToken, Redacted.make("never-issued-token")]) {
        const introspection = yield* other.introspect(token)
        assert.deepStrictEqual([introspection.active, introspection.scopes], [false, []])
      }
    }))

  it.scoped("[SMART-282] a bearer token does not authorize an introspection here, and the error has the response of the server", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const error = yield* tokenError(client.introspect(tokens.accessToken, { authorization: tokens.accessToken }))
      assert.deepStrictEqual(error, refused("introspect", "invalid_request", 400))
    }))

  it.scoped("a revoked refresh token ends the grant, and revoking it again succeeds", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect()
      const tokens = yield* login(client)
      const token = Redacted.make(refreshTokenOf(tokens))
      yield* client.revoke(token, { tokenTypeHint: "refresh_token" })
      assert.isFalse(yield* server.isActive(Redacted.value(tokens.accessToken)))
      assert.deepStrictEqual(yield* tokenError(client.refresh(tokens)), refused("refresh", "invalid_grant", 400))
      yield* client.revoke(token)
      assert.isFalse((yield* client.introspect(tokens.accessToken)).active)
    }))

  it.scoped("the server accepts the revocation of a token that it never issued", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      assert.isUndefined(yield* client.revoke(Redacted.make("never-issued-token")))
    }))

  it.scoped("introspection and revocation refuse an unknown client", () =>
    Effect.gen(function*() {
      const stranger = yield* connect("unregistered-app")
      const token = Redacted.make("never-issued-token")
      assert.deepStrictEqual(
        yield* tokenError(stranger.introspect(token)),
        refused("introspect", "invalid_client", 401)
      )
      assert.deepStrictEqual(yield* tokenError(stranger.revoke(token)), refused("revoke", "invalid_client", 401))
    }))

  it.scoped("a URL without a token endpoint is an error with processed `no`", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const http = yield* HttpClient.HttpClient
      const endpoint = yield* Effect.provideService(TokenEndpoint.make, HttpClient.HttpClient, http)
      const client = yield* connect()
      const error = yield* tokenError(
        endpoint.clientCredentials({
          endpoint: `${server.issuer}/nothing-here`,
          clientId: client.config.clientId,
          authentication: ClientAuthentication.makePublic,
          allowInsecureLocalhost: true
        }, { scopes: ["system/*.rs"] })
      )
      assert.deepStrictEqual(error, refused("clientCredentials", undefined, 404))
    }))
})
