/**
 * Requests to the token endpoint and the endpoints for introspection, revocation and userinfo: code exchange, refresh,
 * client credentials (RFC 6749, 7009 and 7662, in the profile of SMART App Launch 2.2). The service has neither
 * credentials nor a server: both come with each call, so that one service is enough for all servers.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { ConformanceWarnings, reportSafely } from "../base/ConformanceWarning.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import { count } from "./internal/countRequests.js"
import { parseIntrospection } from "./internal/introspectionResponse.js"
import type { RequestContext, Validated } from "./internal/oauthResponse.js"
import { parseMembers, unusable } from "./internal/oauthResponse.js"
import { encodingHint, secretsOf } from "./internal/tokenRequest.js"
import type { GrantContext } from "./internal/tokenResponse.js"
import { parseTokenSet } from "./internal/tokenResponse.js"
import { parseUserInfo } from "./internal/userInfoResponse.js"
import type { Introspection } from "./Introspection.js"
import type { Operation } from "./TokenError.js"
import { TokenError } from "./TokenError.js"
import type { TokenSet } from "./TokenSet.js"
import type { UserInfo } from "./UserInfo.js"

/**
 * The endpoint of a request and the client that sends it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly endpoint: string
  /** As configured; a client id that `authentication` has learned takes precedence. */
  readonly clientId: string
  readonly authentication: ClientAuthentication.Service
  /** The server's name in errors, warnings and spans. Default: the endpoint. */
  readonly server?: string | undefined
  /** Stored in the token set, so that its tokens go to no other server. */
  readonly fhirBaseUrl?: string | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /** The algorithms of assertions that the server accepts, from its metadata. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
}

/**
 * After a failure that leaves open whether the server acted (a time-out, a reset, 502, 504) a code exchange or a
 * refresh is retried at most once, because the tokens of the lost response are lost either way; with `false` it is
 * not retried.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryUnknown {
  readonly retryUnknown?: boolean | undefined
}

/**
 * An exchange of an authorization code (RFC 6749, section 4.1.3; RFC 7636).
 *
 * @since 0.1.0
 * @category models
 */
export interface CodeExchange extends RetryUnknown {
  readonly code: Redacted.Redacted
  readonly verifier: Redacted.Redacted
  /** Exactly as in the authorization request. */
  readonly redirectUri: string
  /** The requested scopes. They count as granted if the response does not name scopes. */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * A use of a refresh token (RFC 6749, section 6).
 *
 * @since 0.1.0
 * @category models
 */
export interface Refresh extends RetryUnknown {
  readonly refreshToken: Redacted.Redacted
  /** Scopes to request, if fewer than were granted. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** The scopes of the launch. They count as granted if neither the request nor the response names scopes. */
  readonly grantedScopes?: ReadonlyArray<string> | undefined
}

/**
 * How an introspection is authorized: by the client's own authentication, or by a bearer token as SMART has it
 * (requirement 282).
 *
 * @since 0.1.0
 * @category models
 */
export type Authorization = "client" | Redacted.Redacted

/**
 * The kind of a token (RFC 7009, RFC 7662).
 *
 * @since 0.1.0
 * @category models
 */
export type TokenTypeHint = "access_token" | "refresh_token"

/**
 * Requests to token, introspection and revocation endpoints. Failures are `TokenError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly exchangeCode: (
    target: Target,
    exchange: CodeExchange
  ) => Effect.Effect<TokenSet, TokenError | ConfigurationError>
  /** Keeps the refresh token that was sent if the response has none (requirement 117). */
  readonly refresh: (target: Target, refresh: Refresh) => Effect.Effect<TokenSet, TokenError | ConfigurationError>
  readonly clientCredentials: (
    target: Target,
    options: { readonly scopes: ReadonlyArray<string> }
  ) => Effect.Effect<TokenSet, TokenError | ConfigurationError>
  readonly introspect: (
    target: Target,
    options: {
      readonly token: Redacted.Redacted
      readonly tokenTypeHint?: TokenTypeHint | undefined
      readonly authorization?: Authorization | undefined
    }
  ) => Effect.Effect<Introspection, TokenError | ConfigurationError>
  /**
   * The claims of the server's userinfo endpoint. The caller must check that the token belongs to that endpoint:
   * see `SmartClient.userInfo`.
   */
  readonly userInfo: (
    target: Target,
    options: { readonly token: Redacted.Redacted }
  ) => Effect.Effect<UserInfo, TokenError | ConfigurationError>
  /** Also succeeds for a token that the server does not know (RFC 7009, section 2.2). */
  readonly revoke: (
    target: Target,
    options: { readonly token: Redacted.Redacted; readonly tokenTypeHint?: TokenTypeHint | undefined }
  ) => Effect.Effect<void, TokenError | ConfigurationError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class TokenEndpoint extends Context.Tag("effect-safire/TokenEndpoint")<TokenEndpoint, Service>() {}

type BuildRequest = (
  authentication: ClientAuthentication.Service,
  clientId: string
) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>

type Parse<A> = (
  response: ReceivedResponse,
  context: RequestContext
) => Either.Either<Validated<A>, TokenError>

const authenticated = (
  { endpoint, signingAlgs }: Target,
  params: ClientAuthentication.UnauthenticatedRequest["params"]
): BuildRequest =>
(authentication, clientId) => authentication.authenticate({ endpoint, clientId, signingAlgs, params })

/** Only the status counts: the body of a success has no meaning (RFC 7009, section 2.2). */
const parseRevocation: Parse<void> = (response, context) =>
  response.status === 200 || response.status === 204
    ? Either.right({ value: undefined, warnings: [] })
    : Either.map(parseMembers(response, context), ({ warnings }) => ({ value: undefined, warnings }))

const nameOf = ({ endpoint, server }: Target): string => server ?? Url.forDisplay(endpoint)

/**
 * The service over the `HttpClient` of its environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
  const warnings = yield* ConformanceWarnings
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  const withPolicy = yield* RetryPolicy.capture

  /** Each attempt builds a new request, because an assertion is valid for one request. */
  const attempt = <A>(
    operation: Operation,
    target: Target,
    authentication: ClientAuthentication.Service,
    build: BuildRequest,
    parse: Parse<A>
  ): Effect.Effect<A, TokenError | ConfigurationError> =>
    Effect.gen(function*() {
      const server = nameOf(target)
      const limits = yield* HttpLimits
      const clientId = yield* ClientAuthentication.clientId(authentication, target.clientId)
      const request = yield* build(authentication, clientId)
      const secrets = () => secretsOf(request, clientId)
      const response = yield* OutgoingRequest.send(client, request, {
        timeout: limits.tokenTimeout,
        maxBytes: limits.maxResponseBytes,
        redirects: 0,
        allowInsecureLocalhost: target.allowInsecureLocalhost ?? false
      }).pipe(
        Effect.mapError((failure) =>
          new TokenError({ operation, server, ...TransportFailure.errorFields(failure, secrets()) })
        )
      )
      const now = yield* DateTime.now
      const context = { operation, server, secrets, now, credentialsHint: () => encodingHint(request) }
      const parsed = yield* Effect.suspend(() => parse(response, context)).pipe(
        failOnDefect((exception) =>
          unusable(response, context, `HTTP status ${response.status}, with a body that cannot be read (${exception})`)
        )
      )
      // The server has issued tokens: a failure while a warning is reported must not lose them.
      for (const warning of parsed.warnings) yield* reportSafely(warnings, warning)
      return parsed.value
    }).pipe(
      Effect.tapBoth({
        onSuccess: () => count(operation, "success"),
        onFailure: (error) => count(operation, error.reason)
      })
    )

  const run = <A>(
    operation: Operation,
    target: Target,
    retryUnknown: "always" | "once" | "never",
    build: BuildRequest,
    parse: Parse<A>
  ): Effect.Effect<A, TokenError | ConfigurationError> => {
    const server = nameOf(target)
    const attempts = (authentication: ClientAuthentication.Service) =>
      attempt(operation, target, authentication, build, parse).pipe(RetryPolicy.retry(retryUnknown))
    const { fallback } = target.authentication
    const first = attempts(target.authentication)
    const all = fallback === undefined ? first : Effect.catchIf(
      first,
      (error) => error._tag === "TokenError" && error.error === "invalid_client",
      () =>
        Effect.zipRight(
          Effect.logWarning(`${server} refused this client's credentials; the previous ones are tried`),
          attempts(fallback)
        )
    )
    return all.pipe(
      withPolicy,
      withLimits,
      span(`TokenEndpoint.${operation}`, { kind: "client", attributes: { "smart.server": server } })
    )
  }

  const grant = (
    operation: Operation,
    target: Target,
    retryUnknown: "always" | "once" | "never",
    params: ClientAuthentication.UnauthenticatedRequest["params"],
    context: Omit<GrantContext, "fhirBaseUrl">
  ): Effect.Effect<TokenSet, TokenError | ConfigurationError> =>
    run(
      operation,
      target,
      retryUnknown,
      authenticated(target, params),
      (response, request) => parseTokenSet(response, { ...request, ...context, fhirBaseUrl: target.fhirBaseUrl })
    )

  return {
    exchangeCode: (target, { code, redirectUri, retryUnknown, scopes, verifier }) =>
      grant("exchangeCode", target, retryUnknown === false ? "never" : "once", {
        grant_type: "authorization_code",
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier
      }, { defaultScopes: scopes ?? [], requestedScopes: scopes }),
    refresh: (target, { grantedScopes, refreshToken, retryUnknown, scopes }) =>
      grant("refresh", target, retryUnknown === false ? "never" : "once", {
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        scope: scopes?.join(" ")
      }, { defaultScopes: scopes ?? grantedScopes ?? [], requestedScopes: scopes, refreshToken }),
    clientCredentials: (target, { scopes }) =>
      grant("clientCredentials", target, "always", {
        grant_type: "client_credentials",
        scope: scopes.join(" ")
      }, { defaultScopes: scopes, requestedScopes: scopes }),
    introspect: (target, { authorization = "client", token, tokenTypeHint }) => {
      const { endpoint } = target
      const params = { token, token_type_hint: tokenTypeHint }
      const build: BuildRequest = authorization === "client"
        ? authenticated(target, params)
        : (_, clientId) =>
          Effect.succeed(
            ClientAuthentication.formRequest({ endpoint, clientId, params }).pipe(
              HttpClientRequest.bearerToken(authorization)
            )
          )
      return run("introspect", target, "always", build, parseIntrospection)
    },
    userInfo: (target, { token }) => {
      const request = HttpClientRequest.get(target.endpoint, { acceptJson: true }).pipe(
        HttpClientRequest.bearerToken(token)
      )
      return run("userInfo", target, "always", () => Effect.succeed(request), parseUserInfo(target.fhirBaseUrl))
    },
    revoke: (target, { token, tokenTypeHint }) =>
      run(
        "revoke",
        target,
        "always",
        authenticated(target, { token, token_type_hint: tokenTypeHint }),
        parseRevocation
      )
  }
})

/**
 * Built for each use, with the `HttpClient` that it is provided with: it has no state to share.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TokenEndpoint, never, HttpClient.HttpClient> = Layer.fresh(
  Layer.effect(TokenEndpoint, make)
)
