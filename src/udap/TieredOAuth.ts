/**
 * UDAP Tiered OAuth for users (UDAP Security STU2, section 6): the app names the identity provider at which the user
 * logs in; the data holder, not the app, talks to it. Choose a provider, pass `authorizeOptions` to `Sessions` or
 * `SmartClient.authorize`, and after `invalid_idp` offer the `others`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Url from "../base/Url.js"
import type { ClientAuthenticationError } from "../client/ClientAuthenticationError.js"
import type { AuthorizationError } from "../launch/AuthorizationError.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type * as SmartClient from "../smart/SmartClient.js"
import type { TrustError } from "./TrustError.js"
import { UdapDiscovery } from "./UdapDiscovery.js"
import type { UdapDiscoveryError } from "./UdapDiscoveryError.js"

/**
 * An identity provider that users can choose.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdentityProvider {
  /** Its base URL, which is exactly the `iss` of its id_tokens. */
  readonly url: string
  /** For the page on which the user chooses. */
  readonly name: string
}

/**
 * Scopes that an app registers for Tiered OAuth, besides its others.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scopes: ReadonlyArray<string> = ["udap", "openid"]

const unusable = (reason: "Conflict" | "Insecure" | "Invalid", field: string, detail: string, server?: string) =>
  configurationError(reason, [field], detail, server)

/**
 * The options of an authorization request by which the user logs in at `provider`: the parameter `idp`, and the scopes
 * `udap` and `openid`. Fails if the server does not support Tiered OAuth, or the URL is not https.
 *
 * @since 0.1.0
 * @category combinators
 */
export const authorizeOptions: {
  (
    provider: Pick<IdentityProvider, "url">
  ): (
    client: SmartClient.Service
  ) => Effect.Effect<SmartClient.AuthorizeOptions, ConfigurationError | DiscoveryError | ClientAuthenticationError>
  (
    client: SmartClient.Service,
    provider: Pick<IdentityProvider, "url">
  ): Effect.Effect<SmartClient.AuthorizeOptions, ConfigurationError | DiscoveryError | ClientAuthenticationError>
} = dual(
  2,
  (
    client: SmartClient.Service,
    { url }: Pick<IdentityProvider, "url">
  ): Effect.Effect<SmartClient.AuthorizeOptions, ConfigurationError | DiscoveryError | ClientAuthenticationError> =>
    Effect.gen(function*() {
      const parsed = Url.parse(url)
      if (parsed === undefined) return yield* unusable("Invalid", "idp", "give the base URL of the identity provider")
      if (!Url.isSecure(parsed, client.config.allowInsecureLocalhost ?? false)) {
        return yield* unusable("Insecure", "idp", "the URL of an identity provider is https")
      }
      const { extensions } = yield* client.configuration
      const profiles = extensions["udap_profiles_supported"]
      if (!Array.isArray(profiles) || !profiles.includes("udap_to")) {
        return yield* unusable(
          "Conflict",
          "idp",
          "the server does not support Tiered OAuth (udap_to); start the launch without an identity provider",
          client.name
        )
      }
      return { addScopes: scopes, params: { idp: url } }
    })
)

/**
 * Whether an authorization failed because the data holder does not accept the identity provider. A new launch with
 * another one, or without, may succeed (UDAP-244).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isProviderRefused = (error: AuthorizationError): boolean => error.reason === "InvalidIdentityProvider"

/**
 * The providers that are left after the data holder refused one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const others: {
  (refused: Pick<IdentityProvider, "url">): (
    providers: ReadonlyArray<IdentityProvider>
  ) => ReadonlyArray<IdentityProvider>
  (
    providers: ReadonlyArray<IdentityProvider>,
    refused: Pick<IdentityProvider, "url">
  ): ReadonlyArray<IdentityProvider>
} = dual(
  2,
  (providers: ReadonlyArray<IdentityProvider>, refused: Pick<IdentityProvider, "url">) =>
    providers.filter(({ url }) => url !== refused.url)
)

/**
 * Fails for an identity provider that a data holder cannot use: its UDAP metadata are missing, not trusted, or do not
 * list the scopes `openid` and `udap` (UDAP-235). For a list of providers, when the app starts.
 *
 * @since 0.1.0
 * @category predicates
 */
export const check = (
  provider: Pick<IdentityProvider, "url">,
  options?: { readonly community?: string | undefined; readonly allowInsecureLocalhost?: boolean | undefined }
): Effect.Effect<void, ConfigurationError | UdapDiscoveryError | TrustError, UdapDiscovery> =>
  Effect.gen(function*() {
    const discovery = yield* UdapDiscovery
    const { scopesSupported = [] } = yield* discovery.metadata(provider.url, options)
    const missing = scopes.filter((scope) => !scopesSupported.includes(scope))
    if (missing.length > 0) {
      return yield* unusable(
        "Conflict",
        "idp",
        `${Url.forDisplay(provider.url)} does not list the scopes ${missing.join(", ")}, which Tiered OAuth needs`
      )
    }
  })
