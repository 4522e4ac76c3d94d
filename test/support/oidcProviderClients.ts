/**
 * The configured clients of `oidc-provider`: one for each authentication method.
 */
import type { ClientMetadata } from "oidc-provider"
import { vectorJwk } from "./oidcProviderStore.js"

export const redirectUri = "https://app.example.test/callback"

/** A secret that form encoding does not change. */
export const plainSecret = "a-secret-of-plain-letters-0123456789"

/** A secret and a client id that the form encoding of RFC 6749 changes. */
export const specialSecret = "p@ss:w+rd/%20&=~ \"quoted\""
export const specialClientId = "https://app.example.test/basic"

/** The secret of the client with which the tests introspect tokens. */
export const adminSecret = "an-admin-secret-0123456789"

const app = (clientId: string, rest: Omit<ClientMetadata, "client_id">): ClientMetadata => ({
  client_id: clientId,
  redirect_uris: [redirectUri],
  response_types: ["code"],
  grant_types: ["authorization_code", "refresh_token"],
  ...rest
})

const background = (clientId: string, rest: Omit<ClientMetadata, "client_id">): ClientMetadata => ({
  client_id: clientId,
  redirect_uris: [],
  response_types: [],
  grant_types: ["client_credentials"],
  ...rest
})

export const clients = (issuer: string): ReadonlyArray<ClientMetadata> => [
  app("public-app", { token_endpoint_auth_method: "none" }),
  app("other-public-app", { token_endpoint_auth_method: "none" }),
  app("basic-app", { token_endpoint_auth_method: "client_secret_basic", client_secret: plainSecret }),
  app(specialClientId, { token_endpoint_auth_method: "client_secret_basic", client_secret: specialSecret }),
  app("post-app", { token_endpoint_auth_method: "client_secret_post", client_secret: specialSecret }),
  app("key-app", {
    token_endpoint_auth_method: "private_key_jwt",
    jwks: { keys: [vectorJwk("RS384", "public")] }
  }),
  app("key-by-url-app", {
    token_endpoint_auth_method: "private_key_jwt",
    jwks_uri: `${issuer}/keys/by-url`
  }),
  background("backend", { token_endpoint_auth_method: "client_secret_basic", client_secret: plainSecret }),
  background("key-backend", {
    token_endpoint_auth_method: "private_key_jwt",
    jwks_uri: `${issuer}/keys/by-url`,
    scope: "system/*.rs"
  }),
  background("admin", { token_endpoint_auth_method: "client_secret_basic", client_secret: adminSecret })
]
