import { assert, describe, it } from "@effect/vitest"
import { assertSome } from "@effect/vitest/utils"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as SingleFlight from "../../src/base/SingleFlight.js"

const counted = (outcome: (run: number) => Effect.Effect<number, string>) => {
  let runs = 0
  return {
    work: () => Effect.delay(Effect.suspend(() => outcome(++runs)), "1 second"),
    runs: () => runs
  }
}

describe("SingleFlight", () => {
  it.effect("a hundred concurrent callers of one key share one run and its result", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 100 }, () => flights.run("key", work)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(new Set(yield* Fiber.join(all)), new Set([1]))
      assert.strictEqual(runs(), 1)
    }))

  it.effect("`inProgress` is the result of a run that has not ended, and starts none", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      assert.isUndefined(flights.inProgress("key"))
      yield* Effect.fork(flights.run("key", work))
      yield* Effect.yieldNow()
      const joined = flights.inProgress("key")
      assert.isUndefined(flights.inProgress("another"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* joined ?? Effect.fail("no run"), 1)
      assert.isUndefined(flights.inProgress("key"))
      assert.strictEqual(runs(), 1)
    }))

  it.effect("each key has its own run, and a finished run is not repeated", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { work } = counted(Effect.succeed)
      const both = yield* Effect.fork(Effect.zip(flights.run("a", work), flights.run("b", work), { concurrent: true }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([...yield* Fiber.join(both)].sort(), [1, 2])
      const third = yield* Effect.fork(flights.run("a", work))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(third), 3)
    }))

  it.effect("a failure reaches all waiting callers, and is not stored", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted((run) => run === 1 ? Effect.fail("down") : Effect.succeed(run))
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 10 }, () => Effect.flip(flights.run("key", work))), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(new Set(yield* Fiber.join(all)), new Set(["down"]))
      const next = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.strictEqual(runs(), 2)
    }))

  it.effect("a defect reaches all waiting callers, and the next call runs again", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { work } = counted((run) => run === 1 ? Effect.die("bug") : Effect.succeed(run))
      const first = yield* Effect.fork(Effect.exit(flights.run("key", work)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(first), Exit.die("bug"))
      const next = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.effect("interrupting the first caller does not cancel or repeat the run", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      const first = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.fork(flights.run("key", work))
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(second), 1)
      assert.strictEqual(runs(), 1)
    }))

  it.effect("interrupting all callers does not cancel the run, and a later caller joins it", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      const callers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(flights.run("key", work)))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interruptAll(callers)
      const late = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(late), 1)
      assert.strictEqual(runs(), 1)
    }))

  it.live("an interruption at any point does not block the key", () =>
    Effect.gen(function*() {
      for (let nth = 1; nth <= 30; nth++) {
        let operations = 0
        let first: unknown
        // Interrupts the first fiber between its nth operation and the next.
        const scheduler: Scheduler.Scheduler = {
          scheduleTask: (task, priority) => Scheduler.defaultScheduler.scheduleTask(task, priority),
          shouldYield: (fiber) => {
            first ??= fiber
            if (fiber !== first || ++operations !== nth) return false
            fiber.unsafeInterruptAsFork(FiberId.none)
            return 0
          }
        }
        const flights = SingleFlight.make<number, string>()
        yield* Fiber.await(Effect.runFork(flights.run("key", () => Effect.succeed(1)), { scheduler }))
        const second = yield* flights.run("key", () => Effect.succeed(2)).pipe(
          Effect.disconnect,
          Effect.timeoutOption("1 second")
        )
        assert.strictEqual(second._tag, "Some", `interrupted after ${nth} operations`)
      }
    }))

  it.effect("`forget` makes later calls start a new run; earlier callers get the result of the old run, for which `isCurrent` is false", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<string, never>()
      const gate = yield* Deferred.make<void>()
      const old = yield* Effect.fork(
        flights.run("key", (isCurrent) => Effect.map(Deferred.await(gate), () => `old ${isCurrent()}`))
      )
      yield* Effect.yieldNow()
      flights.forget("key")
      const fresh = yield* Effect.fork(
        flights.run("key", (isCurrent) => Effect.map(Deferred.await(gate), () => `new ${isCurrent()}`))
      )
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([yield* Fiber.join(old), yield* Fiber.join(fresh)], ["old false", "new true"])
    }))

  it.effect("after `forget`, the end of the old run does not remove the new one", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("500 millis")
      flights.forget("key")
      yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("500 millis")
      assert.isDefined(flights.inProgress("key"))
      const joined = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(joined), 2)
      assert.strictEqual(runs(), 2)
    }))

  it.effect("`start` starts a run without waiting for it, unless one is in progress", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      const { runs, work } = counted(Effect.succeed)
      yield* flights.start("key", work)
      yield* flights.start("key", work)
      const joined = yield* Effect.fork(flights.run("key", work))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(joined), 1)
      assert.strictEqual(runs(), 1)
    }))

  it.effect("the end of its scope interrupts the work, and its callers are interrupted", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const flights = SingleFlight.make<number, string>(scope)
      const caller = yield* Effect.fork(flights.run("key", () => Effect.never))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(caller)))
    }))

  it.effect("the work can be interrupted also if its caller cannot", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const flights = SingleFlight.make<number, string>(scope)
      const caller = yield* Effect.fork(Effect.uninterruptible(flights.run("key", () => Effect.never)))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(caller)))
    }))

  it.effect("`settle` waits for the runs in progress, and interrupts those that are left after its limit", () =>
    Effect.gen(function*() {
      const flights = SingleFlight.make<number, string>()
      assert.strictEqual(yield* flights.settle("1 second"), 0)
      const { work } = counted(Effect.succeed)
      yield* Effect.fork(flights.run("short", work))
      yield* Effect.yieldNow()
      const settled = yield* Effect.fork(flights.settle("2 seconds"))
      yield* TestClock.adjust("1 second")
      assertSome(yield* Fiber.poll(settled), Exit.succeed(0))
      yield* Effect.fork(flights.run("short", work))
      const long = yield* Effect.forEach(["a", "b"], (key) => Effect.fork(flights.run(key, () => Effect.never)))
      yield* Effect.yieldNow()
      const limited = yield* Effect.fork(Effect.uninterruptible(flights.settle("2 seconds")))
      yield* TestClock.adjust("1999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(limited)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(limited), 2)
      for (const fiber of long) assert.isTrue(Exit.isInterrupted(yield* Fiber.await(fiber)))
      assert.strictEqual(yield* flights.settle("1 second"), 0)
    }))
})
