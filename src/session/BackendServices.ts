/**
 * Tokens for the program itself, without a user (SMART App Launch 2.2, "Backend Services"; requirements 229 to 268): cached per server and scopes,
 * renewed before they expire, one request however many ask.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import * as SingleFlight from "../base/SingleFlight.js"
import type { TokenAudienceError } from "../http/BearerClient.js"
import * as BearerClient from "../http/BearerClient.js"
import * as TokenAudience from "../http/TokenAudience.js"
import * as Scopes from "../launch/Scopes.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import type { UnknownServerError } from "../smart/UnknownServerError.js"
import type { TokenError } from "../token/TokenError.js"
import type { TokenSet } from "../token/TokenSet.js"
import { isExpired } from "../token/TokenSet.js"
import { failIfExpired } from "./internal/failIfExpired.js"
import * as RenewalTime from "./internal/renewalTime.js"

/**
 * Why there is no token.
 *
 * @since 0.1.0
 * @category errors
 */
export type BackendError = UnknownServerError | TokenError | DiscoveryError | ConfigurationError

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Default: the only server there is. */
  readonly server?: string | undefined
  /** Default: those of the server's configuration; without any, `system/*.rs`. */
  readonly scopes?: ReadonlyArray<SmartClient.ScopeInput> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** One that is valid is returned at once; when it is due for renewal, that runs in the background. An expired token is never returned. */
  readonly accessToken: (request?: Request) => Effect.Effect<Redacted.Redacted, BackendError>
  /** The token with what was granted and until when. */
  readonly tokens: (request?: Request) => Effect.Effect<TokenSet, BackendError>
  /** The token after one that a server refused: renewed only if it is still the one that is cached. */
  readonly accessTokenAfter: (
    refused: Redacted.Redacted,
    request?: Request
  ) => Effect.Effect<Redacted.Redacted, BackendError>
  /** The client of the server the tokens are for. */
  readonly client: (request?: Request) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /** A client that carries the token to the FHIR base and nowhere else, and renews it once after a 401. */
  readonly httpClient: (
    request?: Request
  ) => HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | BackendError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class BackendServices extends Context.Tag("effect-safire/BackendServices")<BackendServices, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long before expiry a token is renewed. */
  readonly renewalMargin?: RenewalTime.Margin | undefined
  /** How long a valid token is used before a renewal that failed is tried again. Default 5 seconds. */
  readonly failureCooldown?: Duration.DurationInput | undefined
  /** How long the server is left alone after it refused this client's credentials. Default 1 minute. */
  readonly credentialsCooldown?: Duration.DurationInput | undefined
}

/** What is known for one server and one set of scopes. */
interface CachedToken {
  readonly tokens?: TokenSet | undefined
  /** The last failure, and until when it is not tried again. */
  readonly failure?: { readonly error: BackendError; readonly until: number; readonly isFinal: boolean } | undefined
}

const isSame = (refused: Redacted.Redacted | undefined, token: Redacted.Redacted): boolean =>
  refused !== undefined && Redacted.value(refused) === Redacted.value(token)

const DEFAULT_SCOPES: ReadonlyArray<SmartClient.ScopeInput> = [Scopes.system("*", "rs")]

/** What asking again soon does not change. Some servers answer `invalid_grant` to an assertion that they do not accept. */
const FINAL: ReadonlySet<string | undefined> = new Set([
  "invalid_client",
  "unauthorized_client",
  "invalid_grant",
  "invalid_scope",
  "unsupported_grant_type"
])

const isRefused = (error: BackendError): boolean => error._tag === "TokenError" && FINAL.has(error.error)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, never, SmartServers.SmartServers | HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const client = yield* HttpClient.HttpClient
    const failureCooldown = Duration.toMillis(options.failureCooldown ?? "5 seconds")
    const credentialsCooldown = Duration.toMillis(options.credentialsCooldown ?? "1 minute")
    // By client, so that a server that is removed or replaced leaves nothing behind, and its successor starts anew.
    const held = new WeakMap<SmartClient.Service, Map<string, CachedToken>>()
    const ids = new WeakMap<SmartClient.Service, number>()
    let clients = 0
    // A token for the program itself can be asked for again: a request under way is given up when the program stops.
    const flights = SingleFlight.make<TokenSet, BackendError>(yield* Effect.scope)
    const unscoped = new WeakSet<SmartClient.Service>()

    const of = <A>(by: WeakMap<SmartClient.Service, A>, smart: SmartClient.Service, make: () => A): A => {
      const found = by.get(smart) ?? make()
      by.set(smart, found)
      return found
    }

    const scopesOf = (smart: SmartClient.Service, request: Request) =>
      Effect.suspend(() => {
        const scopes = request.scopes ?? smart.config.scopes
        if (scopes !== undefined) return Effect.succeed(scopes)
        const warned = unscoped.has(smart)
        unscoped.add(smart)
        return Effect.as(
          warned ? Effect.void : Effect.logWarning(`${smart.name}: no scopes are configured; system/*.rs is asked for`),
          DEFAULT_SCOPES
        )
      })

    const flightKey = (smart: SmartClient.Service, key: string): string => `${of(ids, smart, () => ++clients)} ${key}`

    const obtain = (smart: SmartClient.Service, key: string, scopes: ReadonlyArray<SmartClient.ScopeInput>) => {
      const entries = of(held, smart, () => new Map<string, CachedToken>())
      return smart.clientCredentials({ scopes }).pipe(
        Effect.tap((tokens) => Effect.sync(() => entries.set(key, { tokens }))),
        Effect.tapError((error) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            const isFinal = isRefused(error)
            const until = now + (isFinal ? credentialsCooldown : failureCooldown)
            entries.set(key, { tokens: entries.get(key)?.tokens, failure: { error, until, isFinal } })
          })
        )
      )
    }

    const tokensFor = (smart: SmartClient.Service, request: Request, refused?: Redacted.Redacted) =>
      Effect.gen(function*() {
        const scopes = yield* scopesOf(smart, request)
        const key = Scopes.print(
          Scopes.normalize(scopes.flatMap((scope) => typeof scope === "string" ? Scopes.parse(scope) : [scope]))
        )
        const now = yield* DateTime.now
        const nowMillis = DateTime.toEpochMillis(now)
        const { failure, tokens } = held.get(smart)?.get(key) ?? {}
        const isCoolingDown = failure !== undefined && nowMillis < failure.until
        if (tokens !== undefined && !isSame(refused, tokens.accessToken) && !isExpired(tokens, now)) {
          const isDue = nowMillis >= RenewalTime.dueAt(tokens, options.renewalMargin)
          if (isDue && !isCoolingDown) yield* flights.start(flightKey(smart, key), () => obtain(smart, key, scopes))
          return tokens
        }
        if (isCoolingDown && failure.isFinal) return yield* failure.error
        const renewed = yield* flights.run(flightKey(smart, key), () => obtain(smart, key, scopes))
        yield* failIfExpired(renewed, { operation: "clientCredentials", server: smart.name })
        return renewed
      })

    const clientFor = (request: Request) => request.server === undefined ? servers.only : servers.client(request.server)

    const tokens = (request: Request = {}, refused?: Redacted.Redacted) =>
      Effect.flatMap(clientFor(request), (smart) => tokensFor(smart, request, refused))

    return {
      accessToken: (request) => Effect.map(tokens(request), ({ accessToken }) => accessToken),
      tokens: (request) => tokens(request),
      accessTokenAfter: (refused, request) => Effect.map(tokens(request, refused), ({ accessToken }) => accessToken),
      client: (request = {}) => clientFor(request),
      httpClient: (request = {}) =>
        BearerClient.make<BackendError>(client, {
          authorization: Effect.map(clientFor(request), ({ config }) => ({
            audience: { ...TokenAudience.make([config.fhirBaseUrl], config), discovered: config.discovered },
            token: Effect.map(tokens(request), ({ accessToken }) => accessToken)
          })),
          tokenAfter: (refused) => Effect.map(tokens(request, refused), ({ accessToken }) => accessToken)
        })
    }
  })

/**
 * With other than the default options; bind it to a `const`. Each call makes another layer, with tokens and an `HttpClient` of its own: call it twice
 * for two registries or two transports in one build.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<BackendServices, never, SmartServers.SmartServers | HttpClient.HttpClient> =>
  Layer.scoped(BackendServices, make(options))

/**
 * For the servers of a registry. One value, which Effect builds once, with the registry and the `HttpClient` of its first use: all its users share the
 * tokens. Another one in the same build is `layerWith({})`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<BackendServices, never, SmartServers.SmartServers | HttpClient.HttpClient> = layerWith(
  {}
)

/**
 * For one server. As `layer`, it is built once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<BackendServices, never, SmartClient.SmartClient | HttpClient.HttpClient> =
  Layer
    .provide(layerWith({}), SmartServers.layerFromClient)
