/**
 * Time limits of requests over any `HttpClient`. Requests with equal limits expire in the order in which they began, so
 * that one sleeping fiber serves all of them: a race with a clock for each costs more than the request itself.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"

interface Deadline {
  /** By the monotonic clock: the time of day can jump. */
  readonly at: number
  readonly expire: () => void
}

interface Deadlines {
  readonly add: (expire: () => void) => Deadline
  readonly remove: (deadline: Deadline) => void
}

/** The deadlines of one clock and one limit, the earliest first. `onEmpty` runs when the last of them is removed. */
const make = (clock: Clock.Clock, limit: number, onEmpty: () => void): Deadlines => {
  const waiting = new Set<Deadline>()
  let sleeper: Fiber.RuntimeFiber<void> | undefined
  const now = (): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

  const expireDue: Effect.Effect<void> = Effect.suspend(() => {
    for (const deadline of waiting) {
      const left = deadline.at - now()
      if (left > 0) return Effect.zipRight(clock.sleep(Duration.millis(Math.ceil(left))), expireDue)
      waiting.delete(deadline)
      deadline.expire()
    }
    sleeper = undefined
    onEmpty()
    return Effect.void
  })

  return {
    add: (expire) => {
      const deadline = { at: now() + limit, expire }
      waiting.add(deadline)
      if (sleeper === undefined) {
        const fiber = Effect.runFork(expireDue)
        // A limit of 0 has expired already, and the fiber has ended.
        if (waiting.size > 0) sleeper = fiber
      }
      return deadline
    },
    remove: (deadline) => {
      waiting.delete(deadline)
      // A sleeping fiber would keep the process alive.
      if (waiting.size > 0 || sleeper === undefined) return
      sleeper.unsafeInterruptAsFork(FiberId.none)
      sleeper = undefined
      onEmpty()
    }
  }
}

const known = new WeakMap<Clock.Clock, Map<number, Deadlines>>()

const deadlinesOf = (clock: Clock.Clock, limit: number): Deadlines => {
  const byLimit = known.get(clock) ?? new Map<number, Deadlines>()
  known.set(clock, byLimit)
  // A program may have another limit for each call.
  const deadlines = byLimit.get(limit) ?? make(clock, limit, () => byLimit.delete(limit))
  byLimit.set(limit, deadlines)
  return deadlines
}

/**
 * As `Effect.timeoutFail`, but the failure does not wait until `self` is interrupted, and the limit also holds in an
 * uninterruptible region.
 */
export const timeoutFail = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  limit: Duration.DurationInput,
  onTimeout: () => E2
): Effect.Effect<A, E | E2, R> =>
  Effect.clockWith((clock) =>
    Effect.flatMap(Effect.runtime<R>(), (runtime) =>
      Effect.async<A, E | E2>((resume) => {
        const deadlines = deadlinesOf(clock, Duration.toMillis(limit))
        const fiber = Runtime.runFork(runtime)(Effect.interruptible(self))
        const deadline = deadlines.add(() => {
          resume(Effect.suspend(() => Effect.fail(onTimeout())))
          fiber.unsafeInterruptAsFork(FiberId.none)
        })
        fiber.addObserver((exit) => {
          deadlines.remove(deadline)
          resume(exit)
        })
        return Effect.suspend(() => {
          deadlines.remove(deadline)
          return Fiber.interrupt(fiber)
        })
      }))
  )
