/**
 * A `Discovery` whose metadata processes share, by way of `@effect/experimental`'s persistence, with memory in front (SMART App Launch 2.2,
 * "Retrieve .well-known/smart-configuration").
 *
 * What the store holds is discarded unless it is the entry for this server, in this version, and readable; whatever it says, nothing is kept
 * longer than this process would. Who may write to the store may send logins elsewhere: give it credentials of its own. A store that is down is
 * a warning, and the servers are asked. Failures are never shared.
 *
 * One request per server however many ask holds within a process, and for processes as soon as one of them has stored its answer: persistence
 * offers no lock, so processes that start at once on an empty store ask once each.
 *
 * @since 0.1.0
 */
import * as Persistence from "@effect/experimental/Persistence"
import type * as HttpClient from "@effect/platform/HttpClient"
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
import type { CachedConfiguration, Shared } from "../server/MetadataCache.js"
import { SmartConfiguration } from "../server/SmartConfiguration.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Discovery.Options {
  /** What the store calls these entries. Default `effect-safire/discovery`. */
  readonly storeId?: string | undefined
  /**
   * How long this process believes its memory without a look at the store: as late it may see that another one has invalidated or refreshed.
   * Default 1 minute.
   */
  readonly memoryTimeToLive?: Duration.DurationInput | undefined
  /** How long an operation of the store may take before the server is asked instead. Default 1 second. */
  readonly operationTimeout?: Duration.DurationInput | undefined
}

/** Raised when entries change their shape: those of another version are discarded. */
const VERSION = 1

const Stored = Schema.Struct({
  version: Schema.Literal(VERSION),
  /** The key again, because a store that mixed up its keys would mix up servers. */
  slot: Schema.String,
  fetchedAt: Schema.Finite,
  freshUntil: Schema.Finite,
  staleUntil: Schema.Finite,
  configuration: SmartConfiguration
})

const isStored = Schema.is(Stored)

class Lookup extends Schema.TaggedRequest<Lookup>()("effect-safire/PersistedDiscovery", {
  payload: { slot: Schema.String },
  success: Stored,
  failure: Schema.Never
}) {
  [PrimaryKey.symbol](): string {
    return this.slot
  }
}

/** What can go wrong with a store, without a word of what is in it. */
type Trouble = "NoAnswer" | "Unreadable" | "Failed"

const troubleOf = (error: Persistence.PersistenceError): Trouble =>
  error.reason === "ParseError" || error.cause instanceof SyntaxError ? "Unreadable" : "Failed"

const makeStore = (options: Options): Effect.Effect<Shared, never, Persistence.ResultPersistence | Scope.Scope> =>
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

    // A store that is down would otherwise write a line for every look-up.
    let isDown = false
    const log = (level: "warning" | "debug", text: string) =>
      (level === "warning" ? Effect.logWarning(text) : Effect.logDebug(text)).pipe(
        Effect.annotateLogs("store", storeId)
      )
    const troubled = (operation: string, trouble: Trouble) =>
      Effect.suspend(() => {
        if (trouble === "Unreadable") {
          return log("warning", "the shared SMART metadata has an entry that is not one: it is discarded")
        }
        const level = isDown ? "debug" : "warning"
        isDown = true
        return log(
          level,
          `the store of shared SMART metadata ${
            trouble === "NoAnswer" ? "does not answer in time" : "fails"
          } (${operation}): servers are asked instead`
        )
      })

    /** Never fails, never takes longer than it may. */
    const run = <A>(operation: string, self: Effect.Effect<A, Persistence.PersistenceError>) =>
      self.pipe(
        Effect.mapError(troubleOf),
        Effect.timeoutFail({ duration: timeout, onTimeout: (): Trouble => "NoAnswer" }),
        Effect.tapBoth({
          onFailure: (trouble) => troubled(operation, trouble),
          onSuccess: () =>
            Effect.sync(() => {
              isDown = false
            })
        })
      )
    const succeeds = (operation: string, self: Effect.Effect<void, Persistence.PersistenceError>) =>
      Effect.match(run(operation, self), { onFailure: () => false, onSuccess: () => true })

    const remove = (slot: string) => succeeds("remove", store.remove(new Lookup({ slot })))
    const discard = (slot: string) => Effect.as(remove(slot), "Absent" as const)

    return {
      memoryTimeToLive: Duration.toMillis(options.memoryTimeToLive ?? "1 minute"),
      get: (slot) =>
        run("get", store.get(new Lookup({ slot }))).pipe(
          Effect.flatMap((found): Effect.Effect<CachedConfiguration | "Absent"> => {
            if (Option.isNone(found)) return Effect.succeed("Absent")
            const stored = Exit.isSuccess(found.value) ? found.value.value : undefined
            if (
              stored === undefined || stored.slot !== slot ||
              FhirBaseUrl.key(stored.configuration.fhirBaseUrl) !== slot.split(" ")[0]
            ) {
              return Effect.zipRight(troubled("get", "Unreadable"), discard(slot))
            }
            const { configuration, fetchedAt, freshUntil, staleUntil } = stored
            return Effect.succeed({ configuration, fetchedAt, freshUntil, staleUntil })
          }),
          Effect.catchAll((trouble) =>
            trouble === "Unreadable" ? discard(slot) : Effect.succeed("Unavailable" as const)
          )
        ),
      set: (slot, good) =>
        succeeds("set", store.set(new Lookup({ slot }), Exit.succeed({ version: VERSION, slot, ...good }))),
      remove
    }
  })

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<
  Discovery.Service,
  never,
  HttpClient.HttpClient | Persistence.ResultPersistence | Scope.Scope
> => Effect.flatMap(makeStore(options), (store) => Discovery.makeShared(options, store))

const shared = perHttpClient(
  Discovery.Discovery,
  ({ persistence, ...options }: Options & { readonly persistence: Persistence.ResultPersistence }) =>
    Effect.provideService(make(options), Persistence.ResultPersistence, persistence)
)

/**
 * In the place of `Discovery.layer`. Layers that are built together share one memory where they have the same `HttpClient`, the same persistence, equal
 * options and the same settings.
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
    Effect.map(Persistence.ResultPersistence, (persistence) => shared({ ...options, persistence }))
  )
