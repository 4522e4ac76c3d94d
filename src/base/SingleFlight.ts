/**
 * Concurrent calls for one key share one run of the work and its result. The work runs in its own fiber: interrupting
 * one caller or all neither cancels nor repeats it. The work needs a time limit.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/** @internal */
export interface SingleFlight<A, E> {
  /**
   * Joins the run for `key`, or starts one. `isCurrent` is false after `forget`: the work should then store no result.
   */
  readonly run: <R>(
    key: string,
    work: (isCurrent: () => boolean) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** The result of the run for `key`, if there is one. To be read inside of an effect. */
  readonly inProgress: (key: string) => Effect.Effect<A, E> | undefined
  /** Starts a run for `key` unless one is in progress, and does not wait for it. */
  readonly start: <R>(key: string, work: () => Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>
  /** Later calls start a new run; calls that already wait still get the result of the old one. */
  readonly forget: (key: string) => void
  /** Waits at most `limit` for the runs in progress, then interrupts the rest and returns their number. */
  readonly settle: (limit: Duration.DurationInput) => Effect.Effect<number>
}

/** A run and the callers that wait for it. */
class Run<A, E> {
  private exit: Exit.Exit<A, E> | undefined
  private waiting: Array<(exit: Exit.Exit<A, E>) => void> = []

  /** Not a `Deferred`: the effect that removes an interrupted caller from it costs more than all else of a wait. */
  readonly result: Effect.Effect<A, E> = Effect.async((resume) => {
    if (this.exit === undefined) this.waiting.push(resume)
    else resume(this.exit)
  })

  complete(exit: Exit.Exit<A, E>): void {
    const { waiting } = this
    this.exit = exit
    this.waiting = []
    for (const resume of waiting) resume(exit)
  }
}

/**
 * With a `scope` the work is interrupted when the scope closes; without one it runs to its end.
 *
 * @internal
 */
export const make = <A, E>(scope?: Scope.Scope): SingleFlight<A, E> => {
  const runs = new Map<string, Run<A, E>>()
  const running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  /** Uninterruptible: callers would wait forever for a run that is in the map but was not started. */
  const runFor = <R>(
    key: string,
    work: (isCurrent: () => boolean) => Effect.Effect<A, E, R>
  ): Effect.Effect<Run<A, E>, never, R> =>
    Effect.suspend(() => {
      const current = runs.get(key)
      if (current !== undefined) return Effect.succeed(current)
      const run = new Run<A, E>()
      runs.set(key, run)
      const isCurrent = () => runs.get(key) === run
      const worked = Effect.interruptible(Effect.suspend(() => work(isCurrent)))
      return Effect.map(scope === undefined ? Effect.forkDaemon(worked) : Effect.forkIn(worked, scope), (fiber) => {
        running.add(fiber)
        // `Effect.onExit` would take more steps than the work of some runs.
        fiber.addObserver((exit) => {
          running.delete(fiber)
          if (isCurrent()) runs.delete(key)
          run.complete(exit)
        })
        return run
      })
    })

  return {
    inProgress: (key) => runs.get(key)?.result,
    run: (key, work) =>
      Effect.suspend(() =>
        runs.get(key)?.result ?? Effect.flatMap(Effect.uninterruptible(runFor(key, work)), ({ result }) => result)
      ),
    start: (key, work) => Effect.asVoid(Effect.uninterruptible(runFor(key, work))),
    forget: (key) => {
      runs.delete(key)
    },
    settle: (limit) =>
      Effect.suspend(() => Fiber.awaitAll([...running])).pipe(
        // A finalizer is uninterruptible, and a timeout must interrupt.
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
