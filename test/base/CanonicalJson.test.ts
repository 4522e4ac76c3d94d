import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { canonicalJson } from "../../src/base/CanonicalJson.js"

/** The same value with the members of its objects in the opposite order. */
const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).reverse().map(([name, member]) => [name, reversed(member)]))
}

describe("canonicalJson", () => {
  it.prop(
    "is the JSON of the value, and equal for any order of members",
    [FastCheck.jsonValue().filter((value) => !JSON.stringify(value).includes("__proto__"))],
    ([value]) => {
      const text = canonicalJson(value)
      assert.deepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
      assert.strictEqual(canonicalJson(reversed(value)), text)
    }
  )

  it("sorts the members of an object, and keeps the order of an array", () => {
    assert.strictEqual(
      canonicalJson({ b: [{ d: "x", c: null }, 2, 1], a: true, "c\"": {} }),
      "{\"a\":true,\"b\":[{\"c\":null,\"d\":\"x\"},2,1],\"c\\\"\":{}}"
    )
  })

  it("a member without a value is absent, and an item without a value is null", () => {
    assert.strictEqual(canonicalJson({ b: undefined, a: 1 }), "{\"a\":1}")
    assert.strictEqual(canonicalJson([undefined, 1]), "[null,1]")
    assert.strictEqual(canonicalJson(undefined), "null")
  })
})
