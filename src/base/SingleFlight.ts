/**
 * However many ask for one key at once, the work is done once and all get its outcome. Nobody leads: the work runs in a fiber of its own, so the
 * interruption of one caller, or of all, neither cancels nor repeats it. The work must end by itself (a time limit inside it).
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"

/** @internal */
export interface SingleFlight<A, E> {
  /**
   * Joins the flight for `key`, or starts one. The work is told how to ask whether its flight was forgotten meanwhile, in which case it should
   * leave nothing behind.
   */
  readonly run: <R>(
    key: string,
    work: (isCurrent: () => boolean) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Starts a flight for `key` where none is under way, and does not wait for it. */
  readonly start: <R>(key: string, work: () => Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>
  /** Whoever asks from now on starts anew; those who already wait are still answered. */
  readonly forget: (key: string) => void
  /** Waits for the flights under way, for `limit` at most. Those that are left then are interrupted, and their number is the result. */
  readonly settle: (limit: Duration.DurationInput) => Effect.Effect<number>
}

/**
 * With a `scope` the work is interrupted when the scope closes; without one it runs to its end.
 *
 * @internal
 */
export const make = <A, E>(scope?: Scope.Scope): SingleFlight<A, E> => {
  const flights = new Map<string, Deferred.Deferred<A, E>>()
  const running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  /** Uninterruptible from the look at the map on: a flight that is listed but was never started would hold everybody for ever. */
  const flightFor = <R>(
    key: string,
    work: (isCurrent: () => boolean) => Effect.Effect<A, E, R>
  ): Effect.Effect<Deferred.Deferred<A, E>, never, R> =>
    Effect.suspend(() => {
      const flying = flights.get(key)
      if (flying !== undefined) return Effect.succeed(flying)
      const flight = Deferred.unsafeMake<A, E>(FiberId.none)
      flights.set(key, flight)
      const isCurrent = () => flights.get(key) === flight
      const flown = Effect.suspend(() => work(isCurrent)).pipe(
        Effect.interruptible,
        Effect.onExit((exit) =>
          Effect.suspend(() => {
            if (isCurrent()) flights.delete(key)
            return Deferred.done(flight, exit)
          })
        )
      )
      return Effect.map(scope === undefined ? Effect.forkDaemon(flown) : Effect.forkIn(flown, scope), (fiber) => {
        running.add(fiber)
        fiber.addObserver(() => running.delete(fiber))
        return flight
      })
    })

  return {
    run: (key, work) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(flightFor(key, work), (flight) => restore(Deferred.await(flight)))
      ),
    start: (key, work) => Effect.asVoid(Effect.uninterruptible(flightFor(key, work))),
    forget: (key) => {
      flights.delete(key)
    },
    settle: (limit) =>
      Effect.suspend(() => Fiber.awaitAll([...running])).pipe(
        // A finalizer cannot be interrupted, and a time limit has to interrupt what it limits.
        Effect.interruptible,
        Effect.timeoutTo({
          duration: limit,
          onSuccess: () => Effect.succeed(0),
          onTimeout: () =>
            Effect.suspend(() => {
              const left = [...running]
              return Effect.as(Effect.forEach(left, Fiber.interruptFork, { discard: true }), left.length)
            })
        }),
        Effect.flatten
      )
  }
}
