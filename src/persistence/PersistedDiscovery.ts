/**
 * A `Discovery` whose SMART configurations processes share through `@effect/experimental`'s persistence, with a cache
 * in memory before it (SMART App Launch 2.2, "Retrieve .well-known/smart-configuration").
 *
 * An entry of the store is used only if it is valid, of this version and for this server, and not longer than this
 * process would cache it. A writer to the store can redirect logins: give the store its own credentials. If the store
 * fails, the library logs a warning and sends a request to the server. Failures are not shared.
 *
 * Concurrent calls in one process make one request. Persistence has no lock, so that processes that start together on
 * an empty store make one request each.
 *
 * @since 0.1.0
 */
import * as Persistence from "@effect/experimental/Persistence"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as Discovery from "../server/Discovery.js"
import type { Cached, SharedStore } from "../server/PublishedDocument.js"
import { SmartConfiguration } from "../server/SmartConfiguration.js"

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Discovery.Options {
  /** The `storeId` of the entries. Default `effect-safire/discovery`. */
  readonly storeId?: string | undefined
  /**
   * How long a configuration in memory is used before the store is read again: the delay until this process notices
   * that another one has invalidated or refreshed it. Default 1 minute.
   */
  readonly memoryTimeToLive?: Duration.DurationInput | undefined
  /** Time limit for an operation of the store, after which the server gets a request instead. Default 1 second. */
  readonly operationTimeout?: Duration.DurationInput | undefined
}

/** Increased when the shape of entries changes: those of another version are discarded. */
const VERSION = 1

const Stored = Schema.Struct({
  version: Schema.Literal(VERSION),
  /** Repeated, because a store that mixed up its keys would mix up servers. */
  key: Schema.String,
  fetchedAt: Schema.Finite,
  freshUntil: Schema.Finite,
  staleUntil: Schema.Finite,
  configuration: SmartConfiguration
})

const isStored = Schema.is(Stored)

class Lookup extends Schema.TaggedRequest<Lookup>()("effect-safire/PersistedDiscovery", {
  payload: { key: Schema.String },
  success: Stored,
  failure: Schema.Never
}) {
  [PrimaryKey.symbol](): string {
    return this.key
  }
}

type StoreProblem = "TimedOut" | "Unreadable" | "Failed"

const problemOf = (error: Persistence.PersistenceError): StoreProblem =>
  error.reason === "ParseError" || error.cause instanceof SyntaxError ? "Unreadable" : "Failed"

/** Whether an entry is for the server of its key: the last part of `PublishedDocument.cacheKey`. */
const isFor = (key: string, stored: typeof Stored.Type): boolean =>
  stored.key === key && FhirBaseUrl.key(stored.configuration.fhirBaseUrl) === key.split(" ").at(-1)

const makeStore = (
  options: Options
): Effect.Effect<SharedStore<SmartConfiguration>, never, Persistence.ResultPersistence | Scope.Scope> =>
  Effect.gen(function*() {
    const persistence = yield* Persistence.ResultPersistence
    const storeId = options.storeId ?? "effect-safire/discovery"
    const store = yield* persistence.make({
      storeId,
      timeToLive: (_, exit) =>
        Exit.isSuccess(exit) && isStored(exit.value)
          ? Duration.millis(Math.max(0, exit.value.staleUntil - exit.value.fetchedAt))
          : Duration.zero
    })
    const timeout = options.operationTimeout ?? "1 second"

    // Without it, a failing store would cause a warning for every lookup.
    let isDown = false
    const reportProblem = (operation: string, problem: StoreProblem) =>
      Effect.suspend(() => {
        if (problem === "Unreadable") {
          return Effect.logWarning("the store of shared SMART configurations has an invalid entry, which is discarded")
        }
        const log = isDown ? Effect.logDebug : Effect.logWarning
        isDown = true
        return log(
          `the store of shared SMART configurations ${
            problem === "TimedOut" ? "does not respond in time" : "fails"
          } (${operation}): requests go to the servers instead`
        )
      }).pipe(Effect.annotateLogs("store", storeId))

    const run = <A>(operation: string, self: Effect.Effect<A, Persistence.PersistenceError>) =>
      self.pipe(
        Effect.mapError(problemOf),
        Effect.timeoutFail({ duration: timeout, onTimeout: (): StoreProblem => "TimedOut" }),
        Effect.tapBoth({
          onFailure: (problem) => reportProblem(operation, problem),
          onSuccess: () =>
            Effect.sync(() => {
              isDown = false
            })
        })
      )
    const succeeds = (operation: string, self: Effect.Effect<void, Persistence.PersistenceError>) =>
      Effect.match(run(operation, self), { onFailure: () => false, onSuccess: () => true })

    /** Keys whose removal is under way or failed. */
    const unremoved = new Set<string>()
    /** Entries that were fetched up to this time are not used: `unremoved` was full then. */
    let distrustedUntil = -Infinity

    const remove = (key: string) =>
      Effect.gen(function*() {
        if (unremoved.size >= (options.capacity ?? 10_000)) {
          unremoved.clear()
          distrustedUntil = yield* Clock.currentTimeMillis
        }
        unremoved.add(key)
        if (yield* succeeds("remove", store.remove(new Lookup({ key })))) unremoved.delete(key)
      })
    const discard = (key: string) => Effect.as(remove(key), "Absent" as const)

    return {
      memoryTimeToLive: Duration.toMillis(options.memoryTimeToLive ?? "1 minute"),
      get: (key) =>
        unremoved.has(key) ? Effect.succeed("Absent") : run("get", store.get(new Lookup({ key }))).pipe(
          Effect.flatMap((found): Effect.Effect<Cached<SmartConfiguration> | "Absent"> => {
            if (Option.isNone(found)) return Effect.succeed("Absent")
            const stored = Exit.isSuccess(found.value) ? found.value.value : undefined
            if (stored === undefined || !isFor(key, stored)) {
              return Effect.zipRight(reportProblem("get", "Unreadable"), discard(key))
            }
            const { configuration, fetchedAt, freshUntil, staleUntil } = stored
            if (fetchedAt <= distrustedUntil) return Effect.succeed("Absent")
            return Effect.succeed({ value: configuration, fetchedAt, freshUntil, staleUntil })
          }),
          Effect.catchAll((problem) => problem === "Unreadable" ? discard(key) : Effect.succeed("Unavailable" as const))
        ),
      set: (key, { fetchedAt, freshUntil, staleUntil, value }) => {
        const stored = { version: VERSION, key, fetchedAt, freshUntil, staleUntil, configuration: value } as const
        return Effect.map(succeeds("set", store.set(new Lookup({ key }), Exit.succeed(stored))), (isWritten) => {
          if (isWritten) unremoved.delete(key)
        })
      },
      remove
    }
  })

/**
 * Makes a `Discovery` whose documents are in the store of the environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<
  Discovery.Service,
  never,
  HttpClient.HttpClient | Persistence.ResultPersistence | Scope.Scope
> => Effect.flatMap(makeStore(options), (store) => Discovery.makeWith(options, store))

const shared = perHttpClient(
  Discovery.Discovery,
  ({ persistence, ...options }: Options & { readonly persistence: Persistence.ResultPersistence }) =>
    Effect.provideService(make(options), Persistence.ResultPersistence, persistence)
)

/**
 * Replaces `Discovery.layer`. Layers that are built together share one cache in memory where they have the same
 * `HttpClient`, the same persistence, equal options and the same settings.
 *
 * @example
 * import * as PersistenceRedis from "@effect/experimental/Persistence/Redis"
 * import { FetchHttpClient } from "@effect/platform"
 * import { ClientAuthentication, SmartClient } from "effect-safire"
 * import { PersistedDiscovery } from "effect-safire/persistence"
 * import * as Layer from "effect/Layer"
 *
 * const RedisLive = PersistenceRedis.layerResult({ host: "redis.internal" })
 *
 * export const SmartLive = SmartClient.layerWithoutDependencies({
 *   fhirBaseUrl: "https://ehr.example.org/fhir",
 *   clientId: "growth-chart"
 * }).pipe(
 *   Layer.provide(ClientAuthentication.layerPublic),
 *   Layer.provide(PersistedDiscovery.layer().pipe(Layer.provide(RedisLive))),
 *   Layer.provide(SmartClient.layerDependencies()),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Discovery.Discovery, never, HttpClient.HttpClient | Persistence.ResultPersistence> =>
  Layer.unwrapEffect(
    Effect.map(Persistence.ResultPersistence, (persistence) => shared.layer({ ...options, persistence }))
  )
