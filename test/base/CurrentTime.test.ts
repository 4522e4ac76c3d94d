import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as CurrentTime from "../../src/base/CurrentTime.js"

describe("CurrentTime", () => {
  it.effect("the time is that of the running fiber's clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      assert.strictEqual(CurrentTime.unsafeMillis(), 1_000)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Effect.map(Effect.void, CurrentTime.unsafeMillis), 61_000)
    }))

  it("outside of a fiber the default clock is used", () => {
    assert.approximately(CurrentTime.unsafeMillis(), Date.now(), 60_000)
  })
})
