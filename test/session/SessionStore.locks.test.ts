import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment } from "../support/increment.js"
import { keyOf, newId } from "../support/sessionStoreContract.js"

/** Records each request for a lock with its time. */
const scene = (options?: SessionStore.Options) =>
  Effect.gen(function*() {
    const memory = yield* SessionStore.backingMemory
    const requests: Array<number> = []
    const store = yield* SessionStore.make({
      ...memory,
      tryLock: (key, owner, leaseMillis) =>
        Effect.zipRight(
          Effect.map(Clock.currentTimeMillis, (now) => requests.push(now)),
          memory.tryLock(key, owner, leaseMillis)
        )
    }, options)
    const id = newId()
    // The first use of an id computes its digest, in real time.
    yield* store.get(id)
    return { memory, store, id, requests }
  })

/** Gives other fibers time; the test clock does not move. */
const settle = Effect.repeatN(Effect.yieldNow(), 100)

const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

describe("the lock of a session", () => {
  it.effect("while another process has it, is requested twice at once, and then with pauses that double up to 250 ms", () =>
    Effect.gen(function*() {
      const { id, memory, requests, store } = yield* scene()
      yield* memory.tryLock(keyOf(id), "another process", 3_600_000)
      const waiting = yield* Effect.fork(increment(store, id))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(waiting)
      assert.deepStrictEqual(requests.slice(0, 2), [0, 0])
      const pauses = requests.slice(2).map((at, index) => at - (requests[index + 1] ?? 0))
      assert.isAbove(pauses.length, 35)
      for (const [index, pause] of pauses.entries()) {
        const longest = [20, 40, 80, 160][index] ?? 250
        assert.isAtLeast(pause, longest / 2, `pause ${index}`)
        assert.isAtMost(pause, longest, `pause ${index}`)
      }
    }))

  it.effect("is requested once by a caller that waited for a holder in its process until the end of the lease", () =>
    Effect.gen(function*() {
      const { id, requests, store } = yield* scene({ lease: "90 seconds", lockWait: "1 hour" })
      yield* TestClock.setTime(10_000)
      const first = yield* Effect.fork(store.modify(id, () => Effect.never))
      yield* settle
      yield* TestClock.setTime(40_000)
      const second = yield* Effect.fork(store.modify(id, () => Effect.never))
      yield* TestClock.setTime(99_999)
      assert.deepStrictEqual(requests, [10_000])
      yield* TestClock.setTime(100_000)
      assert.deepStrictEqual(requests, [10_000, 100_000])

      // The end of the first holder, whose lease is over, does not end the wait for the second.
      yield* Fiber.interrupt(first)
      const third = yield* Effect.fork(increment(store, id))
      yield* TestClock.setTime(189_999)
      assert.lengthOf(requests, 2)
      yield* Fiber.interrupt(second)
      assert.strictEqual(yield* Fiber.join(third), 1)
      assert.deepStrictEqual(requests, [10_000, 100_000, 189_999])
    }))

  it.effect("is free for a waiting caller as soon as a holder in its process ends, in any way", () =>
    Effect.gen(function*() {
      const { id, store } = yield* scene()
      const end = yield* Deferred.make<never, string>()
      for (const finish of [Deferred.fail(end, "failed"), Effect.void]) {
        const holder = yield* Effect.fork(store.modify(id, () => Deferred.await(end)))
        yield* settle
        const waiting = yield* Effect.fork(increment(store, id))
        yield* settle
        yield* finish
        yield* Fiber.await(waiting)
        assert.isTrue(isDone(holder))
      }
      assert.strictEqual(yield* increment(store, id), 3)
    }))

  it.effect("goes to callers of one process in the order in which they came, and a new caller does not overtake them", () =>
    Effect.gen(function*() {
      const memory = yield* SessionStore.backingMemory
      const order: Array<string> = []
      const responses: Array<Deferred.Deferred<void>> = []
      const store = yield* SessionStore.make({
        ...memory,
        tryLock: (key, owner, leaseMillis) =>
          Effect.gen(function*() {
            const response = yield* Deferred.make<void>()
            responses.push(response)
            yield* Deferred.await(response)
            return yield* memory.tryLock(key, owner, leaseMillis)
          })
      })
      const id = newId()
      yield* store.get(id)
      const call = (name: string) =>
        Effect.zipLeft(
          Effect.fork(store.modify(id, (current) => Effect.sync(() => (order.push(name), [name, current])))),
          settle
        )
      const respond = (index: number) =>
        Effect.zipLeft(Deferred.succeed(responses[index] ?? assert.fail(`no request ${index}`), undefined), settle)
      const fibers = [yield* call("first"), yield* call("second"), yield* call("third")]
      assert.lengthOf(responses, 1)
      yield* respond(0)
      // The first has ended, and the second requests the lock.
      assert.lengthOf(responses, 2)
      fibers.push(yield* call("fourth"))
      assert.lengthOf(responses, 2)
      yield* respond(1)
      // The second has ended, too, and the third requests the lock.
      assert.lengthOf(responses, 3)
      fibers.push(yield* call("fifth"))
      assert.lengthOf(responses, 3)
      for (const index of [2, 3, 4]) yield* respond(index)
      const names = ["first", "second", "third", "fourth", "fifth"]
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), names)
      assert.deepStrictEqual(order, names)
    }))

  it.effect("is requested without the limit `lockWait` by a caller without competitors, also after a time with some", () =>
    Effect.gen(function*() {
      const memory = yield* SessionStore.backingMemory
      let isHanging = false
      const store = yield* SessionStore.make({
        ...memory,
        immediate: false,
        tryLock: (...args) => isHanging ? Effect.never : memory.tryLock(...args)
      }, { lockWait: "1 second", operationTimeout: "3 seconds" })
      const id = newId()
      yield* store.get(id)
      const callers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(increment(store, id)))
      yield* Effect.forEach(callers, Fiber.join)
      isHanging = true
      const alone = yield* Effect.fork(Effect.flip(increment(store, id)))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      assert.isFalse(isDone(alone))
      const waiting = yield* Effect.fork(Effect.flip(increment(store, id)))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(alone)).reason, "StoreUnavailable")
      assert.strictEqual((yield* Fiber.join(waiting)).reason, "LockTimeout")
    }))

  it.effect("can be requested again by a fiber that had it, also while another caller has it", () =>
    Effect.gen(function*() {
      const { id, store } = yield* scene()
      assert.strictEqual(yield* increment(store, id), 1)
      const end = yield* Deferred.make<void>()
      const other = yield* Effect.fork(
        store.modify(id, (current) => Effect.as(Deferred.await(end), [undefined, current] as const))
      )
      yield* settle
      const again = yield* Effect.fork(increment(store, id))
      yield* settle
      assert.isFalse(isDone(again))
      yield* Deferred.succeed(end, undefined)
      assert.strictEqual(yield* Fiber.join(again), 2)
      yield* Fiber.join(other)
    }))

  it.effect("leaves the queue of an interrupted caller, and the next caller gets it", () =>
    Effect.gen(function*() {
      const { id, requests, store } = yield* scene()
      const end = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(
        store.modify(id, (current) => Effect.as(Deferred.await(end), [undefined, current] as const))
      )
      yield* settle
      const [second, third] = [yield* Effect.fork(increment(store, id)), yield* Effect.fork(increment(store, id))]
      yield* settle
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(second)))
      yield* Deferred.succeed(end, undefined)
      assert.strictEqual(yield* Fiber.join(third), 1)
      yield* Fiber.join(holder)
      assert.lengthOf(requests, 2)
      assert.isTrue(Option.isSome(yield* store.get(id)))
    }))
})
