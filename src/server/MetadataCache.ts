/**
 * The rules by which SMART configurations are kept, in memory and, where there is one, in a store that processes share: fresh by the server's own
 * word within bounds, one look-up however many ask, failures remembered beside the last good document, never in its place.
 */
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Recent from "../base/BoundedMap.js"
import type { Service as Warnings } from "../base/ConformanceWarning.js"
import { ConformanceWarning } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as SingleFlight from "../base/SingleFlight.js"
import * as Url from "../base/Url.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import type { Options, Request, Service } from "./Discovery.js"
import { DiscoveryError } from "./DiscoveryError.js"
import type { Found } from "./internal/wellKnown.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

/**
 * A good document.
 *
 * @internal
 */
export interface CachedConfiguration {
  readonly configuration: SmartConfiguration
  readonly fetchedAt: number
  readonly freshUntil: number
  readonly staleUntil: number
}

/**
 * Where processes share good documents. None of its operations fails or takes long: what went wrong has been reported.
 *
 * @internal
 */
export interface Shared {
  readonly get: (slot: string) => Effect.Effect<CachedConfiguration | "Absent" | "Unavailable">
  readonly set: (slot: string, good: CachedConfiguration) => Effect.Effect<boolean>
  readonly remove: (slot: string) => Effect.Effect<boolean>
  /** How long memory is believed without a look at the store. */
  readonly memoryTimeToLive: number
}

/** What is known of one server: its last good document, its last failure, or both. */
interface Entry {
  readonly good?: CachedConfiguration & { readonly believedUntil: number }
  readonly failure?: { readonly error: DiscoveryError; readonly until: number }
  /** How long the entry is worth keeping, from when it was set. */
  readonly keepMillis: number
}

/** What one caller is allowed, or puts up with, must not be had by another that is not and does not. */
const slotOf = (key: string, request: Request | undefined): string =>
  `${key}${request?.allowInsecureLocalhost === true ? " insecure" : ""}${
    request?.legacyMetadata === true ? " legacy" : ""
  }`

const slotsOf = (key: string): ReadonlyArray<string> =>
  [true, false].flatMap((allowInsecureLocalhost) =>
    [true, false].map((legacyMetadata) => slotOf(key, { allowInsecureLocalhost, legacyMetadata }))
  )

/** Failures after which the last good document still serves: the server is in trouble, it did not say that SMART is gone. */
const mayServeStale = (error: DiscoveryError): boolean => error.reason !== "NotFound" && error.reason !== "InvalidUrl"

/** A valid URL and its cache key. To parse a URL twice costs as much as all the rest of a look-up. */
interface Place {
  readonly key: string
  readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl
}

const places = Recent.make<Place>(1_000)

const placeOf = (input: string): Either.Either<Place, FhirBaseUrl.Problem> => {
  const known = places.get(input)
  return known !== undefined ? Either.right(known) : Either.map(FhirBaseUrl.parse(input), (fhirBaseUrl) => {
    const place = { key: FhirBaseUrl.key(fhirBaseUrl), fhirBaseUrl }
    places.set(input, place)
    return place
  })
}

/** Runs with a valid URL and its cache key. */
const withKey = <A>(
  input: string,
  use: (key: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl) => Effect.Effect<A, DiscoveryError>
): Effect.Effect<A, DiscoveryError> =>
  Either.match(placeOf(input), {
    onLeft: (problem) =>
      new DiscoveryError({
        reason: "InvalidUrl",
        fhirBaseUrl: Url.forDisplay(input),
        url: Url.forDisplay(input),
        detail: `it is no FHIR base URL (${problem})`
      }),
    onRight: ({ fhirBaseUrl, key }) => use(key, fhirBaseUrl)
  })

/** @internal */
export const make = (
  fetch: (fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, request: Request | undefined) => Effect.Effect<Found, DiscoveryError>,
  warnings: Warnings,
  options: Options,
  shared?: Shared | undefined
): Effect.Effect<Service> =>
  Effect.gen(function*() {
    const timeToLive = Duration.toMillis(options.timeToLive ?? "1 hour")
    const minTimeToLive = Duration.toMillis(options.minTimeToLive ?? "1 minute")
    const maxTimeToLive = Duration.toMillis(options.maxTimeToLive ?? "1 day")
    const staleIfError = Duration.toMillis(options.staleIfError ?? "1 day")
    const failureTimeToLive = Duration.toMillis(options.failureTimeToLive ?? "3 seconds")

    // The cache holds and expires; the single flights look up. `Cache`'s own look-up would make followers share the fate of an interrupted first
    // caller, keep failures and let a failed refresh replace a good document.
    const cache = yield* Cache.makeWith<string, Entry>({
      capacity: options.capacity ?? 10_000,
      lookup: () => Effect.succeed({ keepMillis: 0 }),
      timeToLive: Exit.match({ onFailure: () => 0, onSuccess: ({ keepMillis }) => keepMillis })
    })
    // A look-up may be answered by the store, a fetch never is: a refresh joins fetches only.
    const lookups = SingleFlight.make<SmartConfiguration, DiscoveryError>()
    const fetches = SingleFlight.make<SmartConfiguration, DiscoveryError>()
    /** Slots whose removal from the store is under way or failed: what the store says of them is not believed. */
    const distrusted = new Set<string>()

    const look = (slot: string): Effect.Effect<Entry | undefined> =>
      Effect.map(cache.getOptionComplete(slot), Option.getOrUndefined)

    const lookNow = (slot: string) =>
      Effect.flatMap(look(slot), (entry) => Effect.map(Clock.currentTimeMillis, (now) => ({ entry, now })))

    const keep = (slot: string, good: CachedConfiguration, now: number): Effect.Effect<void> =>
      cache.set(slot, {
        good: { ...good, believedUntil: Math.min(good.freshUntil, now + (shared?.memoryTimeToLive ?? Infinity)) },
        keepMillis: Math.max(0, good.staleUntil - now)
      })

    /** Into the store; out again, if it was forgotten meanwhile. */
    const share = (slot: string, good: CachedConfiguration, isCurrent: () => boolean): Effect.Effect<void> =>
      shared === undefined ? Effect.void : Effect.flatMap(shared.set(slot, good), (done) => {
        if (!isCurrent()) return shared.remove(slot)
        if (done) distrusted.delete(slot)
        return Effect.void
      })

    const succeeded = (slot: string, { configuration, declaredMaxAge }: Found, isCurrent: () => boolean) =>
      Effect.gen(function*() {
        if (!isCurrent()) return
        const now = yield* Clock.currentTimeMillis
        const fresh = declaredMaxAge === undefined
          ? timeToLive
          : Math.min(maxTimeToLive, Math.max(minTimeToLive, declaredMaxAge))
        const good = {
          configuration,
          fetchedAt: now,
          freshUntil: now + fresh,
          staleUntil: now + fresh + staleIfError
        }
        yield* keep(slot, good, now)
        yield* share(slot, good, isCurrent)
      })

    const failed = (slot: string, error: DiscoveryError, isCurrent: () => boolean) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const good = (yield* look(slot))?.good
        const remembered = Math.max(
          failureTimeToLive,
          Math.min(Duration.toMillis(error.retryAfter ?? Duration.zero), Duration.toMillis(RetryPolicy.retryAfterCap))
        )
        if (!isCurrent()) return
        yield* cache.set(slot, {
          ...(good === undefined ? {} : { good }),
          failure: { error, until: now + remembered },
          keepMillis: Math.max(remembered, (good?.staleUntil ?? 0) - now)
        })
      })

    const fetchInto = (slot: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, request: Request | undefined) =>
      fetches.run(slot, (isCurrent) =>
        fetch(fhirBaseUrl, request).pipe(
          Effect.tapBoth({
            onSuccess: (found) => succeeded(slot, found, isCurrent),
            onFailure: (error) => failed(slot, error, isCurrent)
          }),
          Effect.map(({ configuration }) => configuration)
        ))

    /** What the store has, as far as this process believes it: its clock and its bounds count, not those of whoever wrote it. */
    const adopted = (found: CachedConfiguration, now: number): CachedConfiguration => {
      const freshUntil = Math.min(found.freshUntil, now + maxTimeToLive)
      return {
        ...found,
        fetchedAt: Math.min(found.fetchedAt, now),
        freshUntil,
        staleUntil: Math.min(found.staleUntil, freshUntil + staleIfError)
      }
    }

    const lookUp = (slot: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, request: Request | undefined) =>
      shared === undefined
        ? fetchInto(slot, fhirBaseUrl, request)
        : lookups.run(slot, (isCurrent) =>
          Effect.gen(function*() {
            if (distrusted.has(slot)) return yield* fetchInto(slot, fhirBaseUrl, request)
            const found = yield* shared.get(slot)
            const own = (yield* look(slot))?.good
            const now = yield* Clock.currentTimeMillis
            // A store without it says that somebody forgot it; one that does not answer says nothing.
            if (found === "Absent") return yield* fetchInto(slot, fhirBaseUrl, request)
            const theirs = found === "Unavailable" ? undefined : adopted(found, now)
            const newest = theirs === undefined || (own !== undefined && own.fetchedAt > theirs.fetchedAt)
              ? own
              : theirs
            if (newest !== undefined && isCurrent()) yield* keep(slot, newest, now)
            return newest !== undefined && now < newest.freshUntil
              ? newest.configuration
              : yield* fetchInto(slot, fhirBaseUrl, request)
          }))

    const stale = (entry: Entry | undefined, now: number, error: DiscoveryError) => {
      const good = entry?.good
      if (good === undefined || now >= good.staleUntil || !mayServeStale(error)) return Effect.fail(error)
      return Effect.as(
        warnings.report(
          new ConformanceWarning({
            code: "MetadataStale",
            server: error.fhirBaseUrl,
            detail:
              `the server does not give its SMART configuration (${error.reason}); the last good one serves meanwhile`
          })
        ),
        good.configuration
      )
    }

    const forget = (slot: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        lookups.forget(slot)
        fetches.forget(slot)
        return cache.invalidate(slot)
      })

    return {
      configuration: (input, request) =>
        withKey(input, (key, fhirBaseUrl) => {
          const slot = slotOf(key, request)
          return Effect.flatMap(lookNow(slot), ({ entry, now }) => {
            if (entry?.failure !== undefined && now < entry.failure.until) {
              // A refresh that failed leaves a document as fresh as it was.
              return entry.good !== undefined && now < entry.good.freshUntil
                ? Effect.succeed(entry.good.configuration)
                : stale(entry, now, entry.failure.error)
            }
            if (entry?.good !== undefined && now < entry.good.believedUntil) {
              return Effect.succeed(entry.good.configuration)
            }
            return Effect.catchAll(
              lookUp(slot, fhirBaseUrl, request),
              (error) => Effect.flatMap(lookNow(slot), (latest) => stale(latest.entry, latest.now, error))
            )
          })
        }),
      refresh: (input, request) =>
        withKey(input, (key, fhirBaseUrl) => fetchInto(slotOf(key, request), fhirBaseUrl, request)),
      invalidate: (input) =>
        Effect.suspend(() => {
          const parsed = FhirBaseUrl.parse(input)
          if (Either.isLeft(parsed)) return Effect.void
          return Effect.forEach(slotsOf(FhirBaseUrl.key(parsed.right)), (slot) => {
            if (shared === undefined) return forget(slot)
            distrusted.add(slot)
            return Effect.zipRight(
              forget(slot),
              Effect.map(shared.remove(slot), (done) => {
                if (done) distrusted.delete(slot)
              })
            )
          }, { concurrency: "unbounded", discard: true })
        })
    }
  })
