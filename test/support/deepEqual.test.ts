import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Option from "effect/Option"

class Failure extends Data.TaggedError("Failure")<{ readonly status: number }> {}

describe("assert.deepStrictEqual", () => {
  it("takes Some and None, and other contents, for different", () => {
    assert.deepStrictEqual(Option.some(1), Option.some(1))
    assert.notDeepEqual<Option.Option<number>>(Option.some(1), Option.none())
    assert.notDeepEqual(Option.some(1), Option.some(2))
  })

  it("takes errors with other fields for different", () => {
    assert.deepStrictEqual(new Failure({ status: 1 }), new Failure({ status: 1 }))
    assert.notDeepEqual(new Failure({ status: 1 }), new Failure({ status: 2 }))
  })
})
