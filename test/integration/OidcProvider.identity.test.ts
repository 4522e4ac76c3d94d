import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { PendingAuthorization } from "effect-safire"
import { OidcProvider } from "../support/OidcProvider.js"
import { approved, connect, environment, login } from "../support/oidcProviderApp.js"
import { accountId, patientId } from "../support/oidcProviderConfiguration.js"

layer(environment(), { excludeTestServices: true })("the identity of the user at oidc-provider", (it) => {
  it.scoped("[SMART-201] [SMART-218] verifies the id_token, with the nonce that was sent", () =>
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

  it.scoped("[SMART-218] refuses the tokens of an id_token with the nonce of another launch", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { callback, pending } = yield* approved(client)
      const { pending: other } = yield* client.authorize()
      const error = yield* Effect.flip(
        client.exchange(callback, new PendingAuthorization.PendingAuthorization({ ...pending, nonce: other.nonce }))
      )
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "NonceMismatch")
    }))

  it.scoped("[SMART-210] refuses an algorithm that the app does not accept", () =>
    Effect.gen(function*() {
      const client = yield* connect("public-app", undefined, { idToken: { algorithms: ["RS256"] } })
      const error = yield* Effect.flip(login(client))
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "AlgorithmNotAllowed")
    }))

  it.scoped("keeps the identity after a refresh", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const renewed = yield* client.refresh(tokens)
      assert.strictEqual(renewed.identity?.sub, tokens.identity?.sub)
      assert.deepStrictEqual(renewed.identity?.fhirUser, tokens.identity?.fhirUser)
    }))

  it.scoped("[SMART-214] userinfo has the same subject; the server offers no logout", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client)
      const found = yield* client.userInfo(tokens)
      assert.strictEqual(found.sub, accountId)
      assert.isTrue(Option.isNone(yield* client.logoutUrl(tokens)))
    }))

  it.scoped("has no identity after a login without openid", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const tokens = yield* login(client, { scopes: ["launch/patient", "patient/*.rs"] })
      assert.isUndefined(tokens.identity)
    }))
})
