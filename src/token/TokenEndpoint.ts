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
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import type * as Redacted from "effect/Redacted"
import { mapFailure } from "../base/CatchFailure.js"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { ConformanceWarning, ConformanceWarnings, reportSafely } from "../base/ConformanceWarning.js"
import { eitherOnDefect } from "../base/FailOnDefect.js"
import { unsafeNow } from "../base/FiberEnvironment.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import { encodingHint, secretsOf } from "./internal/requestSecrets.js"
import type {
  Authorization,
  BuildRequest,
  CodeExchange,
  Refresh,
  Target,
  TokenTypeHint
} from "./internal/tokenRequest.js"
import type { GrantContext, Parse } from "./internal/tokenResponse.js"
import { parseRevocation, parseTokenSet, unusable } from "./internal/tokenResponse.js"
import * as Introspection from "./Introspection.js"
import type { Warn } from "./LaunchContext.js"
import type { Operation } from "./TokenError.js"
import { TokenError } from "./TokenError.js"
import type { TokenSet } from "./TokenSet.js"
import * as UserInfo from "./UserInfo.js"

export type {
  Authorization,
  CodeExchange,
  Refresh,
  RetryUnknown,
  Target,
  TokenTypeHint
} from "./internal/tokenRequest.js"

/**
 * The errors of a request: those of the response, and those of the credentials.
 *
 * @since 0.1.0
 * @category errors
 */
export type RequestError = TokenError | ClientAuthentication.ClientIdError

/**
 * Requests to token, introspection and revocation endpoints. Failures are `TokenError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Exchanges an authorization code (RFC 6749, section 4.1.3). After an unknown result it is sent at most once more,
   * and not at all with `retryUnknown: false`.
   */
  readonly exchangeCode: (
    target: Target,
    exchange: CodeExchange
  ) => Effect.Effect<TokenSet, RequestError>
  /** Keeps the refresh token that was sent if the response has none (requirement 117). */
  readonly refresh: (target: Target, refresh: Refresh) => Effect.Effect<TokenSet, RequestError>
  /** Requests a token for the client itself (RFC 6749, section 4.4). */
  readonly clientCredentials: (
    target: Target,
    options: {
      readonly scopes: ReadonlyArray<string>
      /** Authorization extension objects, for an authentication that sends them (UDAP Security STU2, section 5.2.1). */
      readonly extensions?: Readonly<Record<string, unknown>> | undefined
    }
  ) => Effect.Effect<TokenSet, RequestError>
  /** The state of a token (RFC 7662; requirements 270 to 283). Default: with the authentication of the client. */
  readonly introspect: (
    target: Target,
    options: {
      readonly token: Redacted.Redacted
      readonly tokenTypeHint?: TokenTypeHint | undefined
      readonly authorization?: Authorization | undefined
    }
  ) => Effect.Effect<Introspection.Introspection, RequestError>
  /**
   * The claims of the server's userinfo endpoint. The caller must check that the token belongs to that endpoint:
   * see `SmartClient.userInfo`.
   */
  readonly userInfo: (
    target: Target,
    options: { readonly token: Redacted.Redacted }
  ) => Effect.Effect<UserInfo.UserInfo, RequestError>
  /** Also succeeds for a token that the server does not know (RFC 7009, section 2.2). */
  readonly revoke: (
    target: Target,
    options: { readonly token: Redacted.Redacted; readonly tokenTypeHint?: TokenTypeHint | undefined }
  ) => Effect.Effect<void, RequestError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class TokenEndpoint extends Context.Tag("effect-safire/TokenEndpoint")<TokenEndpoint, Service>() {}

/** One operation: how it is sent and how its response is read. */
interface Step<A> {
  readonly operation: Operation
  readonly target: Target
  /** Whether the request may be repeated after an unknown result. Default `always`. */
  readonly retryUnknown?: "always" | "once" | "never"
  /** Runs for each attempt, because an assertion is valid for one request. */
  readonly build: BuildRequest
  readonly parse: Parse<A>
}

/** A request with the credentials of the client. */
const authenticated = (
  { endpoint, server, signingAlgs }: Target,
  params: ClientAuthentication.UnauthenticatedRequest["params"],
  extensions?: Readonly<Record<string, unknown>> | undefined
): BuildRequest =>
(authentication, clientId) =>
  extensions === undefined || authentication.sendsExtensions === true
    ? authentication.authenticate({ endpoint, clientId, signingAlgs, params, extensions })
    : configurationError(
      "Conflict",
      ["extensions"],
      "the authentication of this client does not send authorization extensions; UdapAuthentication does",
      server
    )

const requests = MetricKey.counter("effect_safire_token_requests_total", {
  description: "Requests to token, introspection and revocation endpoints, by operation and result",
  incremental: true
})

/** By operation and result, of which there are few. `Metric.tagged` would look up the counter at each increment. */
const counters = new Map<string, Metric.Metric.Counter<number>>()

/** Not an effect, which would take longer than all else here. */
const count = (operation: Operation, result: string, fiber: Fiber.RuntimeFiber<unknown, unknown>): void => {
  const key = `${operation} ${result}`
  const counter = counters.get(key) ?? Metric.fromMetricKey(
    requests.pipe(MetricKey.tagged("operation", operation), MetricKey.tagged("result", result))
  )
  counters.set(key, counter)
  counter.unsafeUpdate(1, fiber.getFiberRef(FiberRef.currentMetricLabels))
}

/**
 * The service over the `HttpClient` of its environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
  const reporter = yield* ConformanceWarnings
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  const withPolicy = yield* RetryPolicy.capture

  /** The result of a response. Its warnings are reported first. */
  const read = <A>(
    { operation, parse }: Step<A>,
    server: string,
    response: ReceivedResponse,
    request: HttpClientRequest.HttpClientRequest,
    secrets: () => ReadonlyArray<string>,
    now: DateTime.Utc
  ): Effect.Effect<A, TokenError> => {
    // Equal warnings are reported once: a list may hold many malformed items.
    let warnings: Map<string, ConformanceWarning> | undefined
    const warn: Warn = (code, detail, requirement) => {
      const key = `${code} ${detail}`
      warnings ??= new Map()
      if (!warnings.has(key)) warnings.set(key, new ConformanceWarning({ code, server, detail, requirement }))
    }
    const context = { operation, server, secrets, now, warn, credentialsHint: () => encodingHint(request) }
    const parsed = eitherOnDefect(
      () => parse(response, context),
      (exception) =>
        unusable(response, context, `HTTP status ${response.status}, with a body that cannot be read (${exception})`)
    )
    // The server has issued tokens: a failure while a warning is reported must not lose them.
    return warnings === undefined ? parsed : Effect.zipRight(
      Effect.forEach(warnings.values(), (warning) => reportSafely(reporter, warning), { discard: true }),
      parsed
    )
  }

  const attempt = <A>(
    step: Step<A>,
    server: string,
    authentication: ClientAuthentication.Service,
    clientId: string
  ): Effect.Effect<A, TokenError | ConfigurationError> =>
    Effect.withFiberRuntime((fiber) => {
      const { build, operation, target } = step
      const limits = Context.get(fiber.currentContext, HttpLimits)
      const result = Effect.flatMap(build(authentication, clientId), (request) => {
        const secrets = () => secretsOf(request, clientId)
        const response = OutgoingRequest.send(client, request, {
          timeout: limits.tokenTimeout,
          maxBytes: limits.maxResponseBytes,
          redirects: 0,
          allowInsecureLocalhost: target.allowInsecureLocalhost ?? false
        })
        return Effect.flatMap(
          mapFailure(response, (failure) =>
            new TokenError({ operation, server, ...TransportFailure.errorFields(failure, secrets()) })),
          (received) =>
            read(step, server, received, request, secrets, unsafeNow())
        )
      })
      return Effect.matchEffect(result, {
        onSuccess: (value) => {
          count(operation, "success", fiber)
          return Effect.succeed(value)
        },
        onFailure: (error) => {
          count(operation, error.reason, fiber)
          return Effect.fail(error)
        }
      })
    })

  const run = <A>(step: Step<A>): Effect.Effect<A, RequestError> => {
    const { authentication, endpoint, server = Url.forDisplay(endpoint) } = step.target
    const attempts = (by: ClientAuthentication.Service) =>
      Effect.flatMap(
        ClientAuthentication.clientId(by, step.target.clientId),
        (clientId) => RetryPolicy.retry(step.retryUnknown ?? "always")(attempt(step, server, by, clientId))
      )
    const { fallback } = authentication
    const first = attempts(authentication)
    const all = fallback === undefined ? first : Effect.catchIf(
      first,
      (error) => error._tag === "TokenError" && error.error === "invalid_client",
      () =>
        Effect.zipRight(
          Effect.logWarning(
            `${server} refused this client's credentials (invalid_client); the fallback of its authentication is used`
          ),
          attempts(fallback)
        )
    )
    return all.pipe(
      withPolicy,
      withLimits,
      span(`TokenEndpoint.${step.operation}`, { kind: "client", attributes: { "smart.server": server } })
    )
  }

  const grant = (
    operation: Operation,
    target: Target,
    retryUnknown: boolean | undefined,
    params: ClientAuthentication.UnauthenticatedRequest["params"],
    context: Omit<GrantContext, "fhirBaseUrl" | "scopeMayBeOmitted">,
    extensions?: Readonly<Record<string, unknown>> | undefined
  ): Effect.Effect<TokenSet, RequestError> =>
    run({
      operation,
      target,
      retryUnknown: operation === "clientCredentials" ? "always" : retryUnknown === false ? "never" : "once",
      build: authenticated(target, params, extensions),
      parse: parseTokenSet({
        fhirBaseUrl: target.fhirBaseUrl,
        scopeMayBeOmitted: target.authentication.scopeMayBeOmitted,
        ...context
      })
    })

  return {
    exchangeCode: (target, { code, redirectUri, retryUnknown, scopes, verifier }) =>
      grant("exchangeCode", target, retryUnknown, {
        grant_type: "authorization_code",
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier
      }, { defaultScopes: scopes ?? [], requestedScopes: scopes }),
    refresh: (target, { grantedScopes, refreshToken, retryUnknown, scopes }) =>
      grant("refresh", target, retryUnknown, {
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        scope: scopes?.join(" ")
      }, { defaultScopes: scopes ?? grantedScopes ?? [], requestedScopes: scopes, refreshToken }),
    clientCredentials: (target, { extensions, scopes }) =>
      grant(
        "clientCredentials",
        target,
        undefined,
        {
          grant_type: "client_credentials",
          scope: scopes.join(" ")
        },
        { defaultScopes: scopes, requestedScopes: scopes },
        extensions
      ),
    introspect: (target, { authorization = "client", token, tokenTypeHint }) => {
      const params = { token, token_type_hint: tokenTypeHint }
      const form = ClientAuthentication.formRequest
      const build: BuildRequest = authorization === "client"
        ? authenticated(target, params)
        : (_, clientId) =>
          Effect.succeed(HttpClientRequest.bearerToken(form({ ...target, clientId, params }), authorization))
      return run({ operation: "introspect", target, build, parse: Introspection.fromResponse })
    },
    userInfo: (target, { token }) => {
      const request = HttpClientRequest.get(target.endpoint, { acceptJson: true })
      const build = () => Effect.succeed(HttpClientRequest.bearerToken(request, token))
      return run({ operation: "userInfo", target, build, parse: UserInfo.fromResponse(target.fhirBaseUrl) })
    },
    revoke: (target, { token, tokenTypeHint }) => {
      const build = authenticated(target, { token, token_type_hint: tokenTypeHint })
      return run({ operation: "revoke", target, build, parse: parseRevocation })
    }
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
