/**
 * The clients registered with the sandbox (SMART App Launch 2.2, "Register App with EHR"; RFC 7591 would be another way into this list).
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import type * as jose from "jose"

/**
 * How a client proves who it is, as registered; a request that uses another method is refused.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientAuthentication =
  | { readonly method: "none" }
  | { readonly method: "client_secret_basic" | "client_secret_post"; readonly secret: Redacted.Redacted<string> }
  | {
    readonly method: "private_key_jwt"
    /** The public keys themselves. */
    readonly jwks?: { readonly keys: ReadonlyArray<jose.JWK> } | undefined
    /** Where the public keys are; fetched through `Options.httpClient`, kept for as long as its `Cache-Control` allows. */
    readonly jwksUri?: string | undefined
  }

/**
 * A grant type a client may be registered for.
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
  /** What a person is shown; without it, the client id. */
  readonly name?: string | undefined
  /** Compared as strings, to the letter. */
  readonly redirectUris: ReadonlyArray<string>
  readonly launchUris?: ReadonlyArray<string> | undefined
  readonly authentication: ClientAuthentication
  /** The scopes it may be granted; without it, all that the sandbox has. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** Without it: `authorization_code` and `refresh_token`, and for a confidential client `client_credentials`. */
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
 * The secret of the symmetric client among `defaultClients`: a constant everybody may know.
 *
 * @since 0.1.0
 * @category models
 */
export const defaultClientSecret: Redacted.Redacted<string> = Redacted.make("sandbox-symmetric-secret")

/**
 * The clients of a sandbox that is told of none: `sandbox-public-app`, `sandbox-symmetric-app` (`client_secret_basic` with
 * `defaultClientSecret`) and `sandbox-backend` (the same, `client_credentials` only). Redirect URIs: `http://127.0.0.1:8000/callback`,
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
