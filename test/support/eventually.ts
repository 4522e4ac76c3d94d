import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"

/** Repeats `read` until `isExpected`, for work in the background. Waits in real time; the test clock does not move. */
export const eventually = <A, E, R>(
  read: Effect.Effect<A, E, R>,
  isExpected: (value: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    for (let attempt = 0; attempt < 1_000; attempt++) {
      const value = yield* read
      if (isExpected(value)) return value
      yield* TestServices.provideLive(Effect.sleep("5 millis"))
    }
    return yield* Effect.dieMessage("the expected value was not read within five seconds")
  })

/** Moves the test clock in steps until the fiber has ended. Between the steps it gives other work real time. */
export const joinWithSteps = <A, E>(
  fiber: Fiber.Fiber<A, E>,
  step: Duration.DurationInput = "100 millis"
): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    for (let count = 0; Option.isNone(yield* Fiber.poll(fiber)); count++) {
      if (count === 2_000) return yield* Effect.dieMessage("the fiber did not end within 2,000 steps")
      yield* TestClock.adjust(step)
      yield* TestServices.provideLive(Effect.sleep("1 millis"))
    }
    return yield* Fiber.join(fiber)
  })
