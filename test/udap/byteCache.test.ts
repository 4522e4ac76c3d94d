import { assert, describe, it } from "@effect/vitest"
import { makeByteCache } from "../../src/udap/internal/byteCache.js"

describe("a cache of bytes", () => {
  const cacheOf = (limits: { readonly entries: number; readonly bytes: number }) => {
    const cache = makeByteCache<{ readonly bytes: number }>(limits)
    return {
      set: (key: string, bytes: number) => cache.set(key, { bytes }),
      keys: () => ["a", "b", "c", "d"].filter((key) => cache.get(key) !== undefined)
    }
  }

  it("drops the oldest entries above a number of entries", () => {
    const { keys, set } = cacheOf({ entries: 2, bytes: 100 })
    set("a", 1)
    set("b", 1)
    assert.deepStrictEqual(keys(), ["a", "b"])
    set("a", 1)
    set("c", 1)
    assert.deepStrictEqual(keys(), ["a", "c"])
  })

  it("drops the oldest entries above a number of bytes, as many as necessary", () => {
    const { keys, set } = cacheOf({ entries: 100, bytes: 10 })
    set("a", 4)
    set("b", 4)
    set("c", 2)
    assert.deepStrictEqual(keys(), ["a", "b", "c"])
    set("d", 1)
    assert.deepStrictEqual(keys(), ["b", "c", "d"])
    set("a", 9)
    assert.deepStrictEqual(keys(), ["a", "d"])
  })

  it("counts the bytes of an entry that is replaced once", () => {
    const { keys, set } = cacheOf({ entries: 100, bytes: 10 })
    set("a", 4)
    for (const bytes of [5, 6, 6]) set("b", bytes)
    assert.deepStrictEqual(keys(), ["a", "b"])
    set("b", 1)
    set("c", 5)
    assert.deepStrictEqual(keys(), ["a", "b", "c"])
  })

  it("does not store an entry above the limit", () => {
    const { keys, set } = cacheOf({ entries: 100, bytes: 10 })
    set("a", 11)
    assert.deepStrictEqual(keys(), [])
    set("b", 10)
    assert.deepStrictEqual(keys(), ["b"])
  })
})
