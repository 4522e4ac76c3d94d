/**
 * The contract of all session stores, run for each of them.
 */
import { createHash, randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SessionStore from "../../src/session/SessionStore.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { anyEntry, hostileSession, hostileTexts, plain } from "./anyEntry.js"
import { increment, numbered, numberIn } from "./increment.js"

/** A session store; each connection is like that of another process. */
export class Place extends Context.Tag("test/Place")<Place, {
  readonly connect: Effect.Effect<SessionStore.BackingSessionStore, never, Scope.Scope>
}>() {}

export const newId = (): Redacted.Redacted => Redacted.make(`canary-${randomUUID()}`)

export const keyOf = (id: Redacted.Redacted): string =>
  Encoding.encodeBase64Url(createHash("sha256").update(Redacted.value(id)).digest())

const setTo = (count: number) => () =>
  Effect.map(numbered(count), (entry) => [count, Option.some<SessionStore.Entry>(entry)] as const)

export const sessionStoreContract = <E>(
  name: string,
  place: Layer.Layer<Place, E>,
  codec?: Effect.Effect<SessionStore.Codec, unknown>
): void => {
  const open = (options?: SessionStore.Options) =>
    Effect.gen(function*() {
      const backing = yield* (yield* Place).connect
      const store = yield* SessionStore.make(backing, options)
      return { backing, store: codec === undefined ? store : store.withCodec(yield* Effect.orDie(codec)) }
    })

  layer(place, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    it.scoped("returns the stored entry, and none for an absent one", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const other = yield* open()
        const id = newId()
        assert.isTrue(Option.isNone(yield* store.get(id)))
        yield* store.set(id, yield* numbered(1))
        assert.strictEqual(numberIn(yield* other.store.get(id)), 1)
        yield* other.store.set(id, yield* numbered(2))
        assert.strictEqual(numberIn(yield* store.get(id)), 2)
        yield* store.remove(id)
        yield* store.remove(id)
        assert.isTrue(Option.isNone(yield* other.store.get(id)))
        yield* store.set(id, yield* numbered(3))
        assert.strictEqual(numberIn(yield* other.store.get(id)), 3)
      }))

    it.scoped("returns each kind of entry unchanged, with any value in any field", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const other = yield* open()
        const id = newId()
        for (const entry of FastCheck.sample(anyEntry, { numRuns: 60, seed: 7 })) {
          yield* store.set(id, entry)
          assert.deepStrictEqual(plain(Option.getOrThrow(yield* other.store.get(id))), plain(entry))
        }
        const tokens = FastCheck.sample(Arbitrary.make(TokenSet), { numRuns: 1, seed: 7 })[0]!
        for (const text of hostileTexts) {
          const entry = hostileSession(text, tokens)
          yield* store.set(id, entry)
          assert.deepStrictEqual(plain(Option.getOrThrow(yield* other.store.get(id))), plain(entry))
        }
      }))

    it.scoped("stores under a hash, without the id", () =>
      Effect.gen(function*() {
        const { backing, store } = yield* open()
        const id = newId()
        yield* store.set(id, yield* numbered(1))
        const text = Option.getOrThrow(yield* backing.read(keyOf(id)))
        assert.notInclude(text, Redacted.value(id))
        assert.isTrue(Option.isNone(yield* backing.read(Redacted.value(id))))
      }))

    it.scoped("`take` returns the entry to one of many callers", () =>
      Effect.gen(function*() {
        const stores = [(yield* open()).store, (yield* open()).store]
        const id = newId()
        for (let round = 0; round < 5; round++) {
          yield* stores[0]!.set(id, yield* numbered(7))
          const taken = yield* Effect.forEach(
            Array.from({ length: 40 }, (_, index) => stores[index % 2]!),
            (store) => store.take(id),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(taken.filter(Option.isSome).map(numberIn), [7])
          assert.isTrue(Option.isNone(yield* stores[1]!.get(id)))
        }
      }))

    it.scoped("counts 200 concurrent modifies over two connections exactly", () =>
      Effect.gen(function*() {
        const stores = [(yield* open()).store, (yield* open()).store]
        const id = newId()
        const numbers = yield* Effect.forEach(
          Array.from({ length: 200 }, (_, index) => stores[index % 2]!),
          (store) => increment(store, id),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(numbers.sort((a, b) => a - b), Array.from({ length: 200 }, (_, index) => index + 1))
        assert.strictEqual(numberIn(yield* stores[0]!.get(id)), 200)
      }), 60_000)

    it.scoped("modifies different ids at the same time", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const inside = yield* Deferred.make<void>()
        const first = yield* Effect.fork(
          store.modify(newId(), () =>
            Effect.as(Deferred.await(inside), ["waited", Option.none<SessionStore.Entry>()] as const))
        )
        yield* store.modify(newId(), () =>
          Effect.as(Deferred.succeed(inside, undefined), [1, Option.none<SessionStore.Entry>()] as const))
        assert.strictEqual(yield* Fiber.join(first), "waited")
      }))

    it.scoped("removes the entry when modify returns none", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const id = newId()
        yield* store.set(id, yield* numbered(4))
        assert.strictEqual(
          yield* store.modify(id, (now) => Effect.succeed([numberIn(now), Option.none<SessionStore.Entry>()])),
          4
        )
        assert.isTrue(Option.isNone(yield* store.get(id)))
        yield* increment(store, id)
        assert.strictEqual(numberIn(yield* store.get(id)), 1)
      }))

    it.scoped("writes nothing when modify returns the same entry", () =>
      Effect.gen(function*() {
        const { backing, store } = yield* open()
        const id = newId()
        yield* store.set(id, yield* numbered(1))
        const before = yield* backing.read(keyOf(id))
        yield* store.modify(id, (current) => Effect.succeed([undefined, current]))
        assert.strictEqual(Option.getOrThrow(yield* backing.read(keyOf(id))), Option.getOrThrow(before))
      }))

    it.scoped("writes nothing and releases the lock when f fails, dies or is interrupted", () =>
      Effect.gen(function*() {
        const { store } = yield* open({ lockWait: "2 seconds" })
        const other = yield* open({ lockWait: "2 seconds" })
        const id = newId()
        yield* store.set(id, yield* numbered(1))
        assert.strictEqual(yield* Effect.flip(store.modify(id, () => Effect.fail("no" as const))), "no")
        const died = yield* Effect.exit(store.modify(id, () => Effect.die("bug")))
        assert.isTrue(Exit.isFailure(died))
        const inside = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          store.modify(id, () => Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never))
        )
        yield* Deferred.await(inside)
        const interrupted = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isInterrupted(interrupted))
        assert.strictEqual(numberIn(yield* store.get(id)), 1)
        assert.strictEqual(yield* increment(other.store, id), 2)
      }))

    it.scoped("runs f once, also after a wait for the lock", () =>
      Effect.gen(function*() {
        const stores = [(yield* open()).store, (yield* open()).store, (yield* open()).store]
        const id = newId()
        let runs = 0
        yield* Effect.forEach(stores, (store) =>
          store.modify(id, (current) =>
            Effect.gen(function*() {
              runs += 1
              yield* Effect.sleep("30 millis")
              return [undefined, current]
            })), { concurrency: "unbounded" })
        assert.strictEqual(runs, 3)
      }))

    it.scoped("a waiting caller can be interrupted, and fails with LockTimeout after lockWait", () =>
      Effect.gen(function*() {
        const holder = yield* open()
        const other = yield* open({ lockWait: "250 millis" })
        const id = newId()
        const inside = yield* Deferred.make<void>()
        const done = yield* Deferred.make<void>()
        const holding = yield* Effect.fork(
          holder.store.modify(id, () =>
            Deferred.succeed(inside, undefined).pipe(
              Effect.zipRight(Deferred.await(done)),
              Effect.zipRight(setTo(9)())
            ))
        )
        yield* Deferred.await(inside)
        for (const waiting of [holder.store, other.store]) {
          const fiber = yield* Effect.fork(increment(waiting, id))
          yield* Effect.sleep("50 millis")
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        }
        const error = yield* Effect.flip(increment(other.store, id))
        assert.strictEqual(error.reason, "LockTimeout")
        assert.isTrue(error.isRetryable)
        yield* Deferred.succeed(done, undefined)
        assert.strictEqual(yield* Fiber.join(holding), 9)
        assert.strictEqual(yield* increment(other.store, id), 10)
      }))

    it.scoped("a holder whose lease is over saves its result if the entry is unchanged", () =>
      Effect.gen(function*() {
        const late = yield* open({ lease: "150 millis" })
        const next = yield* open({ lease: "150 millis", lockWait: "5 seconds" })
        const id = newId()
        yield* late.store.set(id, yield* numbered(1))
        const inside = yield* Deferred.make<void>()
        const looked = yield* Deferred.make<void>()
        const lateOne = yield* Effect.fork(
          late.store.modify(id, () =>
            Deferred.succeed(inside, undefined).pipe(
              Effect.zipRight(Deferred.await(looked)),
              Effect.zipRight(setTo(5)())
            ))
        )
        yield* Deferred.await(inside)
        // The second holder gets the lock although the first one still has it, and changes nothing.
        assert.strictEqual(yield* next.store.modify(id, (now) => Effect.succeed([numberIn(now), now])), 1)
        yield* Deferred.succeed(looked, undefined)
        assert.strictEqual(yield* Fiber.join(lateOne), 5)
        assert.strictEqual(numberIn(yield* next.store.get(id)), 5)
      }))

    it.scoped("a holder whose lease is over fails with LockLost if the entry has changed, and the change is kept", () =>
      Effect.gen(function*() {
        const late = yield* open({ lease: "150 millis" })
        const next = yield* open({ lease: "150 millis", lockWait: "5 seconds" })
        const id = newId()
        for (const start of [Option.none<number>(), Option.some(1)]) {
          yield* late.store.remove(id)
          if (Option.isSome(start)) yield* late.store.set(id, yield* numbered(start.value))
          const inside = yield* Deferred.make<void>()
          const changed = yield* Deferred.make<void>()
          const lateOne = yield* Effect.fork(Effect.flip(
            late.store.modify(id, () =>
              Deferred.succeed(inside, undefined).pipe(
                Effect.zipRight(Deferred.await(changed)),
                Effect.zipRight(setTo(5)())
              ))
          ))
          yield* Deferred.await(inside)
          assert.strictEqual(yield* next.store.modify(id, setTo(6)), 6)
          yield* Deferred.succeed(changed, undefined)
          assert.strictEqual((yield* Fiber.join(lateOne)).reason, "LockLost")
          assert.strictEqual(numberIn(yield* next.store.get(id)), 6)
          assert.strictEqual(yield* increment(next.store, id), 7)
        }
      }))

    it.scoped("set, remove and take do not wait for a modify in progress, which then fails", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const id = newId()
        const during: ReadonlyArray<readonly [number, Effect.Effect<unknown, unknown>]> = [
          [8, Effect.flatMap(numbered(8), (entry) => store.set(id, entry))],
          [0, store.remove(id)],
          [0, store.take(id)]
        ]
        for (const [left, change] of during) {
          yield* store.set(id, yield* numbered(1))
          const error = yield* Effect.flip(store.modify(id, () => Effect.zipRight(Effect.orDie(change), setTo(2)())))
          assert.strictEqual(error.reason, "LockLost")
          assert.strictEqual(numberIn(yield* store.get(id)), left)
        }
      }))

    it.scoped("refuses modify inside modify for the same id only", () =>
      Effect.gen(function*() {
        const { store } = yield* open({ lockWait: "2 seconds" })
        const id = newId()
        const error = yield* Effect.flip(
          store.modify(id, () => store.modify(id, setTo(1)).pipe(Effect.zipRight(setTo(1)())))
        )
        assert.strictEqual(error.reason, "Reentrant")
        const nested = store.modify(newId(), () => Effect.zipRight(increment(store, id), setTo(3)()))
        assert.strictEqual(yield* nested, 3)
        assert.strictEqual(numberIn(yield* store.get(id)), 1)
      }))

    it.scoped("an expired entry counts as absent", () =>
      Effect.gen(function*() {
        const { store } = yield* open()
        const id = newId()
        yield* store.set(id, yield* numbered(1, 1000))
        assert.strictEqual(numberIn(yield* store.get(id)), 1)
        yield* Effect.sleep("1050 millis")
        assert.isTrue(Option.isNone(yield* store.get(id)))
        assert.isTrue(Option.isNone(yield* store.take(id)))
        assert.strictEqual(yield* increment(store, id), 1)
        yield* store.set(id, yield* numbered(1, -1000))
        assert.isTrue(Option.isNone(yield* store.get(id)))
      }))

    it.scoped("if it can lock and read, or write and unlock, in one step, the result is that of two steps", () =>
      Effect.gen(function*() {
        const { backing } = yield* open()
        const { backing: other } = yield* open()
        const { lockAndRead, replaceAndUnlock } = backing
        if (lockAndRead === undefined || replaceAndUnlock === undefined) return
        const expiresAt = DateTime.toEpochMillis((yield* numbered(1)).expiresAt)
        const value = (text: string) => Option.some({ text, expiresAt })
        const key = keyOf(newId())
        const isFree = Effect.tap(
          other.tryLock(key, "other", 60_000),
          (isOurs) => isOurs ? other.unlock(key, "other") : Effect.void
        )

        // An absent entry is locked, and created with its lock.
        assertSome(yield* lockAndRead(key, "first", 60_000), Option.none())
        assertNone(yield* lockAndRead(key, "second", 60_000))
        assert.isTrue(Option.isNone(yield* other.read(key)))
        assert.isFalse(yield* replaceAndUnlock(key, "first", Option.some("another text"), value("one")))
        assert.isFalse(yield* isFree)
        assert.isTrue(yield* replaceAndUnlock(key, "first", Option.none(), value("one")))
        assert.isTrue(yield* isFree)

        // What is read is that of the lock, written by any connection.
        assert.isTrue(yield* other.replace(key, Option.some("one"), value("two")))
        assertSome(yield* lockAndRead(key, "third", 60_000), Option.some("two"))
        assert.isFalse(yield* replaceAndUnlock(key, "third", Option.some("one"), value("three")))
        assert.isFalse(yield* replaceAndUnlock(key, "third", Option.none(), value("three")))
        assert.isFalse(yield* isFree)
        yield* backing.unlock(key, "third")
        assert.isTrue(yield* isFree)

        // A lease that is over: the entry is written, and the lock of the next owner stays.
        assertSome(yield* lockAndRead(key, "late", 20), Option.some("two"))
        yield* Effect.sleep("60 millis")
        assert.isTrue(yield* other.tryLock(key, "next", 60_000))
        assert.isTrue(yield* replaceAndUnlock(key, "late", Option.some("two"), value("three")))
        assertSome(yield* other.read(key), "three")
        assert.isFalse(yield* isFree)

        // A removal by the owner ends its lock, and one by a late owner does not end the lock of the next.
        assert.isTrue(yield* replaceAndUnlock(key, "late", Option.some("three"), Option.none()))
        assert.isTrue(Option.isNone(yield* other.read(key)))
        assert.isFalse(yield* isFree)
        assert.isTrue(yield* replaceAndUnlock(key, "next", Option.none(), value("four")))
        assertSome(yield* lockAndRead(key, "last", 60_000), Option.some("four"))
        assert.isFalse(yield* replaceAndUnlock(key, "last", Option.some("three"), Option.none()))
        assert.isTrue(yield* replaceAndUnlock(key, "last", Option.some("four"), Option.none()))
        assert.isTrue(Option.isNone(yield* other.read(key)))
        assert.isTrue(yield* isFree)
        assert.isTrue(yield* replaceAndUnlock(key, "last", Option.none(), Option.none()))
      }))

    it.scoped("fails on an entry that it cannot decode without removing or showing it, until it is set or removed", () =>
      Effect.gen(function*() {
        const { backing, store } = yield* open()
        const expiresAt = DateTime.toEpochMillis((yield* numbered(1)).expiresAt)
        for (
          const text of [
            "{\"canary-secret",
            `{"nonce":"n","entry":{"_tag":"Sealed","version":7,"jwe":"canary-secret"}}`,
            ""
          ]
        ) {
          const id = newId()
          assert.isTrue(yield* backing.replace(keyOf(id), Option.none(), Option.some({ text, expiresAt })))
          const results = [store.get(id), store.take(id), increment(store, id)]
          for (const result of results) {
            const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, never>(result))
            assert.propertyVal(error, "reason", "Undecodable")
            assert.notInclude(`${String(error)}${JSON.stringify(error)}`, "canary")
          }
          assert.strictEqual(Option.getOrThrow(yield* backing.read(keyOf(id))), text)
          yield* store.set(id, yield* numbered(2))
          assert.strictEqual(numberIn(yield* store.get(id)), 2)
          yield* store.remove(id)
          assert.isTrue(yield* backing.replace(keyOf(id), Option.none(), Option.some({ text, expiresAt })))
          yield* store.remove(id)
          assert.isTrue(Option.isNone(yield* backing.read(keyOf(id))))
        }
      }))
  })
}
