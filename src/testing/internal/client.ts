/**
 * The clients registered with the sandbox (SMART App Launch 2.2, "Register App with EHR").
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import type * as jose from "jose"

/**
 * The registered authentication method of a client, with its credentials. A request with another method is refused.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientAuthentication =
  | { readonly method: "none" }
  | { readonly method: "client_secret_basic" | "client_secret_post"; readonly secret: Redacted.Redacted<string> }
  | {
    readonly method: "private_key_jwt"
    /** The public keys. */
    readonly jwks?: { readonly keys: ReadonlyArray<jose.JWK> } | undefined
    /** The URL of the public keys; fetched with `Options.httpClient`, cached as its `Cache-Control` allows. */
    readonly jwksUri?: string | undefined
  }
  | {
    /** Registered with `SandboxUdap`: `private_key_jwt` with a certificate of the community for this URI. */
    readonly method: "udap"
    readonly clientUri: string
    readonly community: string
  }

/**
 * A grant type of a registered client.
 *
 * @since 0.1.0
 * @category models
 */
export type GrantType = "authorization_code" | "refresh_token" | "client_credentials"

/**
 * A registered client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly clientId: string
  /** The name on the consent page (default: the client id). */
  readonly name?: string | undefined
  /** Compared as strings. */
  readonly redirectUris: ReadonlyArray<string>
  readonly launchUris?: ReadonlyArray<string> | undefined
  readonly authentication: ClientAuthentication
  /** The scopes it can be granted (default: all that the sandbox supports). */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** Default: `authorization_code`, `refresh_token`, and for a confidential client `client_credentials`. */
  readonly grantTypes?: ReadonlyArray<GrantType> | undefined
}

/** Whether the client may use a grant type. */
export const mayUse = (client: Client, grantType: GrantType): boolean =>
  client.grantTypes !== undefined
    ? client.grantTypes.includes(grantType)
    : grantType !== "client_credentials" || client.authentication.method !== "none"

const redirectUris: ReadonlyArray<string> = [
  "http://127.0.0.1:8000/callback",
  "http://localhost:8000/callback",
  "https://app.sandbox.test/callback"
]

const launchUris: ReadonlyArray<string> = ["http://127.0.0.1:8000/launch", "https://app.sandbox.test/launch"]

/**
 * The secret of the symmetric clients in `defaultClients`. It is public.
 *
 * @since 0.1.0
 * @category models
 */
export const defaultClientSecret: Redacted.Redacted<string> = Redacted.make("sandbox-symmetric-secret")

/**
 * The default clients: `sandbox-public-app`, `sandbox-symmetric-app` (`client_secret_basic` with `defaultClientSecret`)
 * and `sandbox-backend` (the same, `client_credentials` only). Redirect URIs: `http://127.0.0.1:8000/callback`,
 * `http://localhost:8000/callback` and `https://app.sandbox.test/callback`.
 *
 * @since 0.1.0
 * @category models
 */
export const defaultClients: ReadonlyArray<Client> = [
  { clientId: "sandbox-public-app", redirectUris, launchUris, authentication: { method: "none" } },
  {
    clientId: "sandbox-symmetric-app",
    redirectUris,
    launchUris,
    authentication: { method: "client_secret_basic", secret: defaultClientSecret }
  },
  {
    clientId: "sandbox-backend",
    redirectUris: [],
    authentication: { method: "client_secret_basic", secret: defaultClientSecret },
    grantTypes: ["client_credentials"]
  }
]
