/**
 * The registry of servers that the app configures. It can change while the program runs.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as Url from "../../base/Url.js"
import type * as SmartClient from "../SmartClient.js"
import type * as MixUp from "./mixUp.js"
import type { Server, Servers, Service } from "./registry.js"
import { baseUrlKey, unknownServer } from "./registry.js"
import type { RegistryEntry } from "./registryEntry.js"
import { makeEntry } from "./registryEntry.js"

/** @internal */
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
      peers: directory
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
      Effect.suspend(() => entries.get(key)?.client ?? unknownServer("UnknownKey", key, entries.keys()))

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
