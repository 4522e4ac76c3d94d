/**
 * Loads referenced resources in few requests: those of one type by one search for their ids, where the server allows
 * it, and the others by reads. The results are cached.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Stream from "effect/Stream"
import * as BoundedMap from "../../base/BoundedMap.js"
import { type FhirError, isFhirError } from "../FhirError.js"
import { entriesOf } from "./bundle.js"
import { bundlePages } from "./bundlePages.js"
import { notFhir } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { Target } from "./referenceTarget.js"
import { isResource, type Resource } from "./resource.js"
import { mayHaveId } from "./resourceResponse.js"

export interface LoaderOptions {
  readonly concurrency: number
  readonly batchSize: number
  readonly capacity: number
  readonly timeToLive: Duration.DurationInput
}

interface Load<E, R> extends Request.Request<Resource, FhirError | E> {
  readonly _tag: "effect-safire/LoadReference"
  /** Equal requests of two loaders are different, because their tokens may be. */
  readonly loader: object
  readonly key: string
  readonly target: Target
  /** Whether it is the current version of a resource of this server. */
  readonly isSearchable: boolean
  readonly context: Context.Context<R>
}

type Outcome<E> = Exit.Exit<Resource, FhirError | E>

/** Reads one resource. */
export const readTarget = <E, R>(
  { send }: FhirRequester<E, R>,
  { id, reference, type }: Target
): Effect.Effect<Resource, FhirError | E, R> =>
  Effect.flatMap(
    send({ interaction: `read ${type}`, url: reference }),
    (response): Effect.Effect<Resource, FhirError> => {
      const { json } = response
      return isResource(json) && json.resourceType === type && mayHaveId(response, json, id)
        ? Effect.succeed(json)
        : notFhir(response, `without the ${type}`)
    }
  )

/** A resource, or an error that the next request would have, too. */
const isCacheable = <E>(outcome: Outcome<E>): boolean =>
  Exit.match(outcome, {
    onSuccess: () => true,
    onFailure: (cause) =>
      cause._tag === "Fail" && isFhirError(cause.error) && !cause.error.isRetryable &&
      cause.error.reason !== "Unauthorized"
  })

export const make = <E, R>(
  requester: FhirRequester<E, R>,
  { batchSize, capacity, concurrency, timeToLive }: LoaderOptions
): (target: Target) => Effect.Effect<Resource, FhirError | E, R> => {
  const loader = {}
  const lifetime = Duration.toMillis(timeToLive)
  const semaphore = Effect.unsafeMakeSemaphore(concurrency)
  const cache = BoundedMap.make<{ readonly outcome: Outcome<E>; readonly until: number }>(capacity)
  const running = new Map<string, Deferred.Deferred<Resource, FhirError | E>>()
  /** The types that the server does not search by id. */
  const unsearchable = new Set<string>()

  const cached = (key: string, now: number): Outcome<E> | undefined => {
    const entry = cache.get(key)
    return entry !== undefined && now < entry.until ? entry.outcome : undefined
  }

  const settle = ({ key }: Load<E, R>, outcome: Outcome<E>): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const deferred = running.get(key)
      running.delete(key)
      if (isCacheable(outcome)) cache.set(key, { outcome, until: now + lifetime })
      return deferred === undefined ? Effect.void : Effect.asVoid(Deferred.done(deferred, outcome))
    })

  const read = (load: Load<E, R>): Effect.Effect<void, never, R> =>
    Effect.flatMap(
      Effect.exit(semaphore.withPermits(1)(readTarget(requester, load.target))),
      (outcome) => settle(load, outcome)
    )

  /** Settles what a search for the ids finds, and returns the rest. */
  const search = (
    type: string,
    loads: ReadonlyArray<Load<E, R>>
  ): Effect.Effect<ReadonlyArray<Load<E, R>>, never, R> => {
    const left = new Map(loads.map((load) => [load.target.id, load]))
    const params = { _id: [...left.keys()].join(","), _count: left.size }
    const request = { interaction: `search ${type}`, url: type, params }
    return bundlePages(
      requester,
      request,
      { maxPages: left.size },
      ({ bundle }) =>
        Effect.forEach(entriesOf(bundle), ({ resource }) => {
          const load = resource?.resourceType === type ? left.get(String(resource["id"])) : undefined
          if (resource === undefined || load === undefined) return Effect.void
          left.delete(load.target.id)
          return settle(load, Exit.succeed(resource))
        }, { discard: true })
    ).pipe(
      Stream.takeUntil(() => left.size === 0),
      Stream.runDrain,
      semaphore.withPermits(1),
      Effect.matchEffect({
        onSuccess: () => Effect.succeed([...left.values()]),
        onFailure: (error) => {
          if (isFhirError(error) && !error.isRetryable && error.reason !== "Unauthorized") {
            unsearchable.add(type)
            return Effect.succeed([...left.values()])
          }
          return Effect.as(Effect.forEach(left.values(), (load) => settle(load, Exit.fail(error))), [])
        }
      })
    )
  }

  const loadAll = (loads: ReadonlyArray<Load<E, R>>): Effect.Effect<void, never, R> => {
    const byType = new Map<string, Array<Load<E, R>>>()
    const reads: Array<Load<E, R>> = []
    for (const load of loads) {
      const { type } = load.target
      const known = byType.get(type)
      if (!load.isSearchable || unsearchable.has(type)) reads.push(load)
      else if (known === undefined) byType.set(type, [load])
      else known.push(load)
    }
    const searches: Array<Effect.Effect<void, never, R>> = []
    for (const [type, all] of byType) {
      for (let start = 0; start < all.length; start += batchSize) {
        const batch = all.slice(start, start + batchSize)
        if (batch.length === 1) reads.push(...batch)
        else {
          searches.push(
            Effect.flatMap(search(type, batch), (rest) => Effect.forEach(rest, read, { concurrency, discard: true }))
          )
        }
      }
    }
    return Effect.all([...searches, ...reads.map(read)], { concurrency, discard: true })
  }

  /** The requests run in a fiber of their own: interrupting a caller does not cancel them for the others. */
  const batched = RequestResolver.makeBatched((loads: ReadonlyArray<Load<E, R>>): Effect.Effect<void> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const waiting = new Map<Load<E, R>, Effect.Effect<Resource, FhirError | E>>()
        const started: Array<Load<E, R>> = []
        for (const load of loads) {
          const outcome = cached(load.key, now)
          if (outcome !== undefined) {
            waiting.set(load, outcome)
            continue
          }
          const deferred = running.get(load.key) ?? Deferred.unsafeMake<Resource, FhirError | E>(FiberId.none)
          if (!running.has(load.key)) {
            running.set(load.key, deferred)
            started.push(load)
          }
          waiting.set(load, Deferred.await(deferred))
        }
        const [first] = started
        const work = Effect.onExit(Effect.interruptible(loadAll(started)), (exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.forEach(
              started,
              (load) => running.has(load.key) ? settle(load, Exit.failCause(exit.cause)) : Effect.void
            ))
        return Effect.zipRight(
          first === undefined ? Effect.void : Effect.forkDaemon(Effect.provide(work, first.context)),
          restore(Effect.forEach(waiting, ([load, result]) => Request.completeEffect(load, result), {
            concurrency: "unbounded",
            discard: true
          }))
        )
      })
    )
  )

  const request = Request.tagged<Load<E, R>>("effect-safire/LoadReference")

  /** `Type/id` for a resource of this server, also if its reference is absolute; else the URL. */
  const keyOf = (target: Target): Effect.Effect<string, E, R> =>
    target.base === undefined ? Effect.succeed(target.reference) : Effect.map(
      Effect.all([requester.resolve(target.reference), requester.resolve(`${target.type}/${target.id}`)]),
      ([url, current]) => url?.href === current?.href ? `${target.type}/${target.id}` : url?.href ?? target.reference
    )

  return (target) =>
    Effect.flatMap(
      Effect.all([Clock.currentTimeMillis, keyOf(target)]),
      ([now, key]) =>
        cached(key, now) ?? Effect.contextWithEffect((context: Context.Context<R>) =>
          Effect.request(
            request({ loader, key, target, isSearchable: key === `${target.type}/${target.id}`, context }),
            batched
          )
        )
    )
}
