import * as Effect from "effect/Effect"
import * as TestServices from "effect/TestServices"

/** Asks again until the answer is as expected, for what runs in the background. Waits in real time; the test's clock stands still. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  isExpected: (answer: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    for (let attempt = 0; attempt < 1_000; attempt++) {
      const answer = yield* ask
      if (isExpected(answer)) return answer
      yield* TestServices.provideLive(Effect.sleep("5 millis"))
    }
    return yield* Effect.dieMessage("what was expected did not happen within five seconds")
  })
