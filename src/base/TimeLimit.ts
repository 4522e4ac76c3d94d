/**
 * Time limits of requests and of operations of a store. Operations with equal limits expire in the order in which they
 * began, so that one sleeping fiber serves all of them: a race with a clock for each costs more than most operations.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scheduler from "effect/Scheduler"
import { clockOf } from "./FiberEnvironment.js"

interface Deadline {
  /** By the monotonic clock: the time of day can jump. */
  readonly at: number
  readonly expire: () => void
  previous: Deadline | undefined
  next: Deadline | undefined
}

interface Deadlines {
  readonly add: (expire: () => void) => Deadline
  readonly remove: (deadline: Deadline) => void
}

/** The deadlines of one clock and one limit, the earliest first. `onEmpty` runs when the last of them is removed. */
const make = (clock: Clock.Clock, limit: number, onEmpty: () => void): Deadlines => {
  // A linked list: the outgrown tables of a `Set` refer to operations that have ended, which the collector then copies.
  let first: Deadline | undefined
  let last: Deadline | undefined
  let sleeper: Fiber.RuntimeFiber<void> | undefined
  const now = (): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

  const unlink = (deadline: Deadline): void => {
    const { next, previous } = deadline
    if (previous !== undefined) previous.next = next
    else if (first === deadline) first = next
    if (next !== undefined) next.previous = previous
    else if (last === deadline) last = previous
    deadline.previous = undefined
    deadline.next = undefined
  }

  const expireDue: Effect.Effect<void> = Effect.suspend(() => {
    while (first !== undefined) {
      const left = first.at - now()
      if (left > 0) return Effect.zipRight(clock.sleep(Duration.millis(Math.ceil(left))), expireDue)
      const { expire } = first
      unlink(first)
      expire()
    }
    sleeper = undefined
    onEmpty()
    return Effect.void
  })

  return {
    add: (expire) => {
      const deadline: Deadline = { at: now() + limit, expire, previous: last, next: undefined }
      if (last === undefined) first = deadline
      else last.next = deadline
      last = deadline
      if (sleeper === undefined) {
        const fiber = Effect.runFork(expireDue)
        // A limit of 0 has expired already, and the fiber has ended.
        if (first !== undefined) sleeper = fiber
      }
      return deadline
    },
    remove: (deadline) => {
      unlink(deadline)
      // A sleeping fiber would keep the process alive.
      if (first !== undefined || sleeper === undefined) return
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

/** An operation that yields again and again must let other fibers run. */
const MAX_EAGER_TASKS = 8

/**
 * The scheduler of an operation. It runs what the operation schedules before its first wait at once. A free semaphore,
 * such as that of a SQLite connection, resumes its fiber by a task: other fibers that ran before would wait for it.
 */
class EagerScheduler implements Scheduler.Scheduler {
  private isEager = true
  private readonly first: Array<Parameters<Scheduler.Scheduler["scheduleTask"]>> = []

  constructor(private readonly other: Scheduler.Scheduler) {}

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return this.other.shouldYield(fiber)
  }

  scheduleTask(task: Scheduler.Task, priority: number, fiber?: Fiber.RuntimeFiber<unknown, unknown>): void {
    if (this.isEager) this.first.push([task, priority, fiber])
    // With the fiber, Effect's scheduler would make a queue for it, in a map of all fibers.
    else if (this.other === Scheduler.defaultScheduler) this.other.scheduleTask(task, priority)
    else this.other.scheduleTask(task, priority, fiber)
  }

  /** Runs the first tasks. Later ones go to the other scheduler. */
  flush(): void {
    // A task may add tasks.
    for (let ran = 0; ran < MAX_EAGER_TASKS; ran++) this.first.shift()?.[0]()
    this.isEager = false
    for (const rest of this.first.splice(0)) this.scheduleTask(...rest)
  }
}

/** @internal */
export interface Options<E, R> {
  readonly limit: Duration.DurationInput
  readonly onTimeout: () => E
  /** Changes the environment of the operation. Default: that of the caller. */
  readonly environment?: ((runtime: Runtime.Runtime<R>) => Runtime.Runtime<R>) | undefined
  /** Whether an interrupted caller waits until the operation has ended. Default false. */
  readonly awaitsInterruption?: boolean | undefined
  /** Runs when the operation is interrupted, and again when it has ended, before the caller goes on. Must not throw. */
  readonly onEnd?: (() => void) | undefined
}

/**
 * As `Effect.timeoutFail`, with the operation in a fiber of its own: the failure does not wait until the operation is
 * interrupted, and the limit also holds in an uninterruptible region.
 *
 * @internal
 */
export const timeoutFail = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  options: Options<E2, R>
): Effect.Effect<A, E | E2, R> =>
  Effect.withFiberRuntime<A, E | E2, R>((caller, { runtimeFlags }) => {
    const { awaitsInterruption, environment, limit, onEnd, onTimeout } = options
    const clock = clockOf(caller)
    const runtime = Runtime.make({
      context: caller.currentContext as Context.Context<R>,
      fiberRefs: caller.getFiberRefs(),
      runtimeFlags: RuntimeFlags.enable(runtimeFlags, RuntimeFlags.Interruption)
    })
    return Effect.async<A, E | E2>((resume) => {
      const scheduler = new EagerScheduler(caller.currentScheduler)
      const fiber = Runtime.runFork(environment === undefined ? runtime : environment(runtime))(self, { scheduler })
      scheduler.flush()
      // Ended already, as with a synchronous driver.
      const ended = fiber.unsafePoll()
      if (ended !== null) {
        onEnd?.()
        return resume(ended)
      }
      const interrupt = () => {
        fiber.unsafeInterruptAsFork(caller.id())
        // The end of the operation may depend on it.
        onEnd?.()
      }
      const deadlines = deadlinesOf(clock, Duration.toMillis(limit))
      const deadline = deadlines.add(() => {
        resume(Effect.suspend(() => Effect.fail(onTimeout())))
        interrupt()
      })
      fiber.addObserver((exit) => {
        deadlines.remove(deadline)
        onEnd?.()
        resume(exit)
      })
      return Effect.suspend(() => {
        deadlines.remove(deadline)
        interrupt()
        return awaitsInterruption === true ? Effect.asVoid(Fiber.await(fiber)) : Effect.void
      })
    })
  })
