import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { ByteBuffer } from "../../src/base/ByteBuffer.js"
import { heldBytes } from "../support/memory.js"

describe("ByteBuffer", () => {
  it.prop(
    "`take` returns the bytes that were pushed since the last `take`",
    [FastCheck.array(FastCheck.array(FastCheck.uint8Array({ maxLength: 700 }), { maxLength: 9 }), { maxLength: 3 })],
    ([rounds]) => {
      const buffer = new ByteBuffer()
      for (const chunks of rounds) {
        for (const chunk of chunks) buffer.push(chunk)
        assert.strictEqual(buffer.size, chunks.reduce((sum, { byteLength }) => sum + byteLength, 0))
        assert.deepStrictEqual(Buffer.from(buffer.take()), Buffer.concat(chunks))
        assert.strictEqual(buffer.size, 0)
      }
    }
  )

  it.prop(
    "`take` returns the pushed bytes, however many were expected",
    [
      FastCheck.array(FastCheck.uint8Array({ maxLength: 700 }), { maxLength: 9 }),
      FastCheck.oneof(FastCheck.integer(), FastCheck.constantFrom(Number.NaN, Number.POSITIVE_INFINITY))
    ],
    ([chunks, expected]) => {
      const buffer = new ByteBuffer()
      buffer.expect(expected)
      for (const chunk of chunks) buffer.push(chunk)
      assert.deepStrictEqual(Buffer.from(buffer.take()), Buffer.concat(chunks))
    }
  )

  it("allocates at most 1 MiB for expected bytes that do not come", () => {
    for (const expected of [1024 * 1024, 1024 * 1024 + 1, 1e15]) {
      const buffer = new ByteBuffer()
      buffer.expect(expected)
      buffer.push(Uint8Array.of(1))
      buffer.push(Uint8Array.of(2))
      assert.isAtMost(buffer.take().buffer.byteLength, 1024 * 1024)
    }
  })

  it("allocates what is expected at once, up to 1 MiB, and otherwise doubles", () => {
    const capacity = (expected: number | undefined, ...lengths: ReadonlyArray<number>) => {
      const buffer = new ByteBuffer()
      if (expected !== undefined) buffer.expect(expected)
      for (const length of lengths) buffer.push(new Uint8Array(length))
      return buffer.take().buffer.byteLength
    }
    assert.strictEqual(capacity(5_000, 1, 1), 5_000)
    assert.strictEqual(capacity(1_500, 1_000, 500), 1_500)
    assert.strictEqual(capacity(1024 * 1024, 1, 1), 1024 * 1024)
    assert.strictEqual(capacity(1024 * 1024 + 1, 1, 1), 1024)
    assert.strictEqual(capacity(undefined, 1, 1), 1024)
    assert.strictEqual(capacity(undefined, 1, 1022, 1), 1024)
    assert.strictEqual(capacity(undefined, 1, 1022, 2), 2046)
  })

  it("does not copy a single chunk, also after an empty one", () => {
    for (const before of [[], [new Uint8Array()]]) {
      const buffer = new ByteBuffer()
      const chunk = Uint8Array.of(1, 2)
      for (const one of [...before, chunk]) buffer.push(one)
      assert.strictEqual(buffer.take().buffer, chunk.buffer)
    }
  })

  it("does not change pushed chunks or returned bytes", () => {
    const buffer = new ByteBuffer()
    const memory = Uint8Array.of(1, 2, 3, 4)
    buffer.push(memory.subarray(0, 2))
    buffer.push(Uint8Array.of(9))
    const taken = buffer.take()
    buffer.push(taken)
    buffer.push(Uint8Array.of(8))
    assert.deepStrictEqual([...memory], [1, 2, 3, 4])
    assert.deepStrictEqual([...taken], [1, 2, 9])
    assert.deepStrictEqual([...buffer.take()], [1, 2, 9, 8])
  })

  // Only V8 can be told to collect garbage.
  it.skipIf("Bun" in globalThis)("holds 4 MB in chunks of one byte without an object for each", () => {
    const buffer = new ByteBuffer()
    const before = heldBytes()
    for (let count = 0; count < 4_000_000; count++) buffer.push(Uint8Array.of(120))
    assert.isBelow(heldBytes() - before, 16_000_000)
    assert.strictEqual(buffer.size, 4_000_000)
  })
})
