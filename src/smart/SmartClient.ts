/**
 * One app at one server, the whole walk: metadata, authorization request, callback, tokens, refresh (SMART App Launch 2.2). Stateless: what has to
 * be kept between its steps is handed to the caller.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as SecureRandom from "../base/SecureRandom.js"
import * as Span from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import { AuthorizationError } from "../launch/AuthorizationError.js"
import type * as AuthorizationPost from "../launch/AuthorizationPost.js"
import type { PendingAuthorization } from "../launch/PendingAuthorization.js"
import * as Pkce from "../launch/Pkce.js"
import * as Scopes from "../launch/Scopes.js"
import * as Discovery from "../server/Discovery.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type { MetadataError } from "../server/MetadataError.js"
import * as OpenIdConfiguration from "../server/OpenIdConfiguration.js"
import type { Endpoint, SmartConfiguration } from "../server/SmartConfiguration.js"
import { endpoint, fromSettings } from "../server/SmartConfiguration.js"
import * as IdToken from "../token/IdToken.js"
import type { IdTokenError } from "../token/IdTokenError.js"
import type { Introspection } from "../token/Introspection.js"
import * as TokenEndpoint from "../token/TokenEndpoint.js"
import type { Operation } from "../token/TokenError.js"
import { TokenError } from "../token/TokenError.js"
import type { TokenSet } from "../token/TokenSet.js"
import { grantOf, whyNoRefreshToken } from "../token/TokenSet.js"
import type { UserInfo } from "../token/UserInfo.js"
import * as Authorizing from "./internal/buildAuthorization.js"
import type { Config, ScopeInput } from "./internal/clientConfig.js"
import { config, validate } from "./internal/clientConfig.js"
import * as MixUp from "./internal/mixUp.js"
import * as identification from "./internal/verifyIdentity.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type Config,
  /**
   * @since 0.1.0
   * @category constructors
   */
  config,
  /**
   * @since 0.1.0
   * @category models
   */
  type ScopeInput
} from "./internal/clientConfig.js"

/**
 * An EHR launch is `authorize(launch)` with what `LaunchRequest.decode` gave. A standalone launch asks for its context with scopes, `launch/patient` or
 * `launch/encounter` (requirements 150 to 153 and 166).
 *
 * @since 0.1.0
 * @category models
 */
export interface AuthorizeOptions {
  /** The handle of an EHR launch, byte for byte. Asks for the `launch` scope, too (requirement 161). */
  readonly launch?: string | undefined
  /** The `iss` of an EHR launch: sent verbatim as `aud` (requirement 41). It must be this client's server. */
  readonly iss?: string | undefined
  /** Instead of the configured scopes. */
  readonly scopes?: ReadonlyArray<ScopeInput> | undefined
  /** Beside them. */
  readonly addScopes?: ReadonlyArray<ScopeInput> | undefined
  /** Whatever else the server understands, such as `prompt` or `login_hint`. What this client sends itself cannot be set. */
  readonly params?: Readonly<Record<string, string>> | undefined
  /** Default `auto`: a form where the URL would be too long and the server has the capability `authorize-post`, else the URL. */
  readonly method?: "auto" | "GET" | "POST" | undefined
}

/**
 * Where to send the person, and what to keep until they return.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorization {
  readonly url: URL
  readonly pending: PendingAuthorization
  /** Where it is there, serve its page instead of redirecting to `url`. */
  readonly post: AuthorizationPost.AuthorizationPost | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly name: string
  readonly config: Config
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Forgets the metadata: the next step that needs it fetches it anew. */
  readonly invalidate: Effect.Effect<void>
  /** Where to send the person, and what to keep until they return. */
  readonly authorize: (
    options?: AuthorizeOptions
  ) => Effect.Effect<Authorization, DiscoveryError | ConfigurationError>
  /**
   * The callback, whole, for the tokens. Nothing is sent unless the callback is the answer to `pending`; where `openid` was granted, who logged in is
   * verified before anybody sees the tokens.
   */
  readonly exchange: (
    callback: AuthorizationCallback.Callback,
    pending: PendingAuthorization
  ) => Effect.Effect<TokenSet, AuthorizationError | TokenError | IdTokenError | DiscoveryError | ConfigurationError>
  /**
   * New tokens for old. What the answer does not repeat is taken from the old ones. A bad id_token is a warning; one of somebody else is an
   * `IdTokenError` (`SubjectChanged`) that holds the new tokens, redacted, so that they can be revoked.
   */
  readonly refresh: (
    tokens: TokenSet,
    options?: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined }
  ) => Effect.Effect<TokenSet, TokenError | IdTokenError | DiscoveryError | ConfigurationError>
  /** What the server's userinfo endpoint says of the person who logged in. Needs a verified `identity`. */
  readonly userInfo: (
    tokens: TokenSet
  ) => Effect.Effect<UserInfo, TokenError | IdTokenError | MetadataError | DiscoveryError | ConfigurationError>
  /** Where to send the browser to log out at the server, too; none where the server does not offer it. */
  readonly logoutUrl: (
    tokens: TokenSet,
    options?: {
      /** Where the person goes afterwards; it must be registered at the server. */
      readonly postLogoutRedirectUri?: string | undefined
      readonly state?: string | undefined
    }
  ) => Effect.Effect<Option.Option<Redacted.Redacted<URL>>, MetadataError | DiscoveryError | ConfigurationError>
  /** A token for the app itself (SMART Backend Services). Not cached here. */
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
  /** Tells the server that a token, or with a refresh token the whole grant, is no longer wanted. */
  readonly revoke: (
    token: Redacted.Redacted,
    options?: { readonly tokenTypeHint?: TokenEndpoint.TokenTypeHint | undefined }
  ) => Effect.Effect<void, TokenError | DiscoveryError | ConfigurationError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SmartClient extends Context.Tag("effect-safire/SmartClient")<SmartClient, Service>() {}

/**
 * What clients share: stateless, or a cache that should be one.
 *
 * @since 0.1.0
 * @category models
 */
export type Dependencies =
  | Discovery.Discovery
  | Pkce.Pkce
  | TokenEndpoint.TokenEndpoint
  | IdToken.IdToken
  | OpenIdConfiguration.OpenIdConfiguration

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: Config
): Effect.Effect<Service, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  makeAmong(config, MixUp.alone)

/**
 * A client that knows the other servers of its registry.
 *
 * @internal
 */
export const makeAmong = (
  config: Config,
  peers: MixUp.Peers
): Effect.Effect<Service, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  Effect.gen(function*() {
    const name = config.name ?? config.fhirBaseUrl
    // What is no base URL may hold credentials.
    yield* validate(config, config.name ?? Url.forDisplay(config.fhirBaseUrl))
    const authentication: ClientAuthentication.Service = yield* ClientAuthentication.ClientAuthentication
    const discovery = yield* Discovery.Discovery
    const pkce = yield* Pkce.Pkce
    const tokenEndpoint = yield* TokenEndpoint.TokenEndpoint
    const idTokens = yield* IdToken.IdToken
    const openId = yield* OpenIdConfiguration.OpenIdConfiguration
    const random = yield* SecureRandom.SecureRandom
    const warnings = yield* ConformanceWarnings
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)

    const warn = (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) =>
      warnings.report(new ConformanceWarning({ ...warning, server: name }))

    /** What every step runs in: the settings given to this client's layer, and a span that says which server. */
    const step = (span: string) => {
      const spanned = Span.span(span, { attributes: { "smart.server": name } })
      return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> => spanned(withLimits(withPolicy(self)))
    }

    const insecure = { allowInsecureLocalhost: config.allowInsecureLocalhost ?? false }
    const configuration = config.metadata === undefined
      ? withLimits(
        withPolicy(discovery.configuration(config.fhirBaseUrl, { ...insecure, legacyMetadata: config.legacyMetadata }))
      )
      : Effect.succeed(fromSettings(FhirBaseUrl.FhirBaseUrl.make(config.fhirBaseUrl), config.metadata))

    const target = {
      ...insecure,
      clientId: config.clientId,
      authentication,
      server: name,
      fhirBaseUrl: config.fhirBaseUrl
    }
    const targetIn = (
      found: SmartConfiguration,
      member: Endpoint
    ): Effect.Effect<TokenEndpoint.Target, DiscoveryError> =>
      Effect.map(endpoint(found, member, insecure), (url) => ({
        ...target,
        endpoint: url,
        signingAlgs: found.tokenEndpointAuthSigningAlgValuesSupported
      }))
    const targetAt = (member: Endpoint) => Effect.flatMap(configuration, (found) => targetIn(found, member))
    const clientId = ClientAuthentication.clientId(authentication, config.clientId)
    const idTokenContext = (
      found: SmartConfiguration
    ): Effect.Effect<identification.IdTokenContext, ConfigurationError> =>
      Effect.map(clientId, (clientId) => ({
        ...insecure,
        server: name,
        configuration: found,
        clientId,
        policy: { ...config.idToken, issuer: config.idToken?.issuer ?? config.issuer }
      }))

    const refuse = (operation: Operation, reason: TokenError["reason"], detail: string) =>
      new TokenError({ reason, operation, server: name, url: config.fhirBaseUrl, detail, processed: "no" })

    const asker: Authorizing.AuthorizeContext = { name, config, clientId, configuration, pkce, random, warn }
    const authorize: Service["authorize"] = (options) =>
      Authorizing.buildAuthorization(asker, options).pipe(step("SmartClient.authorize"))

    const exchange = (callback: AuthorizationCallback.Callback, pending: PendingAuthorization) =>
      Effect.gen(function*() {
        if (pending.server !== name || !FhirBaseUrl.areSame(pending.fhirBaseUrl, config.fhirBaseUrl)) {
          return yield* new AuthorizationError({
            reason: "WrongServer",
            server: name,
            detail: pending.server === name
              ? `the launch was started with ${Url.forDisplay(pending.fhirBaseUrl)}, which had this name before`
              : `the launch was started with ${pending.server}`
          })
        }
        const { answer, iss } = yield* AuthorizationCallback.judge(callback, pending, {
          now: yield* DateTime.now,
          maxAge: config.authorizationMaxAge ?? "30 minutes",
          issuer: MixUp.configuredIssuer(config)
        })
        if (iss !== undefined) yield* MixUp.check({ name, config, pending, peers, warn }, iss)
        const code = yield* answer
        const found = yield* configuration
        const context = yield* idTokenContext(found)
        // The code goes where the launch was meant for: metadata that changes meanwhile must not lead it elsewhere.
        const tokens = yield* tokenEndpoint.exchangeCode({
          ...target,
          endpoint: pending.tokenEndpoint,
          signingAlgs: found.tokenEndpointAuthSigningAlgValuesSupported
        }, {
          code,
          verifier: pending.verifier,
          redirectUri: pending.redirectUri,
          scopes: pending.scopes,
          retryUnknown: config.retryUnknown
        })
        return yield* identification.atExchange(idTokens, warnings, tokens, {
          ...context,
          nonce: pending.nonce,
          maxAge: pending.maxAge,
          asked: pending.scopes
        })
      }).pipe(step("SmartClient.exchange"))

    const refresh = (
      tokens: TokenSet,
      options: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined } = {}
    ) =>
      Effect.gen(function*() {
        if (tokens.fhirBaseUrl !== undefined && !FhirBaseUrl.areSame(tokens.fhirBaseUrl, config.fhirBaseUrl)) {
          return yield* refuse("refresh", "WrongServer", `the tokens came from ${Url.forDisplay(tokens.fhirBaseUrl)}`)
        }
        if (tokens.refreshToken === undefined) {
          return yield* refuse("refresh", "NoRefreshToken", whyNoRefreshToken(tokens))
        }
        const scopes = options.scopes === undefined ? undefined : yield* Authorizing.scopesOf(asker, options.scopes)
        const missing = Scopes.missing(Scopes.parse(grantOf(tokens)), Scopes.parse(scopes ?? []))
        if (missing.length > 0) {
          return yield* refuse("refresh", "ScopeExceedsGrant", `not granted: ${Scopes.print(missing)}`)
        }
        const found = yield* configuration
        const context = yield* idTokenContext(found)
        const next = yield* tokenEndpoint.refresh(yield* targetIn(found, "tokenEndpoint"), {
          refreshToken: tokens.refreshToken,
          scopes,
          grantedScopes: grantOf(tokens),
          retryUnknown: config.retryUnknown
        })
        return yield* identification.atRefresh(idTokens, warnings, tokens, next, context)
      }).pipe(step("SmartClient.refresh"))

    const userInfo = (tokens: TokenSet) =>
      Effect.gen(function*() {
        if (tokens.fhirBaseUrl !== undefined && !FhirBaseUrl.areSame(tokens.fhirBaseUrl, config.fhirBaseUrl)) {
          return yield* refuse("userInfo", "WrongServer", `the tokens came from ${Url.forDisplay(tokens.fhirBaseUrl)}`)
        }
        const context = yield* idTokenContext(yield* configuration)
        return yield* identification.userInfo(openId, tokenEndpoint, tokens, target, context)
      }).pipe(step("SmartClient.userInfo"))

    const clientCredentials = (options: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined } = {}) =>
      Effect.gen(function*() {
        const scopes = yield* Authorizing.scopesOf(asker, options.scopes)
        return yield* tokenEndpoint.clientCredentials(yield* targetAt("tokenEndpoint"), { scopes })
      }).pipe(step("SmartClient.clientCredentials"))

    return {
      name,
      config,
      configuration,
      invalidate: config.metadata === undefined ? discovery.invalidate(config.fhirBaseUrl) : Effect.void,
      authorize,
      exchange,
      refresh,
      userInfo,
      logoutUrl: (tokens, options) =>
        configuration.pipe(
          Effect.flatMap(idTokenContext),
          Effect.flatMap((context) =>
            identification.logoutUrl(
              openId,
              { ...options, clientId: context.clientId, idTokenHint: tokens.idToken },
              context
            )
          ),
          step("SmartClient.logoutUrl")
        ),
      clientCredentials,
      introspect: (token, options) =>
        Effect.flatMap(
          targetAt("introspectionEndpoint"),
          (target) => tokenEndpoint.introspect(target, { token, ...options })
        ).pipe(step("SmartClient.introspect")),
      revoke: (token, options) =>
        Effect.flatMap(targetAt("revocationEndpoint"), (target) => tokenEndpoint.revoke(target, { token, ...options }))
          .pipe(step("SmartClient.revoke"))
    }
  })

/**
 * All dependencies of a client except its authentication. Clients that are built together share one metadata cache where they have the same
 * `HttpClient`: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDependencies = (): Layer.Layer<Dependencies, never, HttpClient.HttpClient> =>
  Layer.mergeAll(Discovery.layer(), Pkce.layer, TokenEndpoint.layer, IdToken.layer(), OpenIdConfiguration.layer())

/**
 * For callers that bring their own parts, such as a `Discovery` with another time to live.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutDependencies = (
  config: Config
): Layer.Layer<SmartClient, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  Layer.effect(SmartClient, make(config))

/**
 * @example
 * import { FetchHttpClient } from "@effect/platform"
 * import { ClientAuthentication, SmartClient } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const SmartLive = SmartClient.layer({
 *   fhirBaseUrl: "https://ehr.example.org/fhir",
 *   clientId: "growth-chart",
 *   redirectUri: "https://app.example.org/callback",
 *   scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
 * }).pipe(
 *   Layer.provide(ClientAuthentication.layerPublic),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  config: Config
): Layer.Layer<SmartClient, ConfigurationError, ClientAuthentication.ClientAuthentication | HttpClient.HttpClient> =>
  layerWithoutDependencies(config).pipe(Layer.provide(layerDependencies()))

/**
 * A client from the environment alone. Which kind of client it is follows from whether there is a secret or a key: see
 * `ClientAuthentication.layerConfig`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (): Layer.Layer<SmartClient, ConfigError | ConfigurationError, HttpClient.HttpClient> =>
  Layer.unwrapEffect(Effect.map(config, layer)).pipe(Layer.provide(ClientAuthentication.layerConfig))
