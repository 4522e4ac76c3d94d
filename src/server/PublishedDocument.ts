/**
 * The cache of the JSON documents that servers publish (RFC 9111, section 4.2): the mechanism under `Discovery`,
 * `OpenIdConfiguration`, `Jwks`, `Brands`, `SmartStyle` and `UdapDiscovery`, each of which adds its own decoder and
 * errors.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as BoundedMap from "../base/BoundedMap.js"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import * as SingleFlight from "../base/SingleFlight.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as RetryPolicy from "../http/RetryPolicy.js"

/** @internal */
export interface Request {
  readonly allowInsecureLocalhost?: boolean | undefined
  readonly legacyMetadata?: object | undefined
}

/** @internal */
export interface Loaded<A> {
  readonly value: A
  readonly declaredMaxAge?: number | undefined
  /** When the document can no longer be used, even while its server fails. Default: no such time. */
  readonly usableUntil?: number | undefined
  /** Only where the subject revalidates: a document with an `ETag` stays in the cache when it is no longer fresh. */
  readonly etag?: string | undefined
}

/** @internal */
export interface Cached<A> {
  readonly value: A
  readonly fetchedAt: number
  readonly freshUntil: number
  /** Until when the document is used while its server fails. */
  readonly staleUntil: number
  readonly etag?: string | undefined
}

/**
 * A store that processes share. Its operations do not fail and have a time limit; the store reports its own failures.
 *
 * @internal
 */
export interface SharedStore<A> {
  /** `Absent` also if the removal of the document failed, so that no invalidation is undone. */
  readonly get: (key: string) => Effect.Effect<Cached<A> | "Absent" | "Unavailable">
  readonly set: (key: string, document: Cached<A>) => Effect.Effect<void>
  readonly remove: (key: string) => Effect.Effect<void>
  /** How long a document in memory is used before the store is read again, in milliseconds. */
  readonly memoryTimeToLive: number
}

/** @internal */
export interface Options<A, E> {
  /** For responses without `Cache-Control` and `Expires`. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for `Cache-Control` and `Expires`. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** Without it, failures are not cached. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  readonly capacity: number
  /** Whether a load is repeated after this error, if the error is retryable. Default: after each. */
  readonly mayRepeat?: (error: E) => boolean
  /** Without it, a document is not used when it is no longer fresh. */
  readonly staleIfError?: {
    readonly duration: Duration.DurationInput
    readonly accepts: (error: E) => boolean
    readonly report: (error: E) => Effect.Effect<void>
  }
  readonly shared?: SharedStore<A> | undefined
}

/**
 * One attempt to load a document. It runs with the `RetryPolicy` and the `HttpLimits` of the service.
 *
 * @internal
 */
export type Load<A, E> = (cached: Cached<A> | undefined) => Effect.Effect<Loaded<A>, E>

/** @internal */
export interface PublishedDocuments<A, E> {
  /** The cached document while it is fresh, else a loaded one. */
  readonly get: (key: string, load: Load<A, E>) => Effect.Effect<A, E>
  /** Loads the document again. A failure leaves the cached document. */
  readonly refresh: (key: string, load: Load<A, E>) => Effect.Effect<A, E>
  /** Removes the document for every set of permissions. A load under way does not write it again. */
  readonly invalidate: (id: string) => Effect.Effect<void>
}

/**
 * The cache key of a document for one set of permissions: a document that was loaded with a permission is not
 * returned to a caller without it.
 *
 * @internal
 */
export const cacheKey = (id: string, request: Request | undefined): string =>
  `${request?.allowInsecureLocalhost === true ? "insecure " : ""}${
    request?.legacyMetadata === undefined ? "" : "legacy "
  }${id}`

const PERMISSIONS = ["", "insecure ", "legacy ", "insecure legacy "] as const

interface Entry<A, E> {
  readonly document?: Cached<A> | undefined
  /** Until when the document is used without reading the shared store. */
  readonly useUntil?: number
  readonly failure?: { readonly error: E; readonly until: number }
}

/**
 * A cache of documents. Concurrent loads of one key share one request, which no caller's interruption cancels.
 *
 * @internal
 */
export const make = <A, E extends RetryPolicy.RetryableError>(
  options: Options<A, E>
): Effect.Effect<PublishedDocuments<A, E>> =>
  Effect.gen(function*() {
    const { shared, staleIfError } = options
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const timeToLive = Duration.toMillis(options.timeToLive ?? "1 hour")
    const minTimeToLive = Duration.toMillis(options.minTimeToLive ?? "1 minute")
    const maxTimeToLive = Duration.toMillis(options.maxTimeToLive ?? "1 day")
    const staleTime = Duration.toMillis(staleIfError?.duration ?? 0)

    // Not Effect's `Cache`: its lookup ends with an interrupted first caller, and it evicts by the first write of a
    // key.
    const entries = BoundedMap.make<Entry<A, E>>(options.capacity)
    // A lookup may end with a document of the shared store, a fetch does not: `refresh` joins fetches only.
    const lookups = SingleFlight.make<A, E>()
    const fetches = SingleFlight.make<A, E>()

    const write = (key: string, document: Cached<A>, now: number): void => {
      if (document.etag === undefined && document.staleUntil <= now) return entries.delete(key)
      entries.set(key, {
        document,
        useUntil: Math.min(document.freshUntil, now + (shared?.memoryTimeToLive ?? Infinity))
      })
    }

    /** Stores a document that was loaded. The effect, if there is one, writes it to the shared store. */
    const succeeded = (
      key: string,
      { declaredMaxAge, etag, usableUntil = Infinity, value }: Loaded<A>,
      isCurrent: () => boolean,
      now: number
    ): Effect.Effect<void> | undefined => {
      if (!isCurrent()) return undefined
      const lifetime = declaredMaxAge === undefined
        ? timeToLive
        : Math.min(maxTimeToLive, Math.max(minTimeToLive, declaredMaxAge))
      const freshUntil = Math.min(now + lifetime, usableUntil)
      const staleUntil = Math.min(freshUntil + staleTime, usableUntil)
      const document = { value, fetchedAt: now, freshUntil, staleUntil, etag }
      write(key, document, now)
      return shared === undefined ? undefined : Effect.zipRight(
        shared.set(key, document),
        // Invalidated while it was written.
        Effect.suspend(() => isCurrent() ? Effect.void : shared.remove(key))
      )
    }

    const failed = (key: string, error: E, isCurrent: () => boolean, now: number): void => {
      if (options.failureTimeToLive === undefined || !isCurrent()) return
      const retryAfter = Duration.min(error.retryAfter ?? Duration.zero, RetryPolicy.retryAfterCap)
      const until = now + Duration.toMillis(Duration.max(options.failureTimeToLive, retryAfter))
      entries.set(key, { ...entries.get(key), failure: { error, until } })
    }

    const refresh = (key: string, load: Load<A, E>): Effect.Effect<A, E> =>
      fetches.run(key, (isCurrent) =>
        Effect.suspend(() => {
          const attempts = Effect.suspend(() => load(entries.get(key)?.document)).pipe(
            RetryPolicy.retryOurs("always", (error: E): error is E => options.mayRepeat?.(error) ?? true),
            withPolicy,
            withLimits
          )
          return Effect.matchEffect(attempts, {
            onSuccess: (loaded) => {
              const sharing = succeeded(key, loaded, isCurrent, unsafeMillis())
              return sharing === undefined ? Effect.succeed(loaded.value) : Effect.as(sharing, loaded.value)
            },
            onFailure: (error) => {
              failed(key, error, isCurrent, unsafeMillis())
              return Effect.fail(error)
            }
          })
        }))

    /** A document of the shared store within the clock and the bounds of this process. */
    const bounded = (document: Cached<A>, now: number): Cached<A> => {
      const freshUntil = Math.min(document.freshUntil, now + maxTimeToLive)
      return {
        ...document,
        fetchedAt: Math.min(document.fetchedAt, now),
        freshUntil,
        staleUntil: Math.min(document.staleUntil, freshUntil + staleTime)
      }
    }

    const lookUp = (key: string, load: Load<A, E>): Effect.Effect<A, E> =>
      shared === undefined ? refresh(key, load) : lookups.run(key, (isCurrent) =>
        Effect.gen(function*() {
          const found = yield* shared.get(key)
          const inMemory = entries.get(key)?.document
          const now = yield* Clock.currentTimeMillis
          // An absent document was invalidated by another process; an unavailable store leaves what is in memory.
          if (found === "Absent") return yield* refresh(key, load)
          const stored = found === "Unavailable" ? undefined : bounded(found, now)
          const newest = stored === undefined || (inMemory !== undefined && inMemory.fetchedAt > stored.fetchedAt)
            ? inMemory
            : stored
          if (newest !== undefined && isCurrent()) write(key, newest, now)
          return newest !== undefined && now < newest.freshUntil ? newest.value : yield* refresh(key, load)
        }))

    const staleOrFail = (key: string, error: E): Effect.Effect<A, E> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const document = entries.get(key)?.document
        return staleIfError === undefined || document === undefined || now >= document.staleUntil ||
            !staleIfError.accepts(error)
          ? Effect.fail(error)
          : Effect.as(staleIfError.report(error), document.value)
      })

    const forget = (key: string): void => {
      lookups.forget(key)
      fetches.forget(key)
      entries.delete(key)
    }

    return {
      get: (key, load) =>
        Effect.suspend(() => {
          const now = unsafeMillis()
          const entry = entries.get(key)
          const document = entry?.document
          if (entry?.failure !== undefined && now < entry.failure.until) {
            // A failed refresh does not change how long a document is fresh.
            return document !== undefined && now < document.freshUntil
              ? Effect.succeed(document.value)
              : staleOrFail(key, entry.failure.error)
          }
          if (entry === undefined || document === undefined || now >= (entry.useUntil ?? 0)) {
            return Effect.catchAll(lookUp(key, load), (error) => staleOrFail(key, error))
          }
          // Evicted last.
          entries.set(key, entry)
          return Effect.succeed(document.value)
        }),
      refresh,
      invalidate: (id) =>
        Effect.suspend(() => {
          const keys = PERMISSIONS.map((permissions) => permissions + id)
          for (const key of keys) forget(key)
          return shared === undefined
            ? Effect.void
            : Effect.forEach(keys, shared.remove, { concurrency: "unbounded", discard: true })
        })
    }
  })
