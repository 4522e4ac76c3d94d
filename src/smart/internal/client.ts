/**
 * The interface of a client at one server: its configuration, from code or from the environment, and its service.
 *
 * @since 0.1.0
 */
import * as EffectConfig from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { clientIdMissing, type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { flag, text } from "../../base/Settings.js"
import * as Url from "../../base/Url.js"
import type * as ClientAuthentication from "../../client/ClientAuthentication.js"
import type * as AuthorizationCallback from "../../launch/AuthorizationCallback.js"
import type { AuthorizationError } from "../../launch/AuthorizationError.js"
import type * as AuthorizationPost from "../../launch/AuthorizationPost.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import * as Scopes from "../../launch/Scopes.js"
import type { LegacyMetadata } from "../../server/LegacyMetadata.js"
import type { MetadataError } from "../../server/MetadataError.js"
import type { SmartConfiguration, StaticMetadata } from "../../server/SmartConfiguration.js"
import type * as IdToken from "../../token/IdToken.js"
import type { IdTokenError } from "../../token/IdTokenError.js"
import type { Introspection } from "../../token/Introspection.js"
import type * as TokenEndpoint from "../../token/TokenEndpoint.js"
import type { TokenError } from "../../token/TokenError.js"
import { scopesIn, type TokenSet } from "../../token/TokenSet.js"
import type { UserInfo } from "../../token/UserInfo.js"

/**
 * A scope as text or as a value of `Scopes`.
 *
 * @since 0.1.0
 * @category models
 */
export type ScopeInput = string | Scopes.Scope

/**
 * The configuration of an app at one server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config {
  /** The FHIR base URL, exactly as the server knows it. */
  readonly fhirBaseUrl: string
  /** As the server assigned it. Absent for a client that registers itself. */
  readonly clientId?: string | undefined
  /** Exactly as registered. Needed for `authorize`. */
  readonly redirectUri?: string | undefined
  /** The requested scopes, unless a call has its own. */
  readonly scopes?: ReadonlyArray<ScopeInput> | undefined
  /** `aud`, for servers that require another value than the FHIR base URL. */
  readonly audience?: string | undefined
  /** Accept `http` for `localhost`, `127.0.0.1` and `[::1]`. For development. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /**
   * The server's SMART configuration, for a server that does not publish one. The client then makes no discovery
   * request. Endpoints are absolute URLs.
   */
  readonly metadata?: StaticMetadata | undefined
  /**
   * The exact issuer identifier of the authorization server. A callback's `iss` must equal it (RFC 9207), and so must
   * the `iss` of id_tokens unless `idToken.issuer` is set. Configure it if the metadata has no issuer, or if two
   * servers claim the same one. Default: the issuer in the metadata.
   */
  readonly issuer?: string | undefined
  /**
   * For an old server without a SMART configuration: `LegacyMetadata.capabilityStatement` uses the deprecated
   * `oauth-uris` of its CapabilityStatement.
   */
  readonly legacyMetadata?: LegacyMetadata | undefined
  /** The name of the server in sessions, spans and errors. Default: `fhirBaseUrl`. */
  readonly name?: string | undefined
  /** The longest time between `authorize` and the callback. Default 30 minutes. */
  readonly authorizationMaxAge?: Duration.DurationInput | undefined
  /** Whether an exchange or a refresh with an unknown result is sent once more. Default true. */
  readonly retryUnknown?: boolean | undefined
  /**
   * The longest authorization URL; above it, `authorize` uses a form if the server supports that. Default 2,000
   * characters: gateways and proxies often refuse more than 2,048.
   */
  readonly maxAuthorizationUrlLength?: number | undefined
  /** Additional rules for id_tokens. */
  readonly idToken?: IdToken.Policy | undefined
  /**
   * Whether an open registry discovered this server: FHIR requests to it require an `HttpClient` with an address guard.
   *
   * @internal
   */
  readonly discovered?: boolean | undefined
}

/**
 * For an EHR launch, pass the result of `LaunchRequest.decode`. A standalone launch requests its context with the
 * scopes `launch/patient` or `launch/encounter` (requirements 150 to 153 and 166).
 *
 * @since 0.1.0
 * @category models
 */
export interface AuthorizeOptions {
  /** The `launch` parameter of an EHR launch, unchanged. Adds the `launch` scope (requirement 161). */
  readonly launch?: string | undefined
  /** The `iss` of an EHR launch: sent unchanged as `aud` (requirement 41). It must be this client's server. */
  readonly iss?: string | undefined
  /** Replaces the configured scopes. */
  readonly scopes?: ReadonlyArray<ScopeInput> | undefined
  /** Added to the scopes. */
  readonly addScopes?: ReadonlyArray<ScopeInput> | undefined
  /** Other parameters, such as `prompt` or `login_hint`. The parameters that this client sends itself cannot be set. */
  readonly params?: Readonly<Record<string, string>> | undefined
  /** Default `auto`: a form if the URL would be too long and the server has the capability `authorize-post`. */
  readonly method?: "auto" | "GET" | "POST" | undefined
}

/**
 * The URL to send the browser to, and the data to store until the callback arrives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorization {
  /** The authorization URL with its parameters. */
  readonly url: URL
  /** What `exchange` needs for the callback. Store it until then, as a secret: it has the PKCE verifier. */
  readonly pending: PendingAuthorization
  /** If present, serve its page (`AuthorizationPost.toHtml`) instead of redirecting to `url`. */
  readonly post: AuthorizationPost.AuthorizationPost | undefined
}

/**
 * The steps of an app at one server, without state.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `Config.name`, else the FHIR base URL: the name of the server in spans and errors. */
  readonly name: string
  /** The configuration that this client was made with. */
  readonly config: Config
  /** The cached SMART configuration. Fails with `DiscoveryError` if it cannot be fetched or used. */
  readonly configuration: Effect.Effect<SmartConfiguration, ClientAuthentication.EndpointsError>
  /** Removes the metadata from the cache: the next step that needs it fetches it again. */
  readonly invalidate: Effect.Effect<void>
  /** The URL to send the browser to, and the data that `exchange` needs later. */
  readonly authorize: (
    options?: AuthorizeOptions
  ) => Effect.Effect<Authorization, ClientAuthentication.EndpointsError | ConfigurationError>
  /**
   * The tokens for a callback (its URL, query or parameters). The code is sent only after the callback is validated
   * against `pending`. If `openid` was granted, the id_token is verified before the tokens are returned.
   */
  readonly exchange: (
    callback: AuthorizationCallback.Callback,
    pending: PendingAuthorization
  ) => Effect.Effect<
    TokenSet,
    AuthorizationError | TokenError | IdTokenError | ClientAuthentication.EndpointsError | ConfigurationError
  >
  /**
   * New tokens for a refresh token. Members that the response does not repeat keep their values. An invalid id_token
   * is a warning; one with another `sub` is an `IdTokenError` (`SubjectChanged`) that holds the new tokens, redacted,
   * so that they can be revoked.
   */
  readonly refresh: (
    tokens: TokenSet,
    options?: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined }
  ) => Effect.Effect<TokenSet, TokenError | IdTokenError | ClientAuthentication.EndpointsError | ConfigurationError>
  /** The claims of the server's userinfo endpoint. The tokens must have a verified `identity`. */
  readonly userInfo: (
    tokens: TokenSet
  ) => Effect.Effect<
    UserInfo,
    TokenError | IdTokenError | MetadataError | ClientAuthentication.EndpointsError | ConfigurationError
  >
  /** The URL that logs the person out at the server; `None` if the server does not support it. */
  readonly logoutUrl: (
    tokens: TokenSet,
    options?: {
      /** Where the server sends the browser afterwards; it must be registered at the server. */
      readonly postLogoutRedirectUri?: string | undefined
      readonly state?: string | undefined
    }
  ) => Effect.Effect<
    Option.Option<Redacted.Redacted<URL>>,
    MetadataError | ClientAuthentication.EndpointsError | ConfigurationError
  >
  /** A token for the app itself (SMART Backend Services). `BackendServices` caches and renews it. */
  readonly clientCredentials: (
    options?: {
      readonly scopes?: ReadonlyArray<ScopeInput> | undefined
      /** Authorization extension objects, for a client that authenticates by UDAP. */
      readonly extensions?: Readonly<Record<string, unknown>> | undefined
    }
  ) => Effect.Effect<TokenSet, TokenError | ClientAuthentication.EndpointsError | ConfigurationError>
  /**
   * The state of a token (RFC 7662; requirements 270 to 283). The request is authorized by the client's own
   * authentication, or by a bearer token in `authorization`. Fails with a `DiscoveryError` (`EndpointMissing`) if the
   * server has no introspection endpoint. An inactive token is a value with `active: false`.
   */
  readonly introspect: (
    token: Redacted.Redacted,
    options?: {
      readonly tokenTypeHint?: TokenEndpoint.TokenTypeHint | undefined
      readonly authorization?: TokenEndpoint.Authorization | undefined
    }
  ) => Effect.Effect<Introspection, TokenError | ClientAuthentication.EndpointsError | ConfigurationError>
  /** Revokes a token at the server. Revoking a refresh token ends the whole grant. */
  readonly revoke: (
    token: Redacted.Redacted,
    options?: { readonly tokenTypeHint?: TokenEndpoint.TokenTypeHint | undefined }
  ) => Effect.Effect<void, TokenError | ClientAuthentication.EndpointsError | ConfigurationError>
}

/**
 * An https URL, a loopback URL in development, or a private-use scheme in reverse-domain form (RFC 8252, section 7.1).
 */
const isRedirectUri = (url: URL, allowInsecureLocalhost: boolean): boolean =>
  Url.isSecure(url, allowInsecureLocalhost) || /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/.test(url.protocol)

/** The URLs of configured metadata that a client uses. */
const METADATA_URLS = [
  "authorizationEndpoint",
  "tokenEndpoint",
  "registrationEndpoint",
  "introspectionEndpoint",
  "revocationEndpoint",
  "jwksUri",
  "issuer"
] as const satisfies ReadonlyArray<keyof StaticMetadata>

/** One error with all invalid fields. */
const problemOf = (config: Config, name: string): ConfigurationError | undefined => {
  const insecureAllowed = config.allowInsecureLocalhost ?? false
  const invalid: Array<string> = []
  const insecure: Array<string> = []
  const base = FhirBaseUrl.parse(config.fhirBaseUrl)
  if (Either.isLeft(base)) invalid.push("fhirBaseUrl")
  else if (!Url.isSecure(new URL(base.right), insecureAllowed)) insecure.push("fhirBaseUrl")
  if (config.clientId === "") invalid.push("clientId")
  const given = METADATA_URLS.map((member) => [`metadata.${member}`, config.metadata?.[member]] as const)
  for (const [field, value] of [["issuer", config.issuer] as const, ...given]) {
    if (value === undefined) continue
    const url = Url.parse(value)
    if (url === undefined || Url.hasCredentials(url)) invalid.push(field)
    else if (!Url.isSecure(url, insecureAllowed)) insecure.push(field)
  }
  if (config.redirectUri !== undefined) {
    const redirectUri = Url.parse(config.redirectUri)
    if (redirectUri === undefined || config.redirectUri.includes("#") || Url.hasCredentials(redirectUri)) {
      invalid.push("redirectUri")
    } else if (!isRedirectUri(redirectUri, insecureAllowed)) insecure.push("redirectUri")
  }
  if (invalid.length > 0) {
    return configurationError(
      "Invalid",
      [...invalid, ...insecure],
      "URLs must be absolute, without fragment or credentials, and the client id not empty",
      name
    )
  }
  if (insecure.length > 0) {
    return configurationError(
      "Insecure",
      insecure,
      "only https is used; http needs a loopback host and allowInsecureLocalhost",
      name
    )
  }
  return undefined
}

/**
 * The authentication at the configured server. Fails if the client neither has a client id nor learns one.
 *
 * @internal
 */
export const forServer = (
  config: Config,
  authentication: ClientAuthentication.Service,
  name: string
): Effect.Effect<ClientAuthentication.Service, ConfigurationError> => {
  const bound = authentication.forServer?.({
    fhirBaseUrl: config.fhirBaseUrl,
    redirectUri: config.redirectUri,
    scopes: config.scopes?.map((scope) => typeof scope === "string" ? scope : Scopes.printScope(scope)),
    allowInsecureLocalhost: config.allowInsecureLocalhost
  }) ?? authentication
  return config.clientId === undefined && bound.clientId === undefined
    ? clientIdMissing(name)
    : Effect.succeed(bound)
}

/**
 * Fails if a client cannot use this configuration.
 *
 * @internal
 */
export const validate = (config: Config, name: string): Effect.Effect<void, ConfigurationError> => {
  const problem = problemOf(config, name)
  return problem === undefined ? Effect.void : Effect.fail(problem)
}

/**
 * The configuration of one client from the environment: `SMART_FHIR_BASE_URL`, `SMART_CLIENT_ID`, `SMART_REDIRECT_URI`,
 * `SMART_ISSUER`, `SMART_SCOPES` (separated by spaces) and `SMART_ALLOW_INSECURE_LOCALHOST`. For several servers, use
 * `SmartServers.layerConfig()`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const config: EffectConfig.Config<Config> = EffectConfig.all({
  fhirBaseUrl: EffectConfig.nonEmptyString("FHIR_BASE_URL"),
  clientId: EffectConfig.nonEmptyString("CLIENT_ID"),
  redirectUri: text("REDIRECT_URI"),
  issuer: text("ISSUER"),
  scopes: EffectConfig.map(text("SCOPES"), (scopes) => scopes === undefined ? undefined : scopesIn(scopes)),
  allowInsecureLocalhost: flag("ALLOW_INSECURE_LOCALHOST")
}).pipe(EffectConfig.nested("SMART"))
