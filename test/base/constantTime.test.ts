import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { equal } from "../../src/base/ConstantTime.js"

describe("constantTime", () => {
  it.prop("[SMART-4] agrees with === on any two strings", [FastCheck.string(), FastCheck.string()], ([a, b]) => {
    assert.strictEqual(equal(a, b), a === b)
    assert.isTrue(equal(a, `${a}`))
  })

  it.prop(
    "[SMART-4] detects one changed character at any position",
    [FastCheck.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), FastCheck.nat()],
    ([text, at]) => {
      const index = at % text.length
      const changed = `${text.slice(0, index)}!${text.slice(index + 1)}`
      assert.isFalse(equal(text, changed))
    }
  )

  it.each([["", "a"], ["a", ""], ["a", "aa"], ["aa", "a"], ["a\u0000", "a"], ["\u0100", "\u0000"], ["é", "e\u0301"]])(
    "%j is not %j",
    (a, b) => assert.isFalse(equal(a, b))
  )
})
