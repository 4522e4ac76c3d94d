import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { eitherOnDefect, failOnDefect } from "../../src/base/FailOnDefect.js"

const toError = (exception: string) => `failed with ${exception}`
const guarded = failOnDefect(toError)

describe("failOnDefect", () => {
  it.effect("the error of a defect has the name of the exception, and not its message", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(guarded(Effect.die(new RangeError("secret text"))))
      assert.strictEqual(error, "failed with RangeError")
      assert.strictEqual(
        yield* Effect.flip(guarded(Effect.die("secret text"))),
        "failed with an exception without a name"
      )
    }))

  it.effect("values and failures are unchanged", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* guarded(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(guarded(Effect.fail("down"))), "down")
    }))
})

describe("eitherOnDefect", () => {
  it("an exception is an error with its name; values and errors are unchanged", () => {
    const thrown = eitherOnDefect((): Either.Either<number, string> => {
      throw new TypeError("secret text")
    }, toError)
    assert.deepStrictEqual(thrown, Either.left("failed with TypeError"))
    assert.deepStrictEqual(eitherOnDefect(() => Either.right(1), toError), Either.right(1))
    assert.deepStrictEqual(eitherOnDefect(() => Either.left("down"), toError), Either.left("down"))
  })
})
