import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import type { Target } from "../support/violations.js"
import { freshTokens, observe, problemOf, violations } from "../support/violations.js"

const redirectUri = "https://app.sandbox.test/callback"

const layer = SandboxEhr.layerHttpClient({
  clients: [
    ...SandboxEhr.defaultClients,
    { clientId: "other-public-app", redirectUris: [redirectUri], authentication: { method: "none" } }
  ]
})

const target: Effect.Effect<Target, never, SandboxEhr.SandboxEhr> = Effect.map(SandboxEhr.SandboxEhr, (ehr) => ({
  authorizationEndpoint: ehr.endpoints.authorization,
  tokenEndpoint: ehr.endpoints.token,
  publicClient: { clientId: "sandbox-public-app", redirectUri },
  otherPublicClient: { clientId: "other-public-app", redirectUri },
  confidentialClient: {
    clientId: "sandbox-symmetric-app",
    redirectUri,
    clientSecret: Redacted.value(SandboxEhr.defaultClientSecret)
  },
  scope: "openid offline_access launch/patient patient/*.rs",
  authorizationParams: { aud: ehr.fhirBaseUrl },
  approve: (url) => ehr.approve(url)
}))

describe("SandboxEhr rejects", () => {
  it("at least 30 violations", () => {
    assert.isAtLeast(violations.length, 30)
    assert.isAtLeast(violations.filter(({ plainOAuth }) => plainOAuth).length, 30)
    assert.strictEqual(new Set(violations.map(({ name }) => name)).size, violations.length)
  })

  it.effect("none of the valid requests that the violations change", () =>
    Effect.gen(function*() {
      const tokens = yield* freshTokens(yield* target)
      assert.match(tokens.refresh_token, /^sandbox_refresh_/)
    }).pipe(Effect.provide(layer)))

  for (const violation of violations) {
    it.effect(violation.name, () =>
      Effect.gen(function*() {
        const observed = yield* observe(violation, yield* target)
        assert.isUndefined(problemOf(violation.expected, observed, { exactly: true }))
      }).pipe(Effect.provide(layer)))
  }
})
