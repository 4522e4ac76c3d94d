import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as NodeKeyValueStore from "@effect/platform-node/NodeKeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
// Entries are made by `Sessions` alone, which has no way to an entry with these parts.
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import { isUnreadable, SessionError } from "../../src/session/SessionError.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { LaunchContext } from "../../src/token/LaunchContext.js"
import { TokenError } from "../../src/token/TokenError.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { joinWithSteps } from "../support/eventually.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { keyOf, newId } from "../support/sessionStoreContract.js"

const down = new SessionError({ reason: "StoreUnavailable", store: "test", detail: "writing failed: ECONNREFUSED" })

/** A place reached over a wire: `change` says what happens to its operations. */
const remote = (
  change: (memory: SessionStore.BackingSessionStore) => Partial<SessionStore.BackingSessionStore>
): Effect.Effect<SessionStore.BackingSessionStore> =>
  Effect.map(SessionStore.backingMemory, (memory) => ({ ...memory, name: "test", immediate: false, ...change(memory) }))

const running = <A, E>(fiber: Fiber.Fiber<A, E>): Effect.Effect<A, E> => joinWithSteps(fiber, "1 second")

const toThree = () => Effect.map(numbered(3), (entry) => [3, Option.some<SessionStore.Entry>(entry)] as const)

const sessionOf = (token: string, appState?: unknown) =>
  new StoredSession(
    {
      version: 1,
      expiresAt: DateTime.unsafeMake(600_000),
      server: "north",
      tokens: new TokenSet({
        version: 1,
        accessToken: Redacted.make(token),
        receivedAt: DateTime.unsafeMake(0),
        scopes: ["patient/*.rs"],
        context: new LaunchContext({}),
        extensions: Redacted.make({})
      }),
      createdAt: DateTime.unsafeMake(0),
      ...(appState === undefined ? {} : { appState })
    },
    { disableValidation: true }
  )

const tokenIn = (entry: Option.Option<SessionStore.Entry>): string | undefined =>
  Option.isSome(entry) && entry.value._tag === "StoredSession"
    ? Redacted.value(entry.value.tokens.accessToken)
    : undefined

describe("an entry that this process wrote", () => {
  it.effect("has the appState that every process reads: what JSON makes of it", () =>
    Effect.gen(function*() {
      const place = yield* SessionStore.backingMemory
      const [writer, reader] = [yield* SessionStore.make(place), yield* SessionStore.make(place)]
      for (const appState of [{ since: new Date(0) }, new Date(0), ["a", undefined], "text", undefined]) {
        const id = newId()
        const session = sessionOf("one", appState)
        yield* writer.set(id, session)
        const expected = Option.getOrThrow(yield* reader.get(id))
        assert.deepStrictEqual(Option.getOrThrow(yield* writer.get(id)), expected)
        yield* writer.modify(id, (entry) => Effect.succeed([undefined, Option.map(entry, () => session)] as const))
        assert.deepStrictEqual(Option.getOrThrow(yield* writer.get(id)), expected)
      }
    }))

  it.effect("has the failure that every process reads, without what stays in memory", () =>
    Effect.gen(function*() {
      const place = yield* SessionStore.backingMemory
      const [writer, reader] = [yield* SessionStore.make(place), yield* SessionStore.make(place)]
      const error = new TokenError({
        reason: "Malformed",
        operation: "refresh",
        server: "north",
        url: "https://north.example/token",
        detail: "no access_token",
        processed: "unknown",
        issued: { refreshToken: Redacted.make("spent") }
      })
      const session = new StoredSession({
        ...sessionOf("one"),
        renewalFailure: { error, retryAt: DateTime.unsafeMake(2_000) }
      })
      const id = newId()
      yield* writer.set(id, session)
      const expected = Option.getOrThrow(yield* reader.get(id))
      assert.deepStrictEqual(Option.getOrThrow(yield* writer.get(id)), expected)
      const failure = expected._tag === "StoredSession" ? expected.renewalFailure?.error : undefined
      assert.isTrue(failure?._tag === "TokenError" && failure.issued === undefined)
    }))

  it.effect("is read as the text that another process wrote after it", () =>
    Effect.gen(function*() {
      const place = yield* SessionStore.backingMemory
      const [one, other] = [yield* SessionStore.make(place), yield* SessionStore.make(place)]
      const id = newId()
      yield* one.set(id, sessionOf("one"))
      assert.strictEqual(tokenIn(yield* one.get(id)), "one")
      yield* other.set(id, sessionOf("two"))
      assert.strictEqual(tokenIn(yield* one.get(id)), "two")
      yield* other.remove(id)
      assert.isTrue(Option.isNone(yield* one.get(id)))
    }))

  it.effect("is stored by one operation if its id is new", () =>
    Effect.gen(function*() {
      const operations: Array<string> = []
      const store = yield* SessionStore.make(
        yield* remote((memory) => ({
          read: (key) => Effect.zipRight(Effect.sync(() => operations.push("read")), memory.read(key)),
          replace: (key, expected, next) =>
            Effect.zipRight(Effect.sync(() => operations.push("replace")), memory.replace(key, expected, next))
        }))
      )
      const id = newId()
      yield* store.set(id, yield* numbered(1))
      assert.deepStrictEqual(operations, ["replace"])
      yield* store.set(id, yield* numbered(2))
      assert.strictEqual(numberIn(yield* store.get(id)), 2)
      operations.length = 0
      yield* store.modify(id, toThree)
      assert.deepStrictEqual(operations, ["read", "replace"])
      operations.length = 0
      yield* store.modify(id, (current) => Effect.succeed([undefined, current]))
      assert.deepStrictEqual(operations, ["read"])
    }))
})

describe("the id of a launch", () => {
  it("begins with a word that the id of a session does not begin with", () => {
    const id = SessionStore.launchKey(Redacted.make("state"))
    assert.strictEqual(Redacted.value(id), "launch.state")
    assert.isTrue(SessionStore.isLaunchKey(id))
    for (const other of ["session.launch.", "session.state", "launch", ""]) {
      assert.isFalse(SessionStore.isLaunchKey(Redacted.make(other)), other)
    }
  })
})

describe("SessionStore.set, remove and take", () => {
  it.effect("start again while other writers are faster, and fail with StoreUnavailable after a thousand times", () =>
    Effect.gen(function*() {
      let [reads, races] = [0, 999]
      const store = yield* SessionStore.make(
        yield* remote((memory) => ({
          immediate: true,
          read: (key) => Effect.suspend(() => (reads++, memory.read(key))),
          replace: (key, expected, next) =>
            Effect.suspend(() => races-- > 0 ? Effect.succeed(false) : memory.replace(key, expected, next))
        }))
      )
      const id = newId()
      const entry = yield* numbered(1)
      yield* store.remove(id)
      assert.strictEqual(reads, 1000)
      for (const operation of [store.remove(id), store.set(id, entry)]) {
        ;[reads, races] = [0, Number.POSITIVE_INFINITY]
        const error = yield* Effect.flip(operation)
        assert.strictEqual(error.reason, "StoreUnavailable")
        assert.strictEqual(error.detail, "an entry changes faster than it can be replaced")
        assert.strictEqual(reads, 1000)
      }
    }))

  it.effect("`take` of an absent entry writes nothing", () =>
    Effect.gen(function*() {
      let writes = 0
      const store = yield* SessionStore.make(
        yield* remote((memory) => ({
          replace: (key, expected, next) => Effect.suspend(() => (writes++, memory.replace(key, expected, next)))
        }))
      )
      assert.isTrue(Option.isNone(yield* store.take(newId())))
      assert.strictEqual(writes, 0)
    }))
})

describe("SessionStore.modify", () => {
  it.effect("repeats its write for `saveTimeout`, and not after a failure that is not temporary", () =>
    Effect.gen(function*() {
      const broken = new SessionError({ reason: "KeyUnusable", detail: "broken" })
      for (const [failure, isRepeated] of [[down, true], [broken, false]] as const) {
        let writes = 0
        const store = yield* SessionStore.make(
          yield* remote(() => ({ replace: () => Effect.suspend(() => (writes++, failure)) })),
          { saveTimeout: "10 seconds" }
        )
        const before = yield* Clock.currentTimeMillis
        const error = yield* running(yield* Effect.fork(Effect.flip(store.modify(newId(), toThree))))
        const duration = (yield* Clock.currentTimeMillis) - before
        assert.strictEqual(error.reason, failure.reason)
        if (isRepeated) {
          assert.isAtLeast(writes, 6)
          assert.isAtLeast(duration, 9_000)
          assert.isAtMost(duration, 14_000)
        } else {
          assert.strictEqual(writes, 1)
        }
      }
    }))

  it.live("cannot be interrupted between the success of f and the end of the write", () =>
    Effect.gen(function*() {
      const writing = yield* Deferred.make<void>()
      const backing = yield* remote((memory) => ({
        replace: (key, expected, next) =>
          Deferred.succeed(writing, undefined).pipe(
            Effect.zipRight(Effect.sleep("50 millis")),
            Effect.zipRight(memory.replace(key, expected, next))
          )
      }))
      const store = yield* SessionStore.make(backing)
      const id = newId()
      const fiber = yield* Effect.fork(store.modify(id, toThree))
      yield* Deferred.await(writing)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(numberIn(yield* store.get(id)), 3)
      assert.strictEqual(yield* increment(store, id), 4)
    }))

  it.live("cannot be interrupted while a codec seals what f returned", () =>
    Effect.gen(function*() {
      const sealing = yield* Deferred.make<void>()
      const store = (yield* SessionStore.make(yield* SessionStore.backingMemory)).withCodec({
        seal: (_, entry) =>
          Deferred.succeed(sealing, undefined).pipe(Effect.zipRight(Effect.sleep("50 millis")), Effect.as(entry)),
        open: (_, entry) => Effect.succeed(entry)
      })
      const id = newId()
      const fiber = yield* Effect.fork(store.modify(id, toThree))
      yield* Deferred.await(sealing)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(numberIn(yield* store.get(id)), 3)
    }))

  it.live("repeats a failed write, and recognizes its own write when the response was lost", () =>
    Effect.gen(function*() {
      for (const isDone of [false, true]) {
        let writes = 0
        const backing = yield* remote((memory) => ({
          replace: (key, expected, next) =>
            Effect.suspend(() => {
              writes += 1
              if (writes > 2) return memory.replace(key, expected, next)
              return Effect.zipRight(isDone ? memory.replace(key, expected, next) : Effect.void, down)
            })
        }))
        const store = yield* SessionStore.make(backing)
        const id = newId()
        let runs = 0
        const result = yield* store.modify(id, () => {
          runs += 1
          return toThree()
        })
        assert.strictEqual(result, 3)
        assert.strictEqual(runs, 1)
        assert.strictEqual(writes, 3)
        assert.strictEqual(numberIn(yield* store.get(id)), 3)
      }
    }))

  it.effect("fails when the backing store stays unavailable or never responds", () =>
    Effect.gen(function*() {
      for (const replace of [Effect.fail(down), Effect.never]) {
        const store = yield* SessionStore.make(yield* remote(() => ({ replace: () => replace })))
        const fiber = yield* Effect.fork(Effect.flip(store.modify(newId(), toThree)))
        const error = yield* running(fiber)
        assert.strictEqual(error.reason, "StoreUnavailable")
      }
    }))

  it.effect("each operation fails with StoreUnavailable after five seconds without a response", () =>
    Effect.gen(function*() {
      const never = () => Effect.never
      const store = yield* SessionStore.make(
        yield* remote(() => ({ read: never, replace: never, tryLock: never, unlock: never }))
      )
      const entry = yield* numbered(1)
      const operations: ReadonlyArray<Effect.Effect<unknown, SessionError>> = [
        store.get(newId()),
        store.take(newId()),
        store.set(newId(), entry),
        store.remove(newId()),
        store.modify(newId(), toThree)
      ]
      for (const operation of operations) {
        const fiber = yield* Effect.fork(Effect.flip(operation))
        assert.strictEqual((yield* running(fiber)).reason, "StoreUnavailable")
      }
    }))

  it.effect("waits for the lock as long as the lease and five seconds by default", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const holder = yield* SessionStore.make(backing, { lease: "1 hour" })
      const other = yield* SessionStore.make(backing)
      const id = newId()
      const inside = yield* Deferred.make<void>()
      yield* Effect.fork(holder.modify(id, () => Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never)))
      yield* Deferred.await(inside)
      const fiber = yield* Effect.fork(Effect.flip(increment(other, id)))
      const before = yield* Clock.currentTimeMillis
      const error = yield* running(fiber)
      assert.isAtLeast((yield* Clock.currentTimeMillis) - before, 95_000)
      assert.strictEqual(error.reason, "LockTimeout")
      assert.include(error.message, "1m 35s")
    }))

  it.live("callers in the holder's process wait without requests to the backing store", () =>
    Effect.gen(function*() {
      let asked = 0
      const backing = yield* remote((memory) => ({
        tryLock: (key, owner, lease) => {
          asked += 1
          return memory.tryLock(key, owner, lease)
        }
      }))
      const store = yield* SessionStore.make(backing)
      const id = newId()
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        (_, index) => store.modify(id, () => Effect.delay(toThree(), index === 0 ? "300 millis" : "0 millis")),
        { concurrency: "unbounded" }
      )
      // Each gets the lock once; hardly any asks in vain.
      assert.isBelow(asked, 125)
    }))

  it.effect("callers wait for a holder in this process that got the lock at its second request", () =>
    Effect.gen(function*() {
      const responses = {
        first: yield* Deferred.make<boolean>(),
        second: yield* Deferred.make<boolean>(),
        third: yield* Deferred.make<boolean>(),
        fourth: yield* Deferred.make<boolean>()
      }
      const queue = Object.values(responses)
      let requests = 0
      const store = yield* SessionStore.make(
        yield* remote(() => ({
          tryLock: () => Effect.suspend(() => Deferred.await(queue[requests++] ?? assert.fail("a request too many")))
        }))
      )
      const settle = (count: number) =>
        Effect.gen(function*() {
          for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow()
          assert.strictEqual(requests, count)
        })
      const id = newId()
      const holder = yield* Effect.fork(store.modify(id, () => Effect.never))
      yield* settle(1)
      const waiting = yield* Effect.fork(store.modify(id, () => Effect.never))
      yield* settle(1)
      // Another process has the lock: both request it, one after the other.
      yield* Deferred.succeed(responses.first, false)
      yield* settle(2)
      yield* Fiber.interrupt(waiting)
      yield* settle(3)
      yield* Deferred.succeed(responses.third, true)
      yield* settle(3)
      const next = yield* Effect.fork(store.modify(id, toThree))
      yield* settle(3)
      yield* Fiber.interrupt(holder)
      yield* settle(4)
      yield* Deferred.succeed(responses.fourth, true)
      assert.strictEqual(yield* Fiber.join(next), 3)
    }))

  it.live("returns the result when the lock cannot be released, and leaves the lock to its lease", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.make(yield* remote(() => ({ unlock: () => Effect.fail(down) })))
      assert.strictEqual(yield* store.modify(newId(), toThree), 3)
    }))

  it.live("releases a lock that an interrupted caller received", () =>
    Effect.gen(function*() {
      const asking = yield* Deferred.make<void>()
      const backing = yield* remote((memory) => ({
        tryLock: (key, owner, lease) =>
          memory.tryLock(key, owner, lease).pipe(
            Effect.tap(Deferred.succeed(asking, undefined)),
            Effect.zipLeft(owner === "" ? Effect.void : Effect.never)
          )
      }))
      const store = yield* SessionStore.make(backing)
      const id = newId()
      const fiber = yield* Effect.fork(increment(store, id))
      yield* Deferred.await(asking)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* Effect.sleep("30 millis")
      const freed = yield* backing.tryLock(keyOf(id), "", 1000)
      assert.isTrue(freed)
    }))
})

describe("SessionStore.layerMemory", () => {
  it.effect("an interruption in the last step of the function of `modify` does not lose its result", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const id = newId()
      const last = yield* numbered(3)
      const fiber = yield* Effect.fork(
        store.modify(
          id,
          () =>
            Effect.withFiberRuntime<readonly [number, Option.Option<SessionStore.Entry>]>((self) =>
              Effect.sync(() => {
                self.unsafeInterruptAsFork(FiberId.none)
                return [3, Option.some(last)] as const
              })
            )
        )
      )
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(fiber)))
      assert.isTrue(Option.isSome(yield* store.get(id)))
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("keeps entries until they expire, by Clock, and shares them with all users of the layer", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const id = newId()
      yield* store.set(id, yield* numbered(1, 1000))
      yield* TestClock.adjust("999 millis")
      assert.isTrue(Option.isSome(yield* store.get(id)))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Option.isNone(yield* store.get(id)))
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("removes expired entries", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const store = yield* SessionStore.make(backing)
      const id = newId()
      yield* store.set(id, yield* numbered(1, 1000))
      yield* TestClock.adjust("1 second")
      const entry = yield* numbered(2)
      const other = newId()
      yield* Effect.repeatN(store.set(other, entry), 600)
      assert.isTrue(Option.isNone(yield* backing.read(keyOf(id))))
      assert.strictEqual(numberIn(yield* store.get(other)), 2)
    }))
})

describe("SessionStore.layerKeyValueStore", () => {
  it.live("`remove` of an absent entry succeeds in a key-value store that fails on absent keys", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-kv-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const id = newId()
        yield* store.remove(id)
        assert.strictEqual(yield* increment(store, id), 1)
        yield* store.remove(id)
        assert.isTrue(Option.isNone(yield* store.get(id)))
      }).pipe(Effect.provide(
        SessionStore.layerKeyValueStore.pipe(Layer.provide(NodeKeyValueStore.layerFileSystem(directory)))
      ))
    }).pipe(Effect.scoped))

  it.effect("leaves other keys of the key-value store unchanged", () =>
    Effect.gen(function*() {
      const values = yield* KeyValueStore.KeyValueStore
      yield* values.set("theirs", "kept")
      const store = yield* SessionStore.SessionStore
      yield* increment(store, newId())
      assert.strictEqual(yield* values.size, 2)
      assert.strictEqual(Option.getOrThrow(yield* values.get("theirs")), "kept")
    }).pipe(Effect.provide(SessionStore.layerKeyValueStore.pipe(Layer.provideMerge(KeyValueStore.layerMemory)))))
})

describe("the memory of a SessionStore", () => {
  /** Says how often an entry was opened, rather than taken from memory. */
  const counting = Effect.gen(function*() {
    const backing = yield* SessionStore.backingMemory
    let opened = 0
    const store = (yield* SessionStore.make(backing)).withCodec({
      seal: (_, entry) => Effect.succeed(entry),
      open: (_, entry) => Effect.sync(() => (opened++, entry))
    })
    return { backing, store, opened: () => opened }
  })

  it.effect("a decoded entry stays in memory for five minutes", () =>
    Effect.gen(function*() {
      const { opened, store } = yield* counting
      const id = newId()
      yield* store.set(id, yield* numbered(1))
      for (let i = 0; i < 10; i++) yield* store.get(id)
      assert.strictEqual(opened(), 1)
      yield* TestClock.adjust("300 seconds")
      yield* store.get(id)
      assert.strictEqual(opened(), 1)
      yield* TestClock.adjust("1 millis")
      yield* store.get(id)
      assert.strictEqual(opened(), 2)
    }))

  it.effect("a session that this process wrote is not decoded", () =>
    Effect.gen(function*() {
      const { opened, store } = yield* counting
      const id = newId()
      yield* TestClock.setTime(400_000)
      yield* store.set(id, sessionOf("one", "a text"))
      assert.strictEqual(tokenIn(yield* store.get(id)), "one")
      yield* store.set(id, sessionOf("one"))
      assert.strictEqual(tokenIn(yield* store.get(id)), "one")
      yield* store.modify(id, () => Effect.succeed([undefined, Option.some<SessionStore.Entry>(sessionOf("two"))]))
      assert.strictEqual(tokenIn(yield* store.get(id)), "two")
      assert.strictEqual(opened(), 0)
    }))

  it.effect("a decoded entry is not used when the clock has jumped back, or when the entry has changed", () =>
    Effect.gen(function*() {
      const { backing, opened, store } = yield* counting
      const id = newId()
      yield* TestClock.setTime(10_000)
      yield* store.set(id, yield* numbered(1, 3_600_000))
      yield* store.get(id)
      yield* TestClock.setTime(9_999)
      yield* store.get(id)
      assert.strictEqual(opened(), 2)
      const other = newId()
      yield* store.set(other, yield* numbered(7))
      const text = Option.getOrThrow(yield* backing.read(keyOf(other)))
      yield* backing.replace(
        keyOf(id),
        yield* backing.read(keyOf(id)),
        Option.some({ text, expiresAt: 600_000 })
      )
      assert.strictEqual(numberIn(yield* store.get(id)), 7)
    }))

  const endings: Record<
    string,
    (store: SessionStore.Service, id: ReturnType<typeof newId>) => Effect.Effect<unknown, SessionError>
  > = {
    remove: (store, id) => store.remove(id),
    take: (store, id) => store.take(id),
    modify: (store, id) => store.modify(id, () => Effect.succeed([0, Option.none<SessionStore.Entry>()])),
    "another process": (store, id) => store.get(id)
  }
  it.effect.each(Object.entries(endings))(
    "a decoded entry leaves the memory after %s removed it",
    ([name, end]) =>
      Effect.gen(function*() {
        const { backing, opened, store } = yield* counting
        const id = newId()
        yield* store.set(id, yield* numbered(1))
        yield* store.get(id)
        const before = opened()
        const text = yield* backing.read(keyOf(id))
        if (name === "another process") yield* backing.replace(keyOf(id), text, Option.none())
        yield* end(store, id)
        // The very text comes back: only a memory of it could save opening it.
        yield* backing.replace(
          keyOf(id),
          Option.none(),
          Option.some({ text: Option.getOrThrow(text), expiresAt: 600_000 })
        )
        yield* store.get(id)
        assert.strictEqual(opened(), before + 1)
      })
  )
})

describe("a BackingSessionStore", () => {
  it("the error of a failure has the code of its innermost known cause, and never a message", () => {
    const detailOf = (failure: unknown) => SessionStore.unavailable("mongodb", "read")(failure).detail
    const nested = (depth: number): unknown => depth === 0 ? { code: "ECONNREFUSED" } : { cause: nested(depth - 1) }
    const secret = new TypeError("canary", { cause: { code: "with spaces", reason: "r3", cause: "canary" } })
    for (
      const [failure, expected] of [
        [{ code: "SQLITE_BUSY" }, "SQLITE_BUSY"],
        [{ code: "57P01" }, "57P01"],
        [{ code: "A1B" }, "A1B"],
        [{ code: "A".repeat(40) }, "A".repeat(40)],
        [{ reason: "Timeout" }, "Timeout"],
        [{ reason: "a".repeat(40) }, "a".repeat(40)],
        [{ code: "lower", reason: "PermissionDenied" }, "PermissionDenied"],
        [new Error("canary", { cause: { code: "EPIPE" } }), "EPIPE"],
        [nested(7), "ECONNREFUSED"],
        [nested(8), "unknown cause"],
        [secret, "TypeError"],
        [new Error("canary", { cause: new RangeError("canary") }), "RangeError"],
        [{ code: "AB" }, "unknown cause"],
        [{ code: "A".repeat(41) }, "unknown cause"],
        [{ code: " EPIPE" }, "unknown cause"],
        [{ code: "EPIPE " }, "unknown cause"],
        [{ code: 5, reason: 6 }, "unknown cause"],
        [{ code: 123, reason: ["Timeout"] }, "unknown cause"],
        [{ code: ["EPIPE"] }, "unknown cause"],
        [{ reason: "ab" }, "unknown cause"],
        [{ reason: "a".repeat(41) }, "unknown cause"],
        [{ reason: "Time out" }, "unknown cause"],
        [{ cause: null }, "unknown cause"],
        ["canary", "unknown cause"],
        [undefined, "unknown cause"]
      ] as const
    ) {
      assert.strictEqual(detailOf(failure), `read failed: ${expected}`)
    }
  })

  it.effect("gives a lock when its lease is over, or was written before the clock jumped back", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const lock = (owner: string) => backing.tryLock("key", owner, 1_000)
      yield* TestClock.setTime(100_000)
      assert.isTrue(yield* lock("first"))
      yield* TestClock.setTime(100_999)
      assert.isFalse(yield* lock("second"))
      yield* TestClock.setTime(99_000)
      assert.isFalse(yield* lock("second"))
      yield* TestClock.setTime(98_999)
      assert.isTrue(yield* lock("second"))
      yield* TestClock.setTime(99_999)
      assert.isTrue(yield* lock("third"))
      yield* backing.unlock("key", "second")
      assert.isFalse(yield* lock("fourth"))
      yield* backing.unlock("key", "third")
      assert.isTrue(yield* lock("fourth"))
    }))

  it.effect("in memory is used without time limits, which cost more than its operations", () =>
    Effect.gen(function*() {
      assert.isTrue((yield* SessionStore.backingMemory).immediate)
    }))

  it.effect("in memory removes expired entries after every 512 writes", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const at = (expiresAt: number) => Option.some({ text: "x", expiresAt })
      yield* TestClock.setTime(1_000)
      yield* backing.replace("expired", Option.none(), at(1_000))
      yield* backing.replace("valid", Option.none(), at(1_001))
      assert.isFalse(yield* backing.replace("valid", Option.none(), at(5_000)))
      yield* Effect.repeatN(backing.replace("other", Option.none(), Option.none()), 508)
      assert.isTrue(Option.isSome(yield* backing.read("expired")))
      yield* backing.replace("other", Option.none(), Option.none())
      assert.isTrue(Option.isNone(yield* backing.read("expired")))
      assert.isTrue(Option.isSome(yield* backing.read("valid")))
    }))

  it.effect("is read no further when the caller is interrupted", () =>
    Effect.gen(function*() {
      const reading = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const store = yield* SessionStore.make(
        yield* remote(() => ({
          read: () =>
            Effect.zipRight(Deferred.succeed(reading, undefined), Effect.never).pipe(
              Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
            )
        }))
      )
      const fiber = yield* Effect.fork(store.get(newId()))
      yield* Deferred.await(reading)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
    }))

  it.effect("an error of a limited operation names the store, the operation and the limit", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.make(yield* remote(() => ({ read: () => Effect.never })), {
        operationTimeout: "90 seconds"
      })
      const error = yield* running(yield* Effect.fork(Effect.flip(store.get(newId()))))
      assert.strictEqual(
        error.message.split(";")[0],
        "Session store test failed (StoreUnavailable): reading did not end within 1m 30s"
      )
    }))

  it.effect("an entry of another version is an error with that version", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const store = yield* SessionStore.make(backing)
      const detail = (text: string) =>
        Effect.gen(function*() {
          const id = newId()
          yield* backing.replace(keyOf(id), Option.none(), Option.some({ text, expiresAt: 600_000 }))
          return (yield* Effect.flip(store.get(id))).detail
        })
      assert.strictEqual(yield* detail("{\"entry\":{\"version\":7}}"), "an entry of version 7 cannot be decoded")
      assert.strictEqual(yield* detail("{\"entry\":{}}"), "an entry cannot be decoded")
    }))
})

describe("SessionError", () => {
  it("tells whether the failure is temporary, and which store failed", () => {
    const retryable = SessionError.fields.reason.literals.filter((reason) =>
      new SessionError({ reason, detail: "x" }).isRetryable
    )
    assert.sameMembers([...retryable], ["StoreUnavailable", "LockTimeout", "LockLost"])
    assert.match(
      new SessionError({ reason: "NotFound", detail: "x" }).message,
      /^Session cannot continue \(NotFound\): x; /
    )
    const unreadable = SessionError.fields.reason.literals.filter((reason) =>
      isUnreadable(new SessionError({ reason, detail: "x" }))
    )
    assert.sameMembers([...unreadable], ["NotFound", "Undecodable", "KeyUnknown"])
  })
})

describe("a stored session with a part that cannot be read", () => {
  it.effect.each<readonly [string, Readonly<Record<string, unknown>>]>([
    ["a wait that no number can hold", { retryAfter: null }],
    ["an error of a later version", { reason: "FromTheFuture" }],
    ["another kind of error", { _tag: "NewError" }]
  ])("%s in its last failure does not cost the valid token", ([_, change]) =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const store = yield* SessionStore.make(backing)
      const id = newId()
      const tokens = new TokenSet({
        version: 1,
        accessToken: Redacted.make("valid"),
        receivedAt: DateTime.unsafeMake(0),
        scopes: [],
        context: new LaunchContext({}),
        extensions: Redacted.make({})
      })
      const error = new TokenError({
        reason: "Unavailable",
        operation: "refresh",
        server: "north",
        url: "https://north.example/token",
        detail: "it answered 503",
        processed: "no",
        retryAfter: Duration.seconds(5)
      })
      yield* store.set(
        id,
        new StoredSession({
          version: 1,
          expiresAt: DateTime.unsafeMake(600_000),
          server: "north",
          tokens,
          createdAt: DateTime.unsafeMake(0),
          renewalFailure: { error, retryAt: DateTime.unsafeMake(2_000) }
        })
      )
      const text = yield* backing.read(keyOf(id))
      const stored = JSON.parse(Option.getOrThrow(text))
      stored.entry.renewalFailure.error = { ...stored.entry.renewalFailure.error, ...change }
      yield* backing.replace(keyOf(id), text, Option.some({ text: JSON.stringify(stored), expiresAt: 600_000 }))
      const entry = Option.getOrThrow(yield* store.get(id))
      assert.strictEqual(entry._tag === "StoredSession" && Redacted.value(entry.tokens.accessToken), "valid")
      assert.isUndefined(entry._tag === "StoredSession" && entry.renewalFailure || undefined)
    }))
})
