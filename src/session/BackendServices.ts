/**
 * Access tokens for the app itself, without a user (SMART App Launch 2.2, "Backend Services"; requirements 229 to 268).
 * Tokens are cached by server, scopes and authorization extensions, renewed before they expire, and requested once for
 * all concurrent callers.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as BoundedMap from "../base/BoundedMap.js"
import { canonicalJson } from "../base/CanonicalJson.js"
import * as SingleFlight from "../base/SingleFlight.js"
import type { TokenAudienceError } from "../http/BearerRequest.js"
import * as BearerRequest from "../http/BearerRequest.js"
import * as TokenAudience from "../http/TokenAudience.js"
import * as Scopes from "../launch/Scopes.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import type { UnknownServerError } from "../smart/UnknownServerError.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { RenewalOptions, TokenState } from "./SessionState.js"
import * as SessionState from "./SessionState.js"

/**
 * Why a request for a token failed.
 *
 * @since 0.1.0
 * @category errors
 */
export type BackendError =
  | UnknownServerError
  | Effect.Effect.Error<ReturnType<SmartClient.Service["clientCredentials"]>>

/**
 * At which server, and with which scopes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** The server's key. Default: the only configured server. */
  readonly server?: string | undefined
  /** Default: the scopes of the server's configuration, or `system/*.rs` if it has none. */
  readonly scopes?: ReadonlyArray<SmartClient.ScopeInput> | undefined
  /**
   * Authorization extension objects, for a client that authenticates by UDAP. A token is used only for requests with
   * equal extensions (UDAP Security STU2, section 5.2.1.1).
   */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Access tokens for the app itself. Failures are `BackendError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** A valid token is returned at once; if it is due, its renewal runs in the background. */
  readonly accessToken: (request?: Request) => Effect.Effect<Redacted.Redacted, BackendError>
  /** As `accessToken`, with the granted scopes and the expiry. */
  readonly tokens: (request?: Request) => Effect.Effect<TokenSet, BackendError>
  /** An access token other than `refused`. A new one is requested only if `refused` is still the cached token. */
  readonly accessTokenAfter: (
    refused: Redacted.Redacted,
    request?: Request
  ) => Effect.Effect<Redacted.Redacted, BackendError>
  /** The client of the tokens' server. */
  readonly client: (request?: Request) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /** An `HttpClient` that sends the token to the FHIR base URL only, and renews it once after a 401. */
  readonly httpClient: (
    request?: Request
  ) => HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | BackendError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class BackendServices extends Context.Tag("effect-safire/BackendServices")<BackendServices, Service>() {}

/**
 * When tokens are renewed, and pauses after failures.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends RenewalOptions {}

/** Extensions may name a user: the number of tokens is not limited by the configuration. */
const MAX_TOKENS = 10_000

/** The tokens of one server, by scopes and extensions. */
interface ServerTokens {
  readonly states: BoundedMap.BoundedMap<TokenState<BackendError>>
  readonly requests: SingleFlight.SingleFlight<TokenSet, BackendError>
  hasWarned: boolean
}

const DEFAULT_SCOPES: ReadonlyArray<SmartClient.ScopeInput> = [Scopes.system("*", "rs")]

/** Errors that a second request does not change. Some servers respond `invalid_grant` to an assertion they reject. */
const FINAL: ReadonlySet<string | undefined> = new Set([
  "invalid_client",
  "unauthorized_client",
  "invalid_grant",
  "invalid_scope",
  "unsupported_grant_type"
])

const isFinal = (error: BackendError): boolean => error._tag === "TokenError" && FINAL.has(error.error)

const keyOf = (scopes: ReadonlyArray<SmartClient.ScopeInput>, extensions: Request["extensions"]): string => {
  const normalized = Scopes.normalize(
    scopes.flatMap((scope) => typeof scope === "string" ? Scopes.parse(scope) : [scope])
  )
  return `${Scopes.print(normalized)} ${canonicalJson(extensions)}`
}

/**
 * Makes the service. Requests in progress end with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, never, SmartServers.SmartServers | HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const { credentialsCooldown = "1 minute", failureCooldown = "5 seconds", renewalMargin } = options
    const servers = yield* SmartServers.SmartServers
    const httpClient = yield* HttpClient.HttpClient
    const scope = yield* Effect.scope
    // By client: a server that is removed or replaced leaves no tokens behind.
    const tokensByClient = new WeakMap<SmartClient.Service, ServerTokens>()

    const tokensOf = (client: SmartClient.Service): ServerTokens => {
      const known = tokensByClient.get(client)
      if (known !== undefined) return known
      // A token request can be repeated, so requests in progress end with the program.
      const created = {
        states: BoundedMap.make<TokenState<BackendError>>(MAX_TOKENS),
        requests: SingleFlight.make<TokenSet, BackendError>(scope),
        hasWarned: false
      }
      tokensByClient.set(client, created)
      return created
    }

    const scopesFor = (client: SmartClient.Service, request: Request, tokens: ServerTokens) =>
      Effect.suspend(() => {
        const scopes = request.scopes ?? client.config.scopes
        if (scopes !== undefined) return Effect.succeed(scopes)
        const warning = tokens.hasWarned
          ? Effect.void
          : Effect.logWarning(`${client.name}: no scopes are configured, so system/*.rs is requested`)
        tokens.hasWarned = true
        return Effect.as(warning, DEFAULT_SCOPES)
      })

    const current = (client: SmartClient.Service, request: Request, refused?: Redacted.Redacted) =>
      Effect.gen(function*() {
        const cache = tokensOf(client)
        const { requests, states } = cache
        const scopes = yield* scopesFor(client, request, cache)
        const { extensions } = request
        const key = keyOf(scopes, extensions)
        const state = states.get(key) ?? {}
        const requestToken = () =>
          client.clientCredentials({ scopes, extensions }).pipe(
            Effect.tap((tokens) => Effect.sync(() => states.set(key, { tokens }))),
            Effect.tapError((error) =>
              Effect.map(DateTime.now, (now) => {
                const retryAt = SessionState.retryAt(error, now, isFinal(error) ? credentialsCooldown : failureCooldown)
                states.set(key, { tokens: states.get(key)?.tokens, renewalFailure: { error, retryAt } })
              })
            )
          )
        const decision = SessionState.decideToken(state, yield* Clock.currentTimeMillis, { refused, renewalMargin })
        if (decision._tag === "CoolDown" && isFinal(decision.error)) return yield* decision.error
        if (decision._tag === "UseTokenAndRenew") yield* requests.start(key, requestToken)
        if (state.tokens !== undefined && decision._tag.startsWith("UseToken")) return state.tokens
        const tokens = yield* requests.run(key, requestToken)
        return yield* SessionState.checkNotExpired(tokens, yield* Clock.currentTimeMillis, {
          operation: "clientCredentials",
          server: client.name
        })
      })

    const clientFor = ({ server }: Request) => server === undefined ? servers.only : servers.client(server)

    const tokens = (request: Request = {}, refused?: Redacted.Redacted) =>
      Effect.flatMap(clientFor(request), (client) => current(client, request, refused))

    const accessToken = (request?: Request, refused?: Redacted.Redacted) =>
      Effect.map(tokens(request, refused), ({ accessToken }) => accessToken)

    return {
      accessToken: (request) => accessToken(request),
      tokens: (request) => tokens(request),
      accessTokenAfter: (refused, request) => accessToken(request, refused),
      client: (request = {}) => clientFor(request),
      httpClient: (request = {}) =>
        BearerRequest.makeClient<BackendError>(httpClient, {
          authorization: Effect.map(clientFor(request), ({ config }) => ({
            audience: { ...TokenAudience.make([config.fhirBaseUrl], config), discovered: config.discovered },
            token: accessToken(request)
          })),
          tokenAfter: (refused) => accessToken(request, refused)
        })
    }
  })

/**
 * Backend tokens with options. Each call returns another layer with its own tokens and `HttpClient`: bind the layer
 * to a `const`, and call `layerWith` twice for two registries or two transports in one build.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<BackendServices, never, SmartServers.SmartServers | HttpClient.HttpClient> =>
  Layer.scoped(BackendServices, make(options))

/**
 * Backend tokens for the servers of a registry. Effect builds this constant once, with the registry and the
 * `HttpClient` of its first use, so that all users share the tokens. For a second one in the same build use
 * `layerWith({})`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<BackendServices, never, SmartServers.SmartServers | HttpClient.HttpClient> = layerWith(
  {}
)

/**
 * Backend tokens for one server. As `layer`, it is built once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<BackendServices, never, SmartClient.SmartClient | HttpClient.HttpClient> =
  Layer
    .provide(layerWith({}), SmartServers.layerFromClient)
