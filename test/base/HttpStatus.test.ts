import { assert, describe, it } from "@effect/vitest"
import * as HttpStatus from "../../src/base/HttpStatus.js"

const statuses = Array.from({ length: 500 }, (_, index) => 100 + index)

describe("HttpStatus", () => {
  it("`isSuccess` is true from 200 to 299", () =>
    assert.deepStrictEqual(
      statuses.filter(HttpStatus.isSuccess),
      statuses.filter((status) => Math.floor(status / 100) === 2)
    ))

  it("`isTransient` is true for the statuses after which the same request may succeed", () => {
    assert.deepStrictEqual(statuses.filter(HttpStatus.isTransient), [408, 429, 502, 503, 504])
    assert.isFalse(HttpStatus.isTransient(undefined))
  })

  it("`processedAt` is `no` for client errors except a time-out, and for a server that is too busy", () => {
    const unprocessed = statuses.filter((status) => HttpStatus.processedAt(status) === "no")
    assert.deepStrictEqual(unprocessed, [
      ...statuses.filter((status) => Math.floor(status / 100) === 4 && status !== 408),
      503
    ])
    assert.strictEqual(HttpStatus.processedAt(408), "unknown")
  })
})
