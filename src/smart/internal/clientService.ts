/**
 * The steps of an app at one server: the service of `SmartClient`.
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type * as AuthorizationCallback from "../../launch/AuthorizationCallback.js"
import type { AuthorizationError } from "../../launch/AuthorizationError.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { MetadataError } from "../../server/MetadataError.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { IdTokenError } from "../../token/IdTokenError.js"
import type { Introspection } from "../../token/Introspection.js"
import type * as TokenEndpoint from "../../token/TokenEndpoint.js"
import type { TokenError } from "../../token/TokenError.js"
import type { TokenSet } from "../../token/TokenSet.js"
import type { UserInfo } from "../../token/UserInfo.js"
import type { Authorization, AuthorizeOptions } from "./buildAuthorization.js"
import type { Config, ScopeInput } from "./clientConfig.js"

/**
 * The steps of an app at one server, without state.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly name: string
  readonly config: Config
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Removes the metadata from the cache: the next step that needs it fetches it again. */
  readonly invalidate: Effect.Effect<void>
  /** The URL to send the browser to, and the data that `exchange` needs later. */
  readonly authorize: (
    options?: AuthorizeOptions
  ) => Effect.Effect<Authorization, DiscoveryError | ConfigurationError>
  /**
   * The tokens for a callback (its URL, query or parameters). The code is sent only after the callback is validated
   * against `pending`. If `openid` was granted, the id_token is verified before the tokens are returned.
   */
  readonly exchange: (
    callback: AuthorizationCallback.Callback,
    pending: PendingAuthorization
  ) => Effect.Effect<TokenSet, AuthorizationError | TokenError | IdTokenError | DiscoveryError | ConfigurationError>
  /**
   * New tokens for a refresh token. Members that the response does not repeat keep their values. An invalid id_token
   * is a warning; one with another `sub` is an `IdTokenError` (`SubjectChanged`) that holds the new tokens, redacted,
   * so that they can be revoked.
   */
  readonly refresh: (
    tokens: TokenSet,
    options?: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined }
  ) => Effect.Effect<TokenSet, TokenError | IdTokenError | DiscoveryError | ConfigurationError>
  /** The claims of the server's userinfo endpoint. The tokens must have a verified `identity`. */
  readonly userInfo: (
    tokens: TokenSet
  ) => Effect.Effect<UserInfo, TokenError | IdTokenError | MetadataError | DiscoveryError | ConfigurationError>
  /** The URL that logs the person out at the server; `None` if the server does not support it. */
  readonly logoutUrl: (
    tokens: TokenSet,
    options?: {
      /** Where the server sends the browser afterwards; it must be registered at the server. */
      readonly postLogoutRedirectUri?: string | undefined
      readonly state?: string | undefined
    }
  ) => Effect.Effect<Option.Option<Redacted.Redacted<URL>>, MetadataError | DiscoveryError | ConfigurationError>
  /** A token for the app itself (SMART Backend Services). `BackendServices` caches and renews it. */
  readonly clientCredentials: (
    options?: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined }
  ) => Effect.Effect<TokenSet, TokenError | DiscoveryError | ConfigurationError>
  readonly introspect: (
    token: Redacted.Redacted,
    options?: {
      readonly tokenTypeHint?: TokenEndpoint.TokenTypeHint | undefined
      readonly authorization?: TokenEndpoint.Authorization | undefined
    }
  ) => Effect.Effect<Introspection, TokenError | DiscoveryError | ConfigurationError>
  /** Revokes a token at the server. Revoking a refresh token ends the whole grant. */
  readonly revoke: (
    token: Redacted.Redacted,
    options?: { readonly tokenTypeHint?: TokenEndpoint.TokenTypeHint | undefined }
  ) => Effect.Effect<void, TokenError | DiscoveryError | ConfigurationError>
}
