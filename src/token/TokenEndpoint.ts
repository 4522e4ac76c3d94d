/**
 * The token endpoint and its neighbours: code exchange, refresh, client credentials, introspection and revocation (RFC 6749, 7009 and 7662 as
 * SMART App Launch 2.2 profiles them). It holds no credential and no server: both come with each call, so that one may serve every server.
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
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import type * as Redacted from "effect/Redacted"
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { ConformanceWarnings, reportSafely } from "../base/ConformanceWarning.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import { safeText } from "../http/Redaction.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import type { Judged, RequestContext } from "./internal/tokenResponse.js"
import { encodingHint, issuedBy, judgeTokens, membersOf, secretsOf } from "./internal/tokenResponse.js"
import type { Introspection } from "./Introspection.js"
import * as introspection from "./Introspection.js"
import type { Operation } from "./TokenError.js"
import { TokenError } from "./TokenError.js"
import type { TokenSet } from "./TokenSet.js"
import type { UserInfo } from "./UserInfo.js"
import * as userInfo from "./UserInfo.js"

/**
 * Who asks, and where.
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
  /** Noted in the token set, so that it is never given to another server. */
  readonly fhirBaseUrl?: string | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /** The algorithms the server accepts assertions in, where it says so. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
}

/**
 * After a failure that leaves open whether the server acted (a time-out, a reset, 502, 504) a code exchange or a refresh is repeated at most once, because a lost
 * answer's tokens are lost either way; with `false` it is not repeated at all.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryUnknown {
  readonly retryUnknown?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CodeExchange extends RetryUnknown {
  readonly code: Redacted.Redacted
  readonly verifier: Redacted.Redacted
  /** Exactly as in the authorization request. */
  readonly redirectUri: string
  /** What was asked for: it counts as granted where the answer does not say. */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Refresh extends RetryUnknown {
  readonly refreshToken: Redacted.Redacted
  /** To be sent, for less than was granted. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** What the launch granted: it counts as granted again where neither the request nor the answer names scopes. */
  readonly grantedScopes?: ReadonlyArray<string> | undefined
}

/**
 * How an introspection is authorized: by the client's own authentication, or by a bearer token as SMART has it (requirement 282).
 *
 * @since 0.1.0
 * @category models
 */
export type Authorization = "client" | Redacted.Redacted

/**
 * @since 0.1.0
 * @category models
 */
export type TokenTypeHint = "access_token" | "refresh_token"

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly exchangeCode: (
    target: Target,
    exchange: CodeExchange
  ) => Effect.Effect<TokenSet, TokenError | ConfigurationError>
  /** Keeps the refresh token that was sent where the answer has none (requirement 117). */
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
  /** What the server's OpenID userinfo endpoint says of the person. Whose token goes where is for the caller to judge: see `SmartClient.userInfo`. */
  readonly userInfo: (
    target: Target,
    options: { readonly token: Redacted.Redacted }
  ) => Effect.Effect<UserInfo, TokenError | ConfigurationError>
  /** Succeeds for a token the server does not know, too (RFC 7009, section 2.2). */
  readonly revoke: (
    target: Target,
    options: { readonly token: Redacted.Redacted; readonly tokenTypeHint?: TokenTypeHint | undefined }
  ) => Effect.Effect<void, TokenError | ConfigurationError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class TokenEndpoint extends Context.Tag("effect-safire/TokenEndpoint")<TokenEndpoint, Service>() {}

const requests = MetricKey.counter("effect_safire_token_requests_total", {
  description: "Requests to token, introspection and revocation endpoints, by operation and result",
  incremental: true
})

/** By operation and result, of which there are few: `Metric.tagged` would look the counter up anew each time it counts. */
const counters = new Map<string, Metric.Metric.Counter<number>>()

const counterOf = (operation: Operation, result: string): Metric.Metric.Counter<number> => {
  const key = `${operation} ${result}`
  const known = counters.get(key)
  if (known !== undefined) return known
  const counter = Metric.fromMetricKey(
    requests.pipe(MetricKey.tagged("operation", operation), MetricKey.tagged("result", result))
  )
  counters.set(key, counter)
  return counter
}

const count = (operation: Operation, result: string): Effect.Effect<void> =>
  Metric.increment(counterOf(operation, result))

const bearerForm = (request: ClientAuthentication.UnauthenticatedRequest, token: Redacted.Redacted) =>
  Effect.succeed(HttpClientRequest.bearerToken(ClientAuthentication.formRequest(request), token))

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
  const warnings = yield* ConformanceWarnings
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  const withPolicy = yield* RetryPolicy.capture

  /**
   * One attempt: a new request, because an assertion serves once; its answer within the time limit; the judgement.
   */
  const attempt = <A>(
    operation: Operation,
    target: Target,
    authentication: ClientAuthentication.Service,
    request: (
      authentication: ClientAuthentication.Service,
      clientId: string
    ) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>,
    judge: (answer: ReceivedResponse, asked: RequestContext) => Either.Either<Judged<A>, TokenError>
  ): Effect.Effect<A, TokenError | ConfigurationError> =>
    Effect.gen(function*() {
      const server = target.server ?? Url.forDisplay(target.endpoint)
      const limits = yield* HttpLimits
      const clientId = yield* ClientAuthentication.clientId(authentication, target.clientId)
      const authenticated = yield* request(authentication, clientId)
      const secrets = () => secretsOf(authenticated, clientId)
      const answer = yield* OutgoingRequest.send(client, authenticated, {
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
      const judged = yield* Effect.suspend(() =>
        judge(answer, { operation, server, secrets, now, credentialsHint: () => encodingHint(authenticated) })
      ).pipe(
        failOnDefect((exception) =>
          new TokenError({
            reason: "Malformed",
            operation,
            server,
            url: safeText(Url.forDisplay(answer.url), secrets()),
            detail: `it answered ${answer.status} with what cannot be read (${exception})`,
            processed: "unknown",
            status: answer.status,
            issued: issuedBy(answer, operation)
          })
        )
      )
      // Tokens have come: nothing that goes wrong with a warning may lose them.
      for (const warning of judged.warnings) yield* reportSafely(warnings, warning)
      return judged.value
    }).pipe(
      Effect.tapBoth({
        onSuccess: () => count(operation, "success"),
        onFailure: (error) => count(operation, error.reason)
      })
    )

  const run = <A>(
    operation: Operation,
    target: Target,
    unknown: "always" | "once" | "never",
    request: (
      authentication: ClientAuthentication.Service,
      clientId: string
    ) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>,
    judge: (answer: ReceivedResponse, asked: RequestContext) => Either.Either<Judged<A>, TokenError>
  ): Effect.Effect<A, TokenError | ConfigurationError> => {
    const as = (authentication: ClientAuthentication.Service) =>
      attempt(operation, target, authentication, request, judge).pipe(RetryPolicy.retry(unknown))
    const { fallback } = target.authentication
    const whole = fallback === undefined ? as(target.authentication) : Effect.catchIf(
      as(target.authentication),
      (error) => error._tag === "TokenError" && error.error === "invalid_client",
      () =>
        Effect.zipRight(
          Effect.logWarning(
            `${
              target.server ?? Url.forDisplay(target.endpoint)
            } refused this client's credentials; the previous ones are tried`
          ),
          as(fallback)
        )
    )
    return whole.pipe(
      withPolicy,
      withLimits,
      span(`TokenEndpoint.${operation}`, {
        kind: "client",
        attributes: { "smart.server": target.server ?? Url.forDisplay(target.endpoint) }
      })
    )
  }

  const authenticated =
    ({ endpoint, signingAlgs }: Target, params: ClientAuthentication.UnauthenticatedRequest["params"]) =>
    (authentication: ClientAuthentication.Service, clientId: string) =>
      authentication.authenticate({ endpoint, clientId, signingAlgs, params })

  return {
    exchangeCode: (target, { code, redirectUri, retryUnknown, scopes, verifier }) =>
      run(
        "exchangeCode",
        target,
        retryUnknown === false ? "never" : "once",
        authenticated(target, {
          grant_type: "authorization_code",
          code,
          redirect_uri: redirectUri,
          code_verifier: verifier
        }),
        (answer, asked) =>
          judgeTokens(answer, {
            ...asked,
            fhirBaseUrl: target.fhirBaseUrl,
            assumedScopes: scopes ?? [],
            requestedScopes: scopes
          })
      ),
    refresh: (target, { grantedScopes, refreshToken, retryUnknown, scopes }) =>
      run(
        "refresh",
        target,
        retryUnknown === false ? "never" : "once",
        authenticated(target, {
          grant_type: "refresh_token",
          refresh_token: refreshToken,
          scope: scopes?.join(" ")
        }),
        (answer, asked) =>
          judgeTokens(answer, {
            ...asked,
            fhirBaseUrl: target.fhirBaseUrl,
            assumedScopes: scopes ?? grantedScopes ?? [],
            requestedScopes: scopes,
            refreshToken
          })
      ),
    clientCredentials: (target, { scopes }) =>
      run(
        "clientCredentials",
        target,
        "always",
        authenticated(target, { grant_type: "client_credentials", scope: scopes.join(" ") }),
        (answer, asked) =>
          judgeTokens(answer, {
            ...asked,
            fhirBaseUrl: target.fhirBaseUrl,
            assumedScopes: scopes,
            requestedScopes: scopes
          })
      ),
    introspect: (target, { authorization = "client", token, tokenTypeHint }) => {
      const params = { token, token_type_hint: tokenTypeHint }
      return run(
        "introspect",
        target,
        "always",
        authorization === "client"
          ? authenticated(target, params)
          : (_, clientId) => bearerForm({ endpoint: target.endpoint, clientId, params }, authorization),
        introspection.judge
      )
    },
    userInfo: (target, { token }) =>
      run(
        "userInfo",
        target,
        "always",
        () =>
          Effect.succeed(
            HttpClientRequest.get(target.endpoint, { acceptJson: true }).pipe(HttpClientRequest.bearerToken(token))
          ),
        userInfo.judge(target.fhirBaseUrl)
      ),
    revoke: (target, { token, tokenTypeHint }) =>
      run(
        "revoke",
        target,
        "always",
        authenticated(target, { token, token_type_hint: tokenTypeHint }),
        judgeRevocation
      )
  }
})

/** Only the status counts: the body of a success has no meaning (RFC 7009, section 2.2). */
const judgeRevocation = (
  answer: ReceivedResponse,
  asked: RequestContext
): Either.Either<Judged<void>, TokenError> =>
  answer.status === 200 || answer.status === 204
    ? Either.right({ value: undefined, warnings: [] })
    : Either.map(membersOf(answer, asked), ({ warnings }) => ({ value: undefined, warnings }))

/**
 * Made anew for each use: it keeps nothing that could be shared, and uses the `HttpClient` it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TokenEndpoint, never, HttpClient.HttpClient> = Layer.fresh(
  Layer.effect(TokenEndpoint, make)
)
