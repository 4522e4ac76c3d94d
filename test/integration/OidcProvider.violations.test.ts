import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { OidcProvider } from "../support/OidcProvider.js"
import { environment } from "../support/oidcProviderApp.js"
import { plainSecret, redirectUri } from "../support/oidcProviderClients.js"
import type { Expected, Target } from "../support/violations.js"
import { freshTokens, observe, problemOf, violations } from "../support/violations.js"

const target: Effect.Effect<Target, never, OidcProvider> = Effect.map(OidcProvider, (server) => ({
  authorizationEndpoint: server.metadata["authorization_endpoint"] ?? "",
  tokenEndpoint: server.metadata["token_endpoint"] ?? "",
  publicClient: { clientId: "public-app", redirectUri },
  otherPublicClient: { clientId: "other-public-app", redirectUri },
  confidentialClient: { clientId: "basic-app", redirectUri, clientSecret: plainSecret },
  scope: "openid offline_access launch/patient patient/*.rs",
  authorizationParams: { aud: server.fhirBaseUrl },
  approve: server.approve
}))

/** oidc-provider refuses these with another error than RFC 6749: section 5.2 has `unauthorized_client` for this one. */
const otherwise: Readonly<Record<string, Expected>> = {
  "token: client_credentials by a public client": {
    kind: "token",
    answers: [{ status: 400, error: "invalid_request" }]
  }
}

layer(environment(), { excludeTestServices: true })("oidc-provider refuses", (it) => {
  it.scoped("the valid requests of the table are accepted", () =>
    Effect.gen(function*() {
      const tokens = yield* freshTokens(yield* target)
      assert.isNotEmpty(tokens.refresh_token)
    }))

  for (const violation of violations.filter(({ plainOAuth }) => plainOAuth)) {
    it.scoped(violation.name, () =>
      Effect.gen(function*() {
        const observed = yield* observe(violation, yield* target)
        assert.isUndefined(problemOf(otherwise[violation.name] ?? violation.expected, observed))
      }))
  }
})
