/**
 * Many servers side by side: each with its own client and its own kind of authentication, all on one metadata cache, one token endpoint and one
 * `HttpClient`. Closed by default: a launch `iss` that none of them has is refused before any request is made.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { ConfigurationError } from "../base/ConfigurationError.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import * as AddressGuard from "../http/AddressGuard.js"
import { safeText } from "../http/OAuthErrorFields.js"
import { LaunchError } from "../launch/LaunchError.js"
import { TrustedIssuers } from "../launch/TrustedIssuers.js"
import type { BrandCollection, ListedServer } from "../server/BrandBundle.js"
import * as BrandBundle from "../server/BrandBundle.js"
import * as MixUp from "./internal/mixUp.js"
import * as OpenRegistry from "./internal/openRegistry.js"
import type { RegistryEntry } from "./internal/register.js"
import { register } from "./internal/register.js"
import * as SmartClient from "./SmartClient.js"
import { UnknownServerError } from "./UnknownServerError.js"

/**
 * One server of a registry. Its key is its name in sessions, spans and errors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server<out E = never, out R = never> extends Omit<SmartClient.Config, "name"> {
  /** A layer, or the bare service (`ClientAuthentication.make…`), which is lighter where there are thousands. */
  readonly authentication:
    | Layer.Layer<ClientAuthentication.ClientAuthentication, E, R>
    | ClientAuthentication.Service
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly keys: Effect.Effect<ReadonlyArray<string>>
  readonly client: (key: string) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /**
   * The server with this FHIR base URL: compared as parsed URLs, one slash at the end forgiven. Where several have it (an app that is registered twice,
   * for clinicians and for patients), the one whose key is `meant`.
   */
  readonly forLaunchIss: (
    iss: string,
    meant?: string | undefined
  ) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /** The only server there is. */
  readonly only: Effect.Effect<SmartClient.Service, UnknownServerError>
  /** Where the configured servers send people back to, each redirect URI once. */
  readonly redirectUris: Effect.Effect<ReadonlyArray<string>>
  /** Adds, or replaces: then what the old one held is released. */
  readonly add: <E = never, R = never>(
    key: string,
    server: Server<E, R>
  ) => Effect.Effect<void, E | ConfigurationError, Exclude<R, Scope.Scope>>
  readonly remove: (key: string) => Effect.Effect<void>
  /** Forgets the server's metadata. */
  readonly invalidate: (key: string) => Effect.Effect<void, UnknownServerError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SmartServers extends Context.Tag("effect-safire/SmartServers")<SmartServers, Service>() {}

/**
 * Servers by key. Their authentications may need and fail with different things: both are read entry by entry.
 *
 * @since 0.1.0
 * @category models
 */
export type Servers = Readonly<Record<string, Server<unknown, unknown>>>

/**
 * @since 0.1.0
 * @category models
 */
export type ErrorOf<S extends Servers> = S[keyof S]["authentication"] extends infer A
  ? A extends Layer.Layer<infer _Out, infer E, infer _R> ? E : never
  : never

/**
 * @since 0.1.0
 * @category models
 */
export type ContextOf<S extends Servers> = S[keyof S]["authentication"] extends infer A
  ? A extends Layer.Layer<infer _Out, infer _E, infer R> ? Exclude<R, Scope.Scope> : never
  : never

const issuerKey = (iss: string): string | undefined =>
  Either.getOrUndefined(Either.map(FhirBaseUrl.parse(iss), FhirBaseUrl.key))

const unknown = (reason: UnknownServerError["reason"], requested: string, candidates: Iterable<string>) =>
  new UnknownServerError({ reason, requested: safeText(requested, [], 200), candidates: [...candidates].slice(0, 20) })

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = <const S extends Servers>(
  servers: S
): Effect.Effect<Service, ErrorOf<S> | ConfigurationError, ContextOf<S> | SmartClient.Dependencies | Scope.Scope> =>
  makeIn(servers, MixUp.makeDirectory(false))

const makeIn = <const S extends Servers>(
  servers: S,
  directory: MixUp.Directory
): Effect.Effect<Service, ErrorOf<S> | ConfigurationError, ContextOf<S> | SmartClient.Dependencies | Scope.Scope> => {
  const build = Effect.gen(function*() {
    const scope = yield* Effect.scope
    const parts = yield* Effect.context<SmartClient.Dependencies>()
    const memoMap = yield* Layer.makeMemoMap
    const registered = new Map<string, RegistryEntry>()
    const keysByIssuer = new Map<string, ReadonlySet<string>>()

    const index = ({ config: { fhirBaseUrl } }: RegistryEntry, change: (keys: Set<string>) => void) => {
      const issuer = issuerKey(fhirBaseUrl) ?? fhirBaseUrl
      const keys = new Set(keysByIssuer.get(issuer))
      change(keys)
      if (keys.size === 0) keysByIssuer.delete(issuer)
      else keysByIssuer.set(issuer, keys)
    }
    /** Takes a server out of the registry; what it held is for the caller to release. */
    const takeOut = (key: string, nowMillis: number): Effect.Effect<void> => {
      const old = registered.get(key)
      if (old === undefined) return Effect.void
      registered.delete(key)
      directory.remove(old, nowMillis)
      index(old, (keys) => keys.delete(key))
      return old.release
    }
    const client: Service["client"] = (key) =>
      Effect.suspend(() => {
        const found = registered.get(key)
        return found === undefined ? unknown("UnknownKey", key, registered.keys()) : found.client
      })

    const service: Service = {
      keys: Effect.sync(() => [...registered.keys()]),
      client,
      forLaunchIss: (iss, meant) =>
        Effect.suspend(() => {
          const issuer = issuerKey(iss)
          const keys = (issuer === undefined ? undefined : keysByIssuer.get(issuer)) ?? []
          const [key, ...others] = meant === undefined ? keys : Array.from(keys).filter((key) => key === meant)
          if (key === undefined) return unknown("UnknownIssuer", Url.forDisplay(iss), registered.keys())
          return others.length === 0 ? client(key) : unknown("Ambiguous", Url.forDisplay(iss), [key, ...others])
        }),
      only: Effect.suspend(() => {
        const [key, ...others] = registered.keys()
        if (key === undefined) return unknown("UnknownKey", "", [])
        return others.length === 0 ? client(key) : unknown("Ambiguous", "", registered.keys())
      }),
      redirectUris: Effect.sync(() =>
        Array.from(new Set(Array.from(registered.values(), ({ config }) => config.redirectUri)))
          .filter((redirectUri) => redirectUri !== undefined)
      ),
      add: <E, R>(key: string, server: Server<E, R>) =>
        // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(register(key, server, parts, memoMap, scope, directory)), (next) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              const release = takeOut(key, now)
              registered.set(key, next)
              directory.add(next)
              index(next, (keys) =>
                keys.add(key))
              return release
            }))
          // A layer's scope is the registry's own, whatever the layer asks for.
        ) as Effect.Effect<void, E | ConfigurationError, Exclude<R, Scope.Scope>>,
      remove: (key) => Effect.flatMap(Clock.currentTimeMillis, (now) => takeOut(key, now)),
      invalidate: (key) => Effect.flatMap(client(key), ({ invalidate }) => invalidate)
    }
    yield* Effect.forEach(Object.entries(servers), ([key, server]) => service.add(key, server), { discard: true })
    return service
  })
  // The loop sees every entry as the widest there is; what the entries really need and fail with is in their types.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  return build as Effect.Effect<
    Service,
    ErrorOf<S> | ConfigurationError,
    ContextOf<S> | SmartClient.Dependencies | Scope.Scope
  >
}

/**
 * For callers that bring their own parts, such as a shared `Discovery`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutDependencies = <const S extends Servers>(
  servers: S
): Layer.Layer<SmartServers, ErrorOf<S> | ConfigurationError, ContextOf<S> | SmartClient.Dependencies> =>
  Layer.scoped(SmartServers, make(servers)) as Layer.Layer<
    SmartServers,
    ErrorOf<S> | ConfigurationError,
    ContextOf<S> | SmartClient.Dependencies
  >

/**
 * @example
 * import { ClientAuthentication, SmartServers } from "effect-safire"
 * import * as Redacted from "effect/Redacted"
 *
 * export const ServersLive = SmartServers.layer({
 *   north: {
 *     fhirBaseUrl: "https://north.example.org/fhir",
 *     clientId: "growth-chart",
 *     redirectUri: "https://app.example.org/callback/north",
 *     authentication: ClientAuthentication.layerPublic
 *   },
 *   south: {
 *     fhirBaseUrl: "https://south.example.org/r4",
 *     clientId: "4711",
 *     redirectUri: "https://app.example.org/callback/south",
 *     authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: Redacted.make("from a vault") })
 *   }
 * })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <const S extends Servers>(
  servers: S
): Layer.Layer<SmartServers, ErrorOf<S> | ConfigurationError, ContextOf<S> | HttpClient.HttpClient> =>
  Layer.provide(layerWithoutDependencies(servers), SmartClient.layerDependencies()) as Layer.Layer<
    SmartServers,
    ErrorOf<S> | ConfigurationError,
    ContextOf<S> | HttpClient.HttpClient
  >

/**
 * How a server is met that nobody configured: who we are there. `undefined` refuses it.
 *
 * @since 0.1.0
 * @category models
 */
export type Configure = (
  fhirBaseUrl: string
) => Omit<Server, "fhirBaseUrl" | "allowInsecureLocalhost" | "discovered"> | undefined

/**
 * A registry that follows a launch from any server over https, as `configure` says: for apps whose servers no list can hold. Whoever sends a launch
 * chooses where this program connects to, and what `configure` gives goes to them: give no secret to a server you do not know, and
 * show the user where they are. Hence the `AddressGuard`: the connection itself must refuse what is inside one's own network.
 *
 * The `HttpClient` that this layer is provided with must be guarded, or it fails with a `ConfigurationError`; `FhirClient` and `BackendServices` refuse
 * requests to discovered servers over any other. Provide the same transport to all that follows URLs of such servers: `SmartStyle`, `Brands`, `Registration`.
 *
 * `servers` are configured by hand, may be on private addresses, and are the only ones in `keys` and `only`. Of the others, `maxServers` are
 * remembered (1,000 unless told otherwise), the least recently used forgotten first; a session of one that was forgotten makes it again.
 *
 * Of a discovered server, the `iss` of a callback is believed only if it is at the origin of its FHIR base URL, or the `issuer` that `configure` gives. For a
 * configured server with another issuer, configure its `issuer`.
 *
 * @example
 * import { ClientAuthentication, SmartServers } from "effect-safire"
 * import { NodeTransport } from "effect-safire/node"
 * import * as Layer from "effect/Layer"
 *
 * export const ServersLive = SmartServers.layerOpen(() => ({
 *   clientId: "growth-chart",
 *   redirectUri: "https://app.example.org/callback",
 *   authentication: ClientAuthentication.makePublic
 * })).pipe(Layer.provide(NodeTransport.layerGuarded()))
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOpen = <const S extends Servers = Record<never, never>>(
  configure: Configure,
  options?: { readonly servers?: S | undefined; readonly maxServers?: number | undefined } | undefined
): Layer.Layer<
  SmartServers,
  ErrorOf<S> | ConfigurationError,
  ContextOf<S> | HttpClient.HttpClient | AddressGuard.AddressGuard
> => {
  const build = Effect.gen(function*() {
    // The instance decides, not the tag: another transport may have been merged over the guarded one.
    const guard = AddressGuard.guardOf(yield* HttpClient.HttpClient)
    if (Option.isNone(guard)) {
      return yield* new ConfigurationError({
        reason: "Insecure",
        fields: ["HttpClient"],
        detail:
          `SmartServers.layerOpen follows launches to servers that you did not configure, and ${AddressGuard.advice}`
      })
    }
    const directory = MixUp.makeDirectory(true)
    const open = OpenRegistry.make({
      configured: yield* makeIn({}, directory),
      // What anybody can make the registry discover must not decide over the issuer of another server.
      discovered: yield* makeIn({}, { ...directory, add: () => undefined, remove: () => undefined }),
      configure,
      maxServers: options?.maxServers ?? 1000,
      guard: guard.value,
      scope: yield* Effect.scope
    })
    yield* Effect.forEach(
      Object.entries<Server<unknown, unknown>>(options?.servers ?? {}),
      ([key, server]) => open.add(key, server),
      { discard: true }
    )
    return open
  })
  // As in `make`: what the entries need and fail with is in their types.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  return Layer.provide(Layer.scoped(SmartServers, build), SmartClient.layerDependencies()) as Layer.Layer<
    SmartServers,
    ErrorOf<S> | ConfigurationError,
    ContextOf<S> | HttpClient.HttpClient | AddressGuard.AddressGuard
  >
}

/** `north-2` is configured by `NORTH_2_…`. */
const prefixOf = (key: string): string => key.toUpperCase().replace(/[^A-Z0-9]+/g, "_")

/** One server's variables: the `SMART_*` of a single client, under the key's own prefix. */
const fromEnvironment = (key: string) =>
  Effect.configProviderWith((provider) =>
    Effect.all({
      config: SmartClient.config,
      authentication: Effect.map(
        Layer.build(ClientAuthentication.layerConfig),
        Context.get(ClientAuthentication.ClientAuthentication)
      )
    }).pipe(
      Effect.withConfigProvider(
        ConfigProvider.mapInputPath(provider, (segment) => segment === "SMART" ? prefixOf(key) : segment)
      ),
      Effect.map(({ authentication, config }): readonly [string, Server] => [key, { ...config, authentication }])
    )
  )

/**
 * A registry from the environment: `SMART_SERVERS=north,south`, then `NORTH_FHIR_BASE_URL`, `NORTH_CLIENT_ID`, `NORTH_CLIENT_SECRET` and so on, as
 * `SmartClient.layerConfig()` has them with `SMART_`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (): Layer.Layer<SmartServers, ConfigError | ConfigurationError, HttpClient.HttpClient> =>
  Layer.unwrapScoped(
    Effect.gen(function*() {
      const keys = yield* Config.array(Config.nonEmptyString(), "SMART_SERVERS")
      const prefixes = keys.map(prefixOf)
      const doubled = keys.filter((_, i) => prefixes.indexOf(prefixes[i] ?? "") !== i)
      if (doubled.length > 0) {
        return yield* new ConfigurationError({
          reason: "Conflict",
          fields: ["SMART_SERVERS"],
          detail: `${doubled.join(", ")} would share variables with a server named before`
        })
      }
      return layer(Object.fromEntries(yield* Effect.forEach(keys, fromEnvironment)))
    })
  )

/**
 * A registry of one: what makes `Sessions` and the web routes the same for one server and for many. It never changes: `add` fails, and `remove` has
 * nothing it could remove.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<SmartServers, never, SmartClient.SmartClient> = Layer.fresh(Layer.effect(
  SmartServers,
  Effect.map(SmartClient.SmartClient, (client): Service => {
    const fixed = new ConfigurationError({
      reason: "Conflict",
      fields: ["SmartServers.layerFromClient"],
      detail: "a registry of one cannot change; use SmartServers.layer"
    })
    const when = (fits: boolean, reason: UnknownServerError["reason"], requested: string) =>
      fits ? Effect.succeed(client) : unknown(reason, requested, [client.name])
    const byKey: Service["client"] = (key) => when(key === client.name, "UnknownKey", key)
    return {
      keys: Effect.succeed([client.name]),
      client: byKey,
      forLaunchIss: (iss, meant) =>
        when(
          issuerKey(iss) !== undefined && issuerKey(iss) === issuerKey(client.config.fhirBaseUrl) &&
            (meant === undefined || meant === client.name),
          "UnknownIssuer",
          Url.forDisplay(iss)
        ),
      only: Effect.succeed(client),
      redirectUris: Effect.succeed(client.config.redirectUri === undefined ? [] : [client.config.redirectUri]),
      add: () => fixed,
      remove: () => Effect.void,
      invalidate: (key) => Effect.flatMap(byKey(key), ({ invalidate }) => invalidate)
    }
  })
))

/**
 * The reverse: what is written for one `SmartClient` runs against a named one of the registry.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (
  key: string
): Layer.Layer<SmartClient.SmartClient, UnknownServerError, SmartServers> =>
  Layer.effect(SmartClient.SmartClient, Effect.flatMap(SmartServers, (servers) => servers.client(key)))

/**
 * Launches are followed from the servers of the registry, and from no other.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTrustedIssuers: Layer.Layer<TrustedIssuers, never, SmartServers> = Layer.fresh(Layer.effect(
  TrustedIssuers,
  Effect.map(SmartServers, (servers) => ({
    find: (iss, meant) =>
      servers.forLaunchIss(iss, meant).pipe(
        Effect.map(({ config, name }) => ({
          server: name,
          allowInsecureLocalhost: config.allowInsecureLocalhost ?? false
        })),
        Effect.mapError(({ reason }) =>
          new LaunchError({
            reason: reason === "Ambiguous" ? "IssAmbiguous" : "IssUntrusted",
            iss: Url.forDisplay(iss),
            detail: reason === "Ambiguous"
              ? "its iss is that of several servers"
              : meant === undefined
              ? "its iss is no configured server"
              : "its iss is not that of the server it names"
          })
        )
      )
  }))
))

/**
 * The servers of a brand bundle as a registry wants them: `configure` says who we are at each, and leaves out those where we are nobody (to be
 * listed grants no access, requirement 435). A server's key is its FHIR base URL, which stays what it is when its brand changes its name.
 *
 * @example
 * import type { Brands } from "effect-safire"
 * import { ClientAuthentication, SmartServers } from "effect-safire"
 *
 * export const listed = (bundle: Brands.BrandBundle) =>
 *   SmartServers.layer(SmartServers.fromBrands(bundle, () => ({
 *     clientId: "growth-chart",
 *     redirectUri: "https://app.example.org/callback",
 *     authentication: ClientAuthentication.makePublic
 *   })))
 *
 * @since 0.1.0
 * @category combinators
 */
export const fromBrands = <E = never, R = never>(
  brands: BrandCollection,
  configure: (listed: ListedServer) => Omit<Server<E, R>, "fhirBaseUrl"> | undefined,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): Readonly<Record<string, Server<E, R>>> =>
  Object.fromEntries(
    BrandBundle.servers(brands, options).flatMap((listed) => {
      const settings = configure(listed)
      return settings === undefined ? [] : [[listed.fhirBaseUrl, { ...settings, fhirBaseUrl: listed.fhirBaseUrl }]]
    })
  )
