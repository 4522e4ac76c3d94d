import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import { unsafeMillis, unsafeNow, withService } from "../../src/base/FiberEnvironment.js"

class Name extends Context.Tag("test/Name")<Name, string>() {}

describe("FiberEnvironment", () => {
  it.effect("the time is that of the running fiber's clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      assert.strictEqual(unsafeMillis(), 1_000)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Effect.map(Effect.void, unsafeMillis), 61_000)
      assert.deepStrictEqual(unsafeNow(), DateTime.unsafeMake(61_000))
    }))

  it("outside of a fiber the default clock is used", () => {
    assert.approximately(unsafeMillis(), Date.now(), 60_000)
  })

  it.effect("a service is that of the environment at the time of the run; an absent one is a defect", () =>
    Effect.gen(function*() {
      const greeting = withService(Name, (name) => Effect.succeed(`hello ${name}`))
      assert.strictEqual(yield* Effect.provideService(greeting, Name, "one"), "hello one")
      assert.strictEqual(yield* Effect.provideService(greeting, Name, "two"), "hello two")
      const absent = yield* Effect.exit(greeting as Effect.Effect<string>)
      assert.isTrue(Exit.isFailure(absent) && absent.cause._tag === "Die")
    }))
})
