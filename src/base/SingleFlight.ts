/**
 * However many ask for one key at once, the work is done once and all get its outcome. Nobody leads: the work runs in a fiber of its own, so the
 * interruption of one caller, or of all, neither cancels nor repeats it. The work must end by itself (a time limit inside it).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

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
  /** Whoever asks from now on starts anew; those who already wait are still answered. */
  readonly forget: (key: string) => void
  /** Waits for all that is under way now. */
  readonly settled: Effect.Effect<void>
}

/** @internal */
export const make = <A, E>(): SingleFlight<A, E> => {
  const flights = new Map<string, Deferred.Deferred<A, E>>()
  return {
    run: (key, work) =>
      // Uninterruptible from the look at the map on: a flight that is listed but was never started would hold everybody for ever.
      Effect.uninterruptibleMask((restore) => {
        const flying = flights.get(key)
        if (flying !== undefined) return restore(Deferred.await(flying))
        const flight = Deferred.unsafeMake<A, E>(FiberId.none)
        flights.set(key, flight)
        const isCurrent = () => flights.get(key) === flight
        return Effect.suspend(() => work(isCurrent)).pipe(
          Effect.interruptible,
          Effect.onExit((exit) =>
            Effect.suspend(() => {
              if (isCurrent()) flights.delete(key)
              return Deferred.done(flight, exit)
            })
          ),
          Effect.forkDaemon,
          Effect.zipRight(restore(Deferred.await(flight)))
        )
      }),
    forget: (key) => {
      flights.delete(key)
    },
    settled: Effect.suspend(() =>
      Effect.forEach([...flights.values()], (flight) => Effect.exit(Deferred.await(flight)), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }
}
