import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import * as RedisSessionStore from "../../src/redis/RedisSessionStore.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { isFound, redis, redisProgram, startRedis } from "../support/databases.js"
import { freePort } from "../support/freePort.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { connectTo } from "../support/places.js"
import { keyOf, newId, Place, sessionStoreContract } from "../support/sessionStoreContract.js"
import { severalProcesses } from "../support/severalProcesses.js"

const found = redis()

if (isFound(found)) {
  sessionStoreContract(
    "RedisSessionStore",
    Layer.scoped(Place, Effect.map(found.url, (url) => ({ connect: connectTo("redis", Redacted.value(url)) })))
  )
  describe("RedisSessionStore", () => {
    it.scopedLive(
      "counts exactly over several processes",
      () => Effect.flatMap(found.url, (url) => severalProcesses("redis", Redacted.value(url))),
      180_000
    )

    it.scopedLive("entries have the configured prefix and expire in Redis", () =>
      Effect.gen(function*() {
        const url = yield* found.url
        const store = yield* Effect.provide(
          SessionStore.SessionStore,
          yield* Layer.build(RedisSessionStore.layer({ url, prefix: "mine:" }))
        )
        const id = newId()
        yield* store.set(id, yield* numbered(1, 60_000))
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(Redacted.value(url))),
          (redis) => Effect.sync(() => redis.disconnect())
        )
        const ttl = yield* Effect.promise(() => client.pttl(`mine:{${keyOf(id)}}`))
        assert.isTrue(ttl > 50_000 && ttl <= 60_000)
      }))
  })
} else {
  describe(`RedisSessionStore (left out: ${found.reason})`, () => {
    it.skip("needs Redis", () => {})
  })
}

describe("RedisSessionStore", () => {
  it.scopedLive("is StoreUnavailable within a bounded time without a Redis server", () =>
    Effect.gen(function*() {
      const url = Redacted.make(`redis://:canary@127.0.0.1:${yield* freePort}`)
      const context = yield* Layer.build(RedisSessionStore.layer({ url, operationTimeout: "1 second" }))
      const store = yield* Effect.provide(SessionStore.SessionStore, context)
      const before = yield* Clock.currentTimeMillis
      for (const result of [store.get(newId()), store.take(newId()), increment(store, newId())]) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, never>(result))
        assert.propertyVal(error, "reason", "StoreUnavailable")
        assert.notInclude(`${String(error)}${JSON.stringify(error)}`, "canary")
      }
      assert.isBelow((yield* Clock.currentTimeMillis) - before, 7000)
    }))

  const program = redisProgram()
  it.scopedLive.skipIf(program === undefined)(
    "saves a result although Redis is restarted before the write",
    () =>
      Effect.gen(function*() {
        const port = yield* freePort
        const first = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
        yield* Scope.extend(startRedis(program ?? "", port), first)
        const context = yield* Layer.build(
          RedisSessionStore.layer({ url: Redacted.make(`redis://127.0.0.1:${port}`), operationTimeout: "1 second" })
        )
        const store = yield* Effect.provide(SessionStore.SessionStore, context)
        const id = newId()
        const inside = yield* Deferred.make<void>()
        const stopped = yield* Deferred.make<void>()
        const modifying = yield* Effect.fork(store.modify(id, () =>
          Deferred.succeed(inside, undefined).pipe(
            Effect.zipRight(Deferred.await(stopped)),
            Effect.zipRight(numbered(3)),
            Effect.map((entry) => [3, Option.some<SessionStore.Entry>(entry)] as const)
          )))
        yield* Deferred.await(inside)
        yield* Scope.close(first, Exit.void)
        yield* Deferred.succeed(stopped, undefined)
        yield* Effect.sleep("1500 millis")
        yield* startRedis(program ?? "", port)
        assert.strictEqual(yield* Fiber.join(modifying), 3)
        assert.strictEqual(numberIn(yield* store.get(id)), 3)
      })
  )
})
