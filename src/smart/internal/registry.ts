/**
 * The registries of servers that the app configures: their service, the registry that can change while the program
 * runs, and the registry of one client.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import * as ClientAuthentication from "../../client/ClientAuthentication.js"
import { safeText } from "../../http/Redaction.js"
import type * as SmartClient from "../SmartClient.js"
import { UnknownServerError } from "../UnknownServerError.js"
import { forServer, validate } from "./client.js"
import { type CheckIssuer, makeClient } from "./makeClient.js"
import * as MixUp from "./mixUp.js"

/**
 * One server of a registry. Its key is its name in sessions, spans and errors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server<out E = never, out R = never> extends Omit<SmartClient.Config, "name"> {
  /** A layer, or a service (`ClientAuthentication.make…`), which needs less memory in a registry of thousands. */
  readonly authentication:
    | Layer.Layer<ClientAuthentication.ClientAuthentication, E, R>
    | ClientAuthentication.Service
}

/**
 * Servers by key. Each authentication may have an error and requirements of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type Servers = Readonly<Record<string, Server<unknown, unknown>>>

/**
 * A registry of servers, each with a client of its own.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The keys of all servers, in the order in which they were added. */
  readonly keys: Effect.Effect<ReadonlyArray<string>>
  /** The client of a server. Fails with `UnknownServerError` (`UnknownKey`) without a server of this key. */
  readonly client: (key: string) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /**
   * The server with this FHIR base URL. URLs are compared after parsing; one slash at the end does not matter. If the
   * app is registered at it several times (for clinicians and for patients), `server` is the key to use.
   */
  readonly forLaunchIss: (
    iss: string,
    options?: { readonly server?: string | undefined }
  ) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /** The client of a registry that has exactly one server. */
  readonly only: Effect.Effect<SmartClient.Service, UnknownServerError>
  /** The redirect URIs of the configured servers, without duplicates. */
  readonly redirectUris: Effect.Effect<ReadonlyArray<string>>
  /** Adds a server, or replaces the one with this key and releases its resources. */
  readonly add: <E = never, R = never>(
    key: string,
    server: Server<E, R>
  ) => Effect.Effect<void, E | ConfigurationError, Exclude<R, Scope.Scope>>
  /** Removes a server and releases its resources. Without a server of this key, it does nothing. */
  readonly remove: (key: string) => Effect.Effect<void>
  /** Removes the server's metadata from the cache. */
  readonly invalidate: (key: string) => Effect.Effect<void, UnknownServerError>
}

/** The form of a FHIR base URL that registries compare; `undefined` if `iss` is not one. */
const baseUrlKey = (iss: string): string | undefined =>
  Either.getOrUndefined(Either.map(FhirBaseUrl.parse(iss), FhirBaseUrl.key))

const MAX_CANDIDATES = 20

const unknownServer = (
  reason: UnknownServerError["reason"],
  requested: string,
  candidates: Iterable<string>
): UnknownServerError =>
  new UnknownServerError({
    reason,
    requested: safeText(requested, [], 200),
    candidates: [...candidates].slice(0, MAX_CANDIDATES)
  })

interface RegistryEntry extends MixUp.Peer {
  /** Made at the first use: of thousands of servers most are not in use. */
  readonly client: () => Effect.Effect<SmartClient.Service>
  readonly release: Effect.Effect<void>
}

interface RegistryContext {
  readonly dependencies: Context.Context<SmartClient.Dependencies>
  readonly memoMap: Layer.MemoMap
  readonly scope: Scope.Scope
  readonly checkIssuer: CheckIssuer
}

const isLayer = <E, R>(
  authentication: Server<E, R>["authentication"]
): authentication is Layer.Layer<ClientAuthentication.ClientAuthentication, E, R> => Layer.isLayer(authentication)

/**
 * Checks the configuration of one server and builds its authentication in a scope of its own, so that it can be
 * released alone.
 */
const makeEntry = <E, R>(
  key: string,
  { authentication, ...config }: Server<E, R>,
  { checkIssuer, dependencies, memoMap, scope }: RegistryContext
): Effect.Effect<RegistryEntry, E | ConfigurationError, R> => {
  const validated = validate(config, key)
  const entry = (service: ClientAuthentication.Service, release: Effect.Effect<void>): RegistryEntry => {
    let cached: SmartClient.Service | undefined
    const client = () =>
      cached !== undefined
        ? Effect.succeed(cached)
        : makeClient({ ...config, name: key }, checkIssuer).pipe(
          // The settings of the registry, whichever fiber needs the client first.
          Effect.mapInputContext((_: Context.Context<never>) =>
            Context.add(dependencies, ClientAuthentication.ClientAuthentication, service)
          ),
          Effect.tap((client) => {
            cached = client
          }),
          // The configuration has been validated above.
          Effect.orDie
        )
    return {
      name: key,
      config,
      client,
      configuration: Effect.suspend(() => Effect.flatMap(client(), ({ configuration }) => configuration)),
      release
    }
  }
  /** Binds the authentication here, so that its errors are those of the registry. */
  const bound = (authentication: ClientAuthentication.Service) => forServer(config, authentication, key)
  if (!isLayer(authentication)) {
    return Effect.zipRight(validated, Effect.map(bound(authentication), (service) => entry(service, Effect.void)))
  }
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const child = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const service = yield* restore(
        Layer.buildWithMemoMap(authentication, memoMap, child).pipe(
          Effect.zipLeft(validated),
          Effect.flatMap((context) => bound(Context.get(context, ClientAuthentication.ClientAuthentication)))
        )
      ).pipe(Effect.onError((cause) => Scope.close(child, Exit.failCause(cause))))
      return entry(service, Scope.close(child, Exit.void))
    })
  )
}

/**
 * The registry of servers that can change while the program runs.
 *
 * @internal
 */
export const make = (
  servers: Servers,
  directory: MixUp.Directory
): Effect.Effect<Service, unknown, SmartClient.Dependencies | Scope.Scope> =>
  // `addAll` sees each entry as the widest one there is; the types of `SmartServers.make` say what the entries need.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  Effect.gen(function*() {
    const context = {
      scope: yield* Effect.scope,
      dependencies: yield* Effect.context<SmartClient.Dependencies>(),
      memoMap: yield* Layer.makeMemoMap,
      checkIssuer: MixUp.check(directory)
    }
    const entries = new Map<string, RegistryEntry>()
    const keysByBaseUrl = new Map<string, ReadonlySet<string>>()

    const index = ({ config: { fhirBaseUrl } }: RegistryEntry, change: (keys: Set<string>) => void) => {
      const baseUrl = baseUrlKey(fhirBaseUrl) ?? fhirBaseUrl
      const keys = new Set(keysByBaseUrl.get(baseUrl))
      change(keys)
      if (keys.size === 0) keysByBaseUrl.delete(baseUrl)
      else keysByBaseUrl.set(baseUrl, keys)
    }
    /** Removes a server; the effect that it returns releases the server's resources. */
    const takeOut = (key: string, nowMillis: number): Effect.Effect<void> => {
      const old = entries.get(key)
      if (old === undefined) return Effect.void
      entries.delete(key)
      directory.remove(old, nowMillis)
      index(old, (keys) => keys.delete(key))
      return old.release
    }
    const client: Service["client"] = (key) =>
      Effect.suspend(() => entries.get(key)?.client() ?? unknownServer("UnknownKey", key, entries.keys()))

    const service: Service = {
      keys: Effect.sync(() => [...entries.keys()]),
      client,
      forLaunchIss: (iss, { server } = {}) =>
        Effect.suspend(() => {
          const baseUrl = baseUrlKey(iss)
          const all = Array.from((baseUrl === undefined ? undefined : keysByBaseUrl.get(baseUrl)) ?? [])
          const [key, ...others] = server === undefined ? all : all.filter((key) => key === server)
          if (key === undefined) return unknownServer("UnknownIssuer", Url.forDisplay(iss), entries.keys())
          return others.length === 0 ? client(key) : unknownServer("Ambiguous", Url.forDisplay(iss), [key, ...others])
        }),
      only: Effect.suspend(() => {
        const [key, ...others] = entries.keys()
        if (key === undefined) return unknownServer("UnknownKey", "", [])
        return others.length === 0 ? client(key) : unknownServer("Ambiguous", "", entries.keys())
      }),
      redirectUris: Effect.sync(() =>
        Array.from(new Set(Array.from(entries.values(), ({ config }) => config.redirectUri)))
          .filter((redirectUri) => redirectUri !== undefined)
      ),
      add: <E, R>(key: string, server: Server<E, R>) =>
        // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const entry = yield* restore(makeEntry(key, server, context))
            const release = takeOut(key, yield* Clock.currentTimeMillis)
            entries.set(key, entry)
            directory.add(entry)
            index(entry, (keys) => keys.add(key))
            yield* release
          })
          // A layer that needs a scope is built in the scope of the registry.
        ) as Effect.Effect<void, E | ConfigurationError, Exclude<R, Scope.Scope>>,
      remove: (key) => Effect.flatMap(Clock.currentTimeMillis, (now) => takeOut(key, now)),
      invalidate: (key) => Effect.flatMap(client(key), ({ invalidate }) => invalidate)
    }
    yield* addAll(service, servers)
    return service
  }) as Effect.Effect<Service, unknown, SmartClient.Dependencies | Scope.Scope>

/** @internal */
export const addAll = (registry: Service, servers: Servers): Effect.Effect<void, unknown, unknown> =>
  Effect.forEach(Object.entries(servers), ([key, server]) => registry.add(key, server), { discard: true })

/**
 * The registry of one client. It never changes.
 *
 * @internal
 */
export const fromClient = (client: SmartClient.Service): Service => {
  const { fhirBaseUrl, redirectUri } = client.config
  const clientIf = (matches: boolean, reason: UnknownServerError["reason"], requested: string) =>
    matches ? Effect.succeed(client) : unknownServer(reason, requested, [client.name])
  const byKey: Service["client"] = (key) => clientIf(key === client.name, "UnknownKey", key)
  return {
    keys: Effect.succeed([client.name]),
    client: byKey,
    forLaunchIss: (iss, { server = client.name } = {}) =>
      clientIf(
        baseUrlKey(iss) !== undefined && baseUrlKey(iss) === baseUrlKey(fhirBaseUrl) && server === client.name,
        "UnknownIssuer",
        Url.forDisplay(iss)
      ),
    only: Effect.succeed(client),
    redirectUris: Effect.succeed(redirectUri === undefined ? [] : [redirectUri]),
    add: () =>
      configurationError(
        "Conflict",
        ["SmartServers.layerFromClient"],
        "a registry of one client cannot change; use SmartServers.layer"
      ),
    remove: () => Effect.void,
    invalidate: (key) => Effect.flatMap(byKey(key), ({ invalidate }) => invalidate)
  }
}
