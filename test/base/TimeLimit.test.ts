import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"
import * as TimeLimit from "../../src/base/TimeLimit.js"
import { heldBytes } from "../support/memory.js"

class Name extends Context.Tag("test/Name")<Name, string>() {}

const limited = <A, E, R>(self: Effect.Effect<A, E, R>, limit: "1 second" | "4 seconds" = "4 seconds") =>
  TimeLimit.timeoutFail(self, { limit, onTimeout: () => `over ${limit}` })

describe("TimeLimit.timeoutFail", () => {
  it.effect("operations with different limits each fail at their own, also in an uninterruptible region", () =>
    Effect.gen(function*() {
      const start = (limit: "1 second" | "4 seconds") =>
        Effect.fork(Effect.uninterruptible(limited(Effect.never, limit)))
      const [first, short] = [yield* start("4 seconds"), yield* start("1 second")]
      yield* TestClock.adjust("500 millis")
      const second = yield* start("4 seconds")
      yield* TestClock.adjust("500 millis")
      assertSome(yield* Fiber.poll(short), Exit.fail("over 1 second"))
      yield* TestClock.adjust("2999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(first)))
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.await(first), Exit.fail("over 4 seconds"))
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(yield* Fiber.await(second), Exit.fail("over 4 seconds"))
    }))

  it.effect("the failure does not wait for an operation that cannot be interrupted", () =>
    Effect.gen(function*() {
      const end = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(limited(Effect.uninterruptible(Deferred.await(end))))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("over 4 seconds"))
      yield* Deferred.succeed(end, undefined)
    }))

  it.effect("results, failures and defects are those of the operation, whether it ends at once or later", () =>
    Effect.gen(function*() {
      for (const later of [Effect.void, Effect.yieldNow()]) {
        const run = <A, E>(self: Effect.Effect<A, E>) => Effect.exit(limited(Effect.zipRight(later, self)))
        assert.deepStrictEqual(yield* run(Effect.succeed(1)), Exit.succeed(1))
        assert.deepStrictEqual(yield* run(Effect.fail("down")), Exit.fail("down"))
        assert.deepStrictEqual(yield* run(Effect.die("bug")), Exit.die("bug"))
      }
    }))

  it.live("an operation whose semaphore is free ends before other fibers run, and makes none of them wait", () =>
    Effect.gen(function*() {
      const semaphore = Effect.unsafeMakeSemaphore(1)
      const events: Array<string> = []
      const log = (event: string) => Effect.sync(() => void events.push(event))
      const operation = (name: string) =>
        Effect.zipRight(
          limited(semaphore.withPermits(1)(log(`${name} works`))),
          log(`${name} ended`)
        )
      yield* Effect.all([operation("first"), operation("second")], { concurrency: "unbounded" })
      assert.deepStrictEqual(events.indexOf("first works") < events.indexOf("second works"), true)
      // The second finds the semaphore free.
      assert.isBelow(events.indexOf("first works"), 1)
      assert.sameMembers(events, ["first works", "first ended", "second works", "second ended"])
      const order: Array<string> = []
      void Promise.resolve().then(() => order.push("a microtask"))
      yield* limited(semaphore.withPermits(1)(Effect.sync(() => void order.push("the operation"))))
      assert.strictEqual(order[0], "the operation")
    }))

  it.live("an operation that yields until another fiber has done its work does not prevent that work", () =>
    Effect.gen(function*() {
      let isDone = false
      const polling: Effect.Effect<void> = Effect.suspend(() =>
        isDone ? Effect.void : Effect.zipRight(Effect.yieldNow(), polling)
      )
      yield* Effect.fork(Effect.delay(Effect.sync(() => (isDone = true)), "10 millis"))
      yield* limited(polling)
      assert.isTrue(isDone)
    }))

  it.live("what an operation schedules after its first tasks goes to the caller's scheduler", () =>
    Effect.gen(function*() {
      const tasks = Array.from({ length: 20 }, (_, index) => index)
      const ran: Array<number> = []
      const fibers: Array<unknown> = []
      let ranAtOnce: number | undefined
      const counting: Scheduler.Scheduler = {
        shouldYield: (fiber) => Scheduler.defaultScheduler.shouldYield(fiber),
        scheduleTask: (task, priority, fiber) => {
          ranAtOnce ??= ran.length
          fibers.push(fiber)
          Scheduler.defaultScheduler.scheduleTask(task, priority, fiber)
        }
      }
      const operation = Effect.withFiberRuntime<void>((fiber) => {
        for (const task of tasks) fiber.currentScheduler.scheduleTask(() => void ran.push(task), 0, fiber)
        return Effect.promise(() => Promise.resolve())
      })
      yield* Effect.withScheduler(limited(operation), counting)
      assert.strictEqual(ranAtOnce, 8)
      assert.deepStrictEqual(ran, tasks)
      assert.isTrue(fibers.every((fiber) => fiber !== undefined))
    }))

  it.effect("an operation that ends leaves the limits of those before and after it, and of later ones", () =>
    Effect.gen(function*() {
      for (const ending of [[0], [1], [2], [0, 1], [1, 2], [2, 1], [0, 2]]) {
        const ends = yield* Effect.forEach([0, 1, 2], () => Deferred.make<number>())
        const fibers = yield* Effect.forEach(ends, (end) => Effect.fork(limited(Deferred.await(end))))
        yield* Effect.yieldNow()
        for (const index of ending) {
          yield* Deferred.succeed(ends[index] ?? assert.fail("no such operation"), index)
          yield* Effect.yieldNow()
        }
        yield* TestClock.adjust("1 second")
        const later = yield* Effect.fork(limited(Effect.never))
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.await),
          [0, 1, 2].map((index) => ending.includes(index) ? Exit.succeed(index) : Exit.fail("over 4 seconds"))
        )
        assert.isTrue(Option.isNone(yield* Fiber.poll(later)))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.await(later), Exit.fail("over 4 seconds"))
      }
    }))

  it.effect("an operation that has failed at its limit leaves those that began after it, and later ones", () =>
    Effect.gen(function*() {
      const start = Effect.fork(limited(Effect.never))
      const first = yield* start
      yield* TestClock.adjust("1 second")
      const second = yield* start
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.await(first), Exit.fail("over 4 seconds"))
      const third = yield* start
      yield* TestClock.adjust("1 second")
      assertSome(yield* Fiber.poll(second), Exit.fail("over 4 seconds"))
      assert.isTrue(Option.isNone(yield* Fiber.poll(third)))
      yield* TestClock.adjust("3 seconds")
      assertSome(yield* Fiber.poll(third), Exit.fail("over 4 seconds"))
    }))

  it.effect("a limit of zero fails at once, and does not change later limits", () =>
    Effect.gen(function*() {
      const none = TimeLimit.timeoutFail(Effect.never, { limit: 0, onTimeout: () => "over" })
      for (let round = 0; round < 3; round++) assert.strictEqual(yield* Effect.flip(none), "over")
      const fiber = yield* Effect.fork(limited(Effect.never))
      yield* TestClock.adjust("4 seconds")
      assertSome(yield* Fiber.poll(fiber), Exit.fail("over 4 seconds"))
    }))

  it.effect("an interrupted caller interrupts the operation, and waits for its end only if told so", () =>
    Effect.gen(function*() {
      for (const awaitsInterruption of [false, true]) {
        const [started, end] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const self = Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.await(end))
        )
        const caller = yield* Effect.fork(
          TimeLimit.timeoutFail(self, { limit: "4 seconds", onTimeout: () => "over", awaitsInterruption })
        )
        yield* Deferred.await(started)
        const interrupting = yield* Effect.fork(Fiber.interrupt(caller))
        for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow()
        assert.strictEqual(Option.isSome(yield* Fiber.poll(interrupting)), !awaitsInterruption)
        yield* Deferred.succeed(end, undefined)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
      }
    }))

  it.effect("the operation has the fiber references of its caller", () =>
    Effect.gen(function*() {
      const name = FiberRef.unsafeMake("outside")
      assert.strictEqual(yield* Effect.locally(limited(FiberRef.get(name)), name, "inside"), "inside")
    }))

  it.effect("`environment` changes the environment of the operation", () =>
    Effect.gen(function*() {
      const read = Effect.flatMap(
        Effect.context<never>(),
        (context) => Effect.succeed(Context.getOption(context, Name))
      )
      const environment = (runtime: Runtime.Runtime<never>) => Runtime.provideService(runtime, Name, "inside")
      const run = (options: object) =>
        TimeLimit.timeoutFail(read, { limit: "1 second", onTimeout: () => "over", ...options })
      assertSome(yield* run({ environment }), "inside")
      assertNone(yield* run({}))
    }))

  // Only V8 can be told to collect garbage.
  it.live.skipIf("Bun" in globalThis)(
    "limits that differ for each operation leave nothing in memory",
    () =>
      Effect.gen(function*() {
        const run = (from: number) =>
          Effect.forEach(
            Array.from({ length: 3_000 }, (_, index) => 60_000 + from + index),
            (limit) =>
              TimeLimit.timeoutFail(Effect.promise(() => Promise.resolve()), { limit, onTimeout: () => "over" }),
            {
              discard: true
            }
          )
        yield* run(0)
        const before = heldBytes()
        yield* run(3_000)
        assert.isBelow(heldBytes() - before, 500_000)
      })
  )

  // Bun does not list its timers.
  it.live.skipIf("Bun" in globalThis)(
    "when the last operation has ended, no timer keeps the process alive",
    () =>
      Effect.gen(function*() {
        const timers = () => process.getActiveResourcesInfo().filter((one) => one === "Timeout").length
        const before = timers()
        const end = yield* Deferred.make<void>()
        const fibers = yield* Effect.replicateEffect(Effect.fork(limited(Deferred.await(end))), 5)
        yield* Effect.yieldNow()
        // One for all operations.
        assert.strictEqual(timers(), before + 1)
        yield* Deferred.succeed(end, undefined)
        yield* Fiber.joinAll(fibers)
        yield* Effect.sleep("1 millis")
        assert.isAtMost(timers(), before)
      })
  )
})
