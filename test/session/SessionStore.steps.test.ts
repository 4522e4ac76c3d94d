import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { SessionError } from "../../src/session/SessionError.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { keyOf, newId } from "../support/sessionStoreContract.js"

const down = new SessionError({ reason: "StoreUnavailable", store: "test", detail: "writing failed: ECONNREFUSED" })

/** A store that locks and reads in one step, and writes and unlocks in one. `steps` are its operations so far. */
const inOneStep = (
  change: (backing: SessionStore.BackingSessionStore) => Partial<SessionStore.BackingSessionStore> = () => ({})
) =>
  Effect.map(SessionStore.backingMemory, (memory) => {
    const steps: Array<string> = []
    const step = <A>(name: string, self: Effect.Effect<A, SessionError>) =>
      Effect.suspend(() => {
        steps.push(name)
        return self
      })
    const backing: SessionStore.BackingSessionStore = {
      name: "test",
      read: (key) => step("read", memory.read(key)),
      replace: (key, expected, next) => step("replace", memory.replace(key, expected, next)),
      tryLock: (key, owner, leaseMillis) => step("tryLock", memory.tryLock(key, owner, leaseMillis)),
      unlock: (key, owner) => step("unlock", memory.unlock(key, owner)),
      lockAndRead: (key, owner, leaseMillis) =>
        step(
          "lockAndRead",
          Effect.flatMap(
            memory.tryLock(key, owner, leaseMillis),
            (isOurs) => isOurs ? Effect.map(memory.read(key), Option.some) : Effect.succeedNone
          )
        ),
      replaceAndUnlock: (key, owner, expected, next) =>
        step(
          "replaceAndUnlock",
          Effect.tap(
            memory.replace(key, expected, next),
            (isDone) => isDone ? memory.unlock(key, owner) : Effect.void
          )
        )
    }
    return { backing: { ...backing, ...change(backing) }, memory, steps }
  })

const unchanged = (current: Option.Option<SessionStore.Entry>) => Effect.succeed([undefined, current] as const)

describe("a store that locks and reads in one step, and writes and unlocks in one", () => {
  it.live("`modify` of an absent entry, of an entry, and to none are two steps each", () =>
    Effect.gen(function*() {
      const { backing, steps } = yield* inOneStep()
      const store = yield* SessionStore.make(backing)
      const id = newId()
      assert.strictEqual(yield* increment(store, id), 1)
      assert.strictEqual(yield* increment(store, id), 2)
      yield* store.modify(id, () => Effect.succeed([undefined, Option.none()] as const))
      assert.deepStrictEqual(steps, [1, 2, 3].flatMap(() => ["lockAndRead", "replaceAndUnlock"]))
      assert.isTrue(Option.isNone(yield* store.get(id)))
    }))

  it.live("a `modify` that changes nothing, or fails, unlocks", () =>
    Effect.gen(function*() {
      const { backing, steps } = yield* inOneStep()
      const store = yield* SessionStore.make(backing)
      const id = newId()
      yield* store.modify(id, unchanged)
      assert.strictEqual(yield* Effect.flip(store.modify(id, () => Effect.fail("no"))), "no")
      assert.deepStrictEqual(steps, ["lockAndRead", "unlock", "lockAndRead", "unlock"])
      assert.isTrue(yield* backing.tryLock(keyOf(id), "another", 1000))
    }))

  it.live("callers at once count exactly, and each locks once", () =>
    Effect.gen(function*() {
      const { backing, steps } = yield* inOneStep()
      const store = yield* SessionStore.make(backing)
      const id = newId()
      yield* Effect.forEach(Array.from({ length: 50 }), () => increment(store, id), { concurrency: "unbounded" })
      assert.strictEqual(numberIn(yield* store.get(id)), 50)
      assert.strictEqual(steps.filter((name) => name === "replaceAndUnlock").length, 50)
      assert.notInclude(steps, "unlock")
    }))

  it.live("a caller that waits for another process reads what that process wrote", () =>
    Effect.gen(function*() {
      const { backing, memory } = yield* inOneStep()
      const store = yield* SessionStore.make(backing)
      const other = yield* SessionStore.make(memory)
      const id = newId()
      yield* other.set(id, yield* numbered(4))
      const key = keyOf(id)
      assert.isTrue(yield* memory.tryLock(key, "another process", 60_000))
      const waiting = yield* Effect.fork(increment(store, id))
      yield* Effect.sleep("30 millis")
      yield* other.set(id, yield* numbered(7))
      yield* memory.unlock(key, "another process")
      assert.strictEqual(yield* Fiber.join(waiting), 8)
    }))

  it.live("a write that was done although it seemed to fail is not repeated, and the lock is released", () =>
    Effect.gen(function*() {
      let failures = 1
      const { backing, steps } = yield* inOneStep(({ replaceAndUnlock }) => ({
        replaceAndUnlock: (key, owner, expected, next) =>
          Effect.zipRight(
            replaceAndUnlock?.(key, owner, expected, next) ?? Effect.die("none"),
            Effect.suspend(() => failures-- > 0 ? Effect.fail(down) : Effect.succeed(false))
          )
      }))
      const store = yield* SessionStore.make(backing)
      const id = newId()
      assert.strictEqual(yield* increment(store, id), 1)
      assert.strictEqual(numberIn(yield* store.get(id)), 1)
      assert.deepStrictEqual(steps.filter((name) => name === "unlock"), ["unlock"])
      assert.isTrue(yield* backing.tryLock(keyOf(id), "another", 1000))
    }))

  it.live("an entry that changed after the lease is a LockLost, and the lock is released", () =>
    Effect.gen(function*() {
      const { backing, memory } = yield* inOneStep()
      const store = yield* SessionStore.make(backing)
      const other = yield* SessionStore.make(memory)
      const id = newId()
      const late = store.modify(id, () =>
        Effect.gen(function*() {
          yield* other.set(id, yield* numbered(5))
          return [undefined, Option.some<SessionStore.Entry>(yield* numbered(1))] as const
        }))
      assert.propertyVal(yield* Effect.flip(late), "reason", "LockLost")
      assert.strictEqual(numberIn(yield* store.get(id)), 5)
      assert.isTrue(yield* backing.tryLock(keyOf(id), "another", 1000))
    }))

  it.effect("after a pause longer than the lease, the entry is read again", () =>
    Effect.gen(function*() {
      const id = newId()
      const four = yield* numbered(4)
      let paused: Effect.Effect<void, SessionError> = Effect.void
      const { backing, memory, steps } = yield* inOneStep(({ lockAndRead }) => ({
        immediate: true,
        lockAndRead: (key, owner, leaseMillis) =>
          Effect.zipLeft(
            lockAndRead?.(key, owner, leaseMillis) ?? Effect.die("none"),
            Effect.suspend(() => paused)
          )
      }))
      const other = yield* SessionStore.make(memory)
      paused = Effect.zipRight(other.set(id, four), TestClock.adjust("1 second"))
      const late = yield* SessionStore.make(backing, { lease: "1 second" })
      assert.strictEqual(yield* increment(late, id), 5)
      assert.deepStrictEqual(steps, ["lockAndRead", "read", "replaceAndUnlock"])
      steps.length = 0
      const inTime = yield* SessionStore.make(backing, { lease: "1001 millis" })
      yield* other.set(id, yield* numbered(7))
      assert.propertyVal(yield* Effect.flip(increment(inTime, id)), "reason", "LockLost")
      assert.deepStrictEqual(steps.slice(0, 2), ["lockAndRead", "replaceAndUnlock"])
    }))

  it.live("each of the two steps has the time limit, and an interrupted caller releases what it may have got", () =>
    Effect.gen(function*() {
      const { backing } = yield* inOneStep(() => ({ lockAndRead: () => Effect.never }))
      const store = yield* SessionStore.make(backing, { operationTimeout: "20 millis" })
      const [elapsed, exit] = yield* Effect.timed(Effect.exit(store.modify(newId(), unchanged)))
      assert.isTrue(Exit.isFailure(exit))
      assert.isBelow(Duration.toMillis(elapsed), 5000)
      const slow = yield* inOneStep(() => ({ replaceAndUnlock: () => Effect.never }))
      const limited = yield* SessionStore.make(slow.backing, {
        operationTimeout: "20 millis",
        saveTimeout: "100 millis"
      })
      const id = newId()
      assert.propertyVal(yield* Effect.flip(increment(limited, id)), "reason", "StoreUnavailable")
      assert.isTrue(yield* slow.backing.tryLock(keyOf(id), "another", 1000))
    }))
})
