import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { PendingAuthorization } from "effect-safire"
import { OidcProvider } from "../support/OidcProvider.js"
import { approved, connect, environment, login } from "../support/oidcProviderApp.js"
import { accountId, patientId } from "../support/oidcProviderConfiguration.js"

layer(environment(), { excludeTestServices: true })("who logged in, at oidc-provider", (it) => {
  it.scoped("[SMART-201] [SMART-218] its id_token is verified, with the nonce that was sent", () =>
    Effect.gen(function*() {
      const server = yield* OidcProvider
      const client = yield* connect("public-app", undefined, { idToken: { nonce: "required", algorithms: ["ES256"] } })
      const { callback, pending } = yield* approved(client)
      const { identity } = yield* client.exchange(callback, pending)
      assert.strictEqual(identity?.iss, server.issuer)
      assert.strictEqual(identity?.sub, accountId)
      assert.deepStrictEqual(identity?.fhirUser, {
        resourceType: "Patient",
        id: patientId,
        url: `${server.fhirBaseUrl}/Patient/${patientId}`,
        isLocal: true
      })
      const claims = identity === undefined ? {} : Redacted.value(identity.claims)
      assert.strictEqual(claims["nonce"], pending.nonce === undefined ? "" : Redacted.value(pending.nonce))
      assert.strictEqual(claims["aud"], "public-app")
    }))

  it.scoped("[SMART-218] a nonce of another launch is refused, and with it the tokens", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const { pending: other } = yield* client.authorize()
      const error = yield* Effect.flip(
        client.exchange(callback, new PendingAuthorization.PendingAuthorization({ ...pending, nonce: other.nonce }))
      )
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "NonceMismatch")
    }))

  it.scoped("[SMART-210] an algorithm that the app does not accept is refused", () =>
    Effect.gen(function*() {
      const client = yield* connect("public-app", undefined, { idToken: { algorithms: ["RS256"] } })
      const error = yield* Effect.flip(login(client))
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "AlgorithmNotAllowed")
    }))

  it.scoped("the person stays the same over a refresh", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const renewed = yield* client.refresh(tokens)
      assert.strictEqual(renewed.identity?.sub, tokens.identity?.sub)
      assert.deepStrictEqual(renewed.identity?.fhirUser, tokens.identity?.fhirUser)
    }))

  it.scoped("[SMART-214] userinfo is about the same person; logout is not offered", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const found = yield* client.userInfo(tokens)
      assert.strictEqual(found.sub, accountId)
      assert.isTrue(Option.isNone(yield* client.logoutUrl(tokens)))
    }))

  it.scoped("a login without openid gives no identity", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client, { scopes: ["launch/patient", "patient/*.rs"] })
      assert.isUndefined(tokens.identity)
    }))
})
