/**
 * The steps of a client at one server: each with the settings of the layer that made the client, and with a span.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import { ConformanceWarning, ConformanceWarnings } from "../../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { unsafeNow } from "../../base/FiberEnvironment.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import { withBuildTimeDefault } from "../../base/Settings.js"
import * as Span from "../../base/Span.js"
import * as Url from "../../base/Url.js"
import * as ClientAuthentication from "../../client/ClientAuthentication.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import * as AuthorizationCallback from "../../launch/AuthorizationCallback.js"
import { AuthorizationError } from "../../launch/AuthorizationError.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import * as Pkce from "../../launch/Pkce.js"
import * as Scopes from "../../launch/Scopes.js"
import * as Discovery from "../../server/Discovery.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import { type Endpoint, endpoint, fromSettings, type SmartConfiguration } from "../../server/SmartConfiguration.js"
import * as TokenEndpoint from "../../token/TokenEndpoint.js"
import { type Operation, TokenError } from "../../token/TokenError.js"
import { grantOf, type TokenSet, whyNoRefreshToken } from "../../token/TokenSet.js"
import { type AuthorizeContext, buildAuthorization, scopesOf } from "./buildAuthorization.js"
import { type Config, forServer, type ScopeInput, type Service, validate } from "./client.js"
import * as OpenIdConnect from "./openIdConnect.js"
import type { IdTokenContext } from "./verifyIdentity.js"

/**
 * The services that clients share.
 *
 * @since 0.1.0
 * @category models
 */
export type Dependencies =
  | Discovery.Discovery
  | Pkce.Pkce
  | TokenEndpoint.TokenEndpoint
  | OpenIdConnect.OpenIdConnect

/**
 * A launch whose callback has an `iss` (RFC 9207).
 *
 * @internal
 */
export interface Launch {
  readonly name: string
  readonly config: Config
  readonly pending: PendingAuthorization
  readonly warn: (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) => Effect.Effect<void>
}

/**
 * Fails if the `iss` of a callback may belong to another server. The caller has checked that `iss` equals the issuer
 * that the launch expects, if there is one.
 *
 * @internal
 */
export type CheckIssuer = (launch: Launch, iss: string) => Effect.Effect<void, AuthorizationError>

/**
 * The configured issuer.
 *
 * @internal
 */
export const configuredIssuer = ({ issuer, metadata }: Pick<Config, "issuer" | "metadata">): string | undefined =>
  issuer ?? metadata?.issuer

/** @internal */
export const UNKNOWN_ISSUER = "the callback has an iss, but neither the configuration nor the metadata has an issuer"

/** A client outside a registry has no other server that the `iss` of a callback could belong to. */
const checkAlone: CheckIssuer = ({ config, pending, warn }) =>
  (configuredIssuer(config) ?? pending.issuer) === undefined
    ? warn({ code: "IssuerUnknown", detail: UNKNOWN_ISSUER })
    : Effect.void

/**
 * A client. `checkIssuer` protects it from mix-up with the other servers of its registry.
 *
 * @internal
 */
export const makeClient = (
  config: Config,
  checkIssuer: CheckIssuer = checkAlone
): Effect.Effect<Service, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  Effect.gen(function*() {
    const name = config.name ?? config.fhirBaseUrl
    // An invalid base URL may contain credentials.
    yield* validate(config, config.name ?? Url.forDisplay(config.fhirBaseUrl))
    const authentication = yield* forServer(config, yield* ClientAuthentication.ClientAuthentication, name)
    const discovery = yield* Discovery.Discovery
    const pkce = yield* Pkce.Pkce
    const tokenEndpoint = yield* TokenEndpoint.TokenEndpoint
    const openId = yield* OpenIdConnect.forClient(name, config.fhirBaseUrl)
    const random = yield* SecureRandom.SecureRandom
    const warnings = yield* ConformanceWarnings
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)

    const warn = (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) =>
      warnings.report(new ConformanceWarning({ ...warning, server: name }))

    /** Every step gets the settings of this client's layer, and a span that names the server. */
    const step = (span: string) => {
      const spanned = Span.span(span, { attributes: { "smart.server": name } })
      return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> => spanned(withLimits(withPolicy(self)))
    }

    const insecure = { allowInsecureLocalhost: config.allowInsecureLocalhost ?? false }
    const published = config.metadata === undefined
      ? withLimits(
        withPolicy(discovery.configuration(config.fhirBaseUrl, { ...insecure, legacyMetadata: config.legacyMetadata }))
      )
      : Effect.succeed(fromSettings(FhirBaseUrl.FhirBaseUrl.make(config.fhirBaseUrl), config.metadata))
    const configuration = authentication.configuration?.(published) ?? published

    const server = {
      ...insecure,
      clientId: config.clientId,
      authentication,
      server: name,
      fhirBaseUrl: config.fhirBaseUrl
    }
    // Spreads come last: V8 adds a key after a spread at many times the cost of the others.
    const targetAtUrl = (endpoint: string, found: SmartConfiguration): TokenEndpoint.Target => ({
      endpoint,
      signingAlgs: found.tokenEndpointAuthSigningAlgValuesSupported,
      ...server
    })
    const targetIn = (
      found: SmartConfiguration,
      member: Endpoint
    ): Effect.Effect<TokenEndpoint.Target, DiscoveryError> =>
      Effect.map(endpoint(found, member, insecure), (url) => targetAtUrl(url, found))
    const targetAt = (member: Endpoint) => Effect.flatMap(configuration, (found) => targetIn(found, member))
    const clientId = ClientAuthentication.clientId(authentication, config.clientId)
    const policy = { ...config.idToken, issuer: config.idToken?.issuer ?? config.issuer }
    const idTokenContext = (
      found: SmartConfiguration
    ): Effect.Effect<IdTokenContext, ClientAuthentication.ClientIdError> =>
      Effect.map(clientId, (clientId) => ({ server: name, configuration: found, clientId, policy, ...insecure }))

    const isOwn = (url: string) => url === config.fhirBaseUrl || FhirBaseUrl.areSame(url, config.fhirBaseUrl)

    /** Fails if the tokens are of another server. */
    const checkServer = (operation: Operation, { fhirBaseUrl }: TokenSet): Effect.Effect<void, TokenError> =>
      fhirBaseUrl === undefined || isOwn(fhirBaseUrl)
        ? Effect.void
        : refuse(operation, "WrongServer", `the tokens came from ${Url.forDisplay(fhirBaseUrl)}`)

    const refuse = (operation: Operation, reason: TokenError["reason"], detail: string) =>
      new TokenError({ reason, operation, server: name, url: config.fhirBaseUrl, detail, processed: "no" })

    const authorizeContext: AuthorizeContext = { name, config, clientId, configuration, pkce, random, warn }
    const authorize: Service["authorize"] = (options) =>
      buildAuthorization(authorizeContext, options).pipe(step("SmartClient.authorize"))

    const issuer = configuredIssuer(config)
    const authorizationMaxAge = Duration.decode(config.authorizationMaxAge ?? "30 minutes")
    const validated = (
      callback: AuthorizationCallback.Callback,
      pending: PendingAuthorization,
      now: DateTime.Utc
    ): Either.Either<AuthorizationCallback.Validated, AuthorizationError> =>
      pending.server === name && isOwn(pending.fhirBaseUrl)
        ? AuthorizationCallback.validate(callback, pending, { now, maxAge: authorizationMaxAge, issuer })
        : Either.left(
          new AuthorizationError({
            reason: "WrongServer",
            server: name,
            detail: pending.server === name
              ? `the launch was started with ${Url.forDisplay(pending.fhirBaseUrl)}, which had this name before`
              : `the launch was started with ${pending.server}`
          })
        )
    /** The code of a callback that belongs to the launch. */
    const codeOf = (callback: AuthorizationCallback.Callback, pending: PendingAuthorization) =>
      Effect.flatMap(
        validated(callback, pending, unsafeNow()),
        ({ iss, result }): Effect.Effect<Redacted.Redacted, AuthorizationError> =>
          iss === undefined ? result : Effect.zipRight(checkIssuer({ name, config, pending, warn }, iss), result)
      )
    const exchange = (callback: AuthorizationCallback.Callback, pending: PendingAuthorization) =>
      Effect.gen(function*() {
        const code = yield* codeOf(callback, pending)
        const found = yield* configuration
        const context = yield* idTokenContext(found)
        const { maxAge, nonce, redirectUri, scopes, verifier } = pending
        // Before the code is sent, which can be used only once.
        if (scopes.includes("openid")) yield* openId.beforeExchange
        // The code goes to the token endpoint of its launch, even if the metadata has changed since.
        const target = targetAtUrl(pending.tokenEndpoint, found)
        const { retryUnknown } = config
        const tokens = yield* tokenEndpoint.exchangeCode(target, { code, verifier, redirectUri, scopes, retryUnknown })
        // An id_token that was neither requested nor granted is not used.
        if (!scopes.includes("openid") && !tokens.scopes.includes("openid")) return tokens
        return yield* openId.atExchange(tokens, { nonce, maxAge, ...context })
      }).pipe(step("SmartClient.exchange"))

    const refresh = (
      tokens: TokenSet,
      options: { readonly scopes?: ReadonlyArray<ScopeInput> | undefined } = {}
    ) =>
      Effect.gen(function*() {
        yield* checkServer("refresh", tokens)
        if (tokens.refreshToken === undefined) {
          return yield* refuse("refresh", "NoRefreshToken", whyNoRefreshToken(tokens))
        }
        const scopes = options.scopes === undefined ? undefined : yield* scopesOf(authorizeContext, options.scopes)
        const missing = scopes === undefined
          ? []
          : Scopes.notGranted(Scopes.parse(grantOf(tokens)), Scopes.parse(scopes))
        if (missing.length > 0) {
          return yield* refuse("refresh", "ScopeExceedsGrant", `not granted: ${Scopes.print(missing)}`)
        }
        const found = yield* configuration
        const context = yield* idTokenContext(found)
        const complete = yield* openId.beforeRefresh(tokens)
        const next = yield* tokenEndpoint.refresh(yield* targetIn(found, "tokenEndpoint"), {
          refreshToken: tokens.refreshToken,
          scopes,
          grantedScopes: grantOf(tokens),
          retryUnknown: config.retryUnknown
        })
        return yield* complete(next, context)
      }).pipe(step("SmartClient.refresh"))

    const userInfo = (tokens: TokenSet) =>
      Effect.gen(function*() {
        yield* checkServer("userInfo", tokens)
        const { userInfo } = yield* openId.forUserInfo
        return yield* userInfo(tokenEndpoint, tokens, server, yield* idTokenContext(yield* configuration))
      }).pipe(step("SmartClient.userInfo"))

    const logoutUrl: Service["logoutUrl"] = (tokens, options) =>
      Effect.gen(function*() {
        const { logoutUrl } = yield* openId.forLogout
        const context = yield* idTokenContext(yield* configuration)
        return yield* logoutUrl({ ...options, clientId: context.clientId, idTokenHint: tokens.idToken }, context)
      }).pipe(step("SmartClient.logoutUrl"))

    const clientCredentials: Service["clientCredentials"] = (options = {}) =>
      Effect.gen(function*() {
        const scopes = yield* scopesOf(authorizeContext, options.scopes)
        const { extensions } = options
        return yield* tokenEndpoint.clientCredentials(yield* targetAt("tokenEndpoint"), { scopes, extensions })
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
      logoutUrl,
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
