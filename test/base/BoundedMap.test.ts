import { assert, describe, it } from "@effect/vitest"
import * as BoundedMap from "../../src/base/BoundedMap.js"

describe("BoundedMap", () => {
  it("has at most its capacity of entries, and drops the one that was set first", () => {
    const map = BoundedMap.make<number>(2)
    map.set("a", 1)
    map.set("b", 2)
    assert.deepStrictEqual([map.get("a"), map.get("b")], [1, 2])
    map.set("c", 3)
    assert.deepStrictEqual([map.get("a"), map.get("b"), map.get("c")], [undefined, 2, 3])
  })

  it("an entry that is set again is the newest, and drops no other", () => {
    const map = BoundedMap.make<number>(2)
    map.set("a", 1)
    map.set("b", 2)
    map.set("a", 3)
    assert.deepStrictEqual([map.get("a"), map.get("b")], [3, 2])
    map.set("c", 4)
    assert.deepStrictEqual([map.get("a"), map.get("b"), map.get("c")], [3, undefined, 4])
  })

  it("`delete` removes one entry", () => {
    const map = BoundedMap.make<number>(2)
    map.set("a", 1)
    map.set("b", 2)
    map.delete("a")
    assert.deepStrictEqual([map.get("a"), map.get("b")], [undefined, 2])
  })

  it("`prune` deletes the stale entries before the first that is not stale", () => {
    const map = BoundedMap.make<number>(4)
    for (const [key, value] of [["a", 1], ["b", 2], ["c", 9], ["d", 1]] as const) map.set(key, value)
    map.prune((value) => value < 5)
    assert.deepStrictEqual(["a", "b", "c", "d"].map(map.get), [undefined, undefined, 9, 1])
  })
})
