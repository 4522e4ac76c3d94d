/**
 * The SMART servers that an app works with. Each has its own client and authentication; all share one metadata cache
 * and one `HttpClient`. Closed by default: a launch `iss` of an unknown server is refused before any request is made.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Url from "../base/Url.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import * as ClientAuthenticationConfig from "../client/ClientAuthenticationConfig.js"
import * as AddressGuard from "../http/AddressGuard.js"
import { LaunchError } from "../launch/LaunchError.js"
import { TrustedIssuers } from "../launch/TrustedIssuers.js"
import type { BrandCollection, ListedServer } from "../server/BrandBundle.js"
import * as BrandBundle from "../server/BrandBundle.js"
import * as MixUp from "./internal/mixUp.js"
import type { Configure } from "./internal/openRegistry.js"
import * as OpenRegistry from "./internal/openRegistry.js"
import type { Server, Servers, Service } from "./internal/registry.js"
import * as Registry from "./internal/registry.js"
import * as SmartClient from "./SmartClient.js"
import type { UnknownServerError } from "./UnknownServerError.js"

export type { Configure } from "./internal/openRegistry.js"
export type { Server, Servers, Service } from "./internal/registry.js"

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class SmartServers extends Context.Tag("effect-safire/SmartServers")<SmartServers, Service>() {}

/**
 * The errors of the authentication layers.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorOf<S extends Servers> = S[keyof S]["authentication"] extends infer A
  ? A extends Layer.Layer<infer _Out, infer E, infer _R> ? E : never
  : never

/**
 * The requirements of the authentication layers.
 *
 * @since 0.1.0
 * @category models
 */
export type ContextOf<S extends Servers> = S[keyof S]["authentication"] extends infer A
  ? A extends Layer.Layer<infer _Out, infer _E, infer R> ? Exclude<R, Scope.Scope> : never
  : never

/**
 * A registry layer: its error and requirements follow from the type of its servers.
 *
 * @since 0.1.0
 * @category models
 */
export type RegistryLayer<S extends Servers, R> = Layer.Layer<
  SmartServers,
  ErrorOf<S> | ConfigurationError,
  ContextOf<S> | R
>

/**
 * Makes a registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const S extends Servers>(
  servers: S
): Effect.Effect<Service, ErrorOf<S> | ConfigurationError, ContextOf<S> | SmartClient.Dependencies | Scope.Scope> =>
  // The registry sees each server at its widest type. The type of `servers` has the real errors and requirements.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  Registry.make(servers, MixUp.makeDirectory(false)) as Effect.Effect<
    Service,
    ErrorOf<S> | ConfigurationError,
    ContextOf<S> | SmartClient.Dependencies | Scope.Scope
  >

/**
 * A registry with dependencies that you provide, such as a `Discovery` with another time to live.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutDependencies = <const S extends Servers>(
  servers: S
): RegistryLayer<S, SmartClient.Dependencies> =>
  Layer.scoped(SmartServers, make(servers)) as RegistryLayer<S, SmartClient.Dependencies>

/**
 * A registry of the given servers.
 *
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
export const layer = <const S extends Servers>(servers: S): RegistryLayer<S, HttpClient.HttpClient> =>
  Layer.provide(layerWithoutDependencies(servers), SmartClient.layerDependencies()) as RegistryLayer<
    S,
    HttpClient.HttpClient
  >

/**
 * A registry that also follows launches from https servers that are not configured. `configure` returns the app's
 * configuration at such a server. For apps whose servers cannot be listed.
 *
 * The sender of a launch chooses the host that this program connects to, and that host receives the credentials that
 * `configure` returns. Therefore: return no secret for an unknown server, show the user which server it is, and provide
 * an `HttpClient` with an `AddressGuard`, which refuses addresses inside your own network. Without a guard this layer
 * fails with a `ConfigurationError`, and `FhirClient` and `BackendServices` refuse requests to discovered servers.
 * Provide the same `HttpClient` to other layers that follow URLs of discovered servers: `SmartStyle`, `Brands`,
 * `Registration`.
 *
 * `servers` are configured, may have private addresses, and are the only ones in `keys` and `only`. At most
 * `maxServers` discovered servers (default 1,000) are in memory; the least recently used is removed first and
 * discovered again when a session names it.
 *
 * The `iss` of a callback from a discovered server must be at the origin of its FHIR base URL, or equal to the `issuer`
 * that `configure` returns. For a configured server with an issuer at another origin, configure its `issuer`.
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
): RegistryLayer<S, HttpClient.HttpClient | AddressGuard.AddressGuard> => {
  const build = Effect.gen(function*() {
    // The instance decides, not the tag: another HttpClient may have been merged over the guarded one.
    const guard = AddressGuard.guardOf(yield* HttpClient.HttpClient)
    if (Option.isNone(guard)) {
      return yield* configurationError(
        "Insecure",
        ["HttpClient"],
        `SmartServers.layerOpen follows launches to servers that you did not configure, and ${AddressGuard.advice}`
      )
    }
    const directory = MixUp.makeDirectory(true)
    const registry = OpenRegistry.make({
      configured: yield* Registry.make({}, directory),
      // A discovered server must not influence which issuer another server has.
      discovered: yield* Registry.make({}, {
        ...directory,
        add: () => undefined,
        remove: () => undefined
      }),
      configure,
      maxServers: options?.maxServers ?? 1000,
      guard: guard.value,
      scope: yield* Effect.scope
    })
    yield* Registry.addAll(registry, options?.servers ?? {})
    return registry
  })
  // As in `make`.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  return Layer.provide(Layer.scoped(SmartServers, build), SmartClient.layerDependencies()) as RegistryLayer<
    S,
    HttpClient.HttpClient | AddressGuard.AddressGuard
  >
}

/** The variables of the server `north-2` begin with `NORTH_2_`. */
const prefixOf = (key: string): string => key.toUpperCase().replace(/[^A-Z0-9]+/g, "_")

/** The variables of one server: those of a single client with the server's prefix instead of `SMART_`. */
const fromEnvironment = (key: string) =>
  Effect.configProviderWith((provider) =>
    Effect.all({
      config: SmartClient.config,
      authentication: Effect.map(
        Layer.build(ClientAuthenticationConfig.layer),
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
 * A registry from the environment: `SMART_SERVERS=north,south`, then `NORTH_FHIR_BASE_URL`, `NORTH_CLIENT_ID`,
 * `NORTH_CLIENT_SECRET` and the other variables of `SmartApp.layerConfig`, with the key in place of `SMART`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (): Layer.Layer<SmartServers, ConfigError | ConfigurationError, HttpClient.HttpClient> =>
  Layer.unwrapScoped(
    Effect.gen(function*() {
      const keys = yield* Config.array(Config.nonEmptyString(), "SMART_SERVERS")
      const prefixes = keys.map(prefixOf)
      const duplicates = keys.filter((_, i) => prefixes.indexOf(prefixes[i] ?? "") !== i)
      if (duplicates.length > 0) {
        return yield* configurationError(
          "Conflict",
          ["SMART_SERVERS"],
          `${duplicates.join(", ")} would share variables with a server named before`
        )
      }
      return layer(Object.fromEntries(yield* Effect.forEach(keys, fromEnvironment)))
    })
  )

/**
 * A registry of one client, so that `Sessions` and the web routes work with one server as with many. It never changes:
 * `add` fails with a `ConfigurationError`, and `remove` has no effect.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<SmartServers, never, SmartClient.SmartClient> = Layer.fresh(
  Layer.effect(SmartServers, Effect.map(SmartClient.SmartClient, Registry.fromClient))
)

/**
 * The client of one server of the registry, for code that needs a `SmartClient`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (
  key: string
): Layer.Layer<SmartClient.SmartClient, UnknownServerError, SmartServers> =>
  Layer.effect(SmartClient.SmartClient, Effect.flatMap(SmartServers, (servers) => servers.client(key)))

/**
 * Trusts launches from the servers of the registry, and from no other server.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTrustedIssuers: Layer.Layer<TrustedIssuers, never, SmartServers> = Layer.fresh(Layer.effect(
  TrustedIssuers,
  Effect.map(SmartServers, (servers) => ({
    find: (iss, options) =>
      servers.forLaunchIss(iss, options).pipe(
        Effect.map(({ config, name }) => ({
          server: name,
          allowInsecureLocalhost: config.allowInsecureLocalhost ?? false
        })),
        Effect.mapError(({ reason }) =>
          new LaunchError({
            reason: reason === "Ambiguous" ? "IssAmbiguous" : "IssUntrusted",
            iss: Url.forDisplay(iss),
            detail: reason === "Ambiguous"
              ? "several configured servers have its iss"
              : options?.server === undefined
              ? "no configured server has its iss"
              : "the server that the app expects does not have its iss"
          })
        )
      )
  }))
))

/**
 * The servers of a brand bundle, as `layer` takes them. `configure` returns the app's configuration at a server, or
 * `undefined` to leave the server out: a listed server does not grant access (requirement 435). The key of a server is
 * its FHIR base URL, because the name of a brand can change.
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
