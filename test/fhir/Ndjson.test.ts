import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
// The pure reader, for each way to cut a text into chunks.
import * as Ndjson from "../../src/fhir/internal/ndjson.js"
import { heldBytes } from "../support/memory.js"

const encoder = new TextEncoder()
const line = (id: string) => JSON.stringify({ resourceType: "Patient", id })
const pieces = (text: string, size: number): ReadonlyArray<Uint8Array> => {
  const bytes = encoder.encode(text)
  return Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, index) => bytes.subarray(index * size, (index + 1) * size)
  )
}

/** The lines of a stream of bytes. */
const parse = <E>(
  bytes: Stream.Stream<Uint8Array, E>,
  { maxLineBytes, skip }: { readonly skip: number; readonly maxLineBytes: number }
): Stream.Stream<Ndjson.Line, E | Ndjson.NdjsonError> =>
  Stream.suspend(() => {
    const reader = new Ndjson.NdjsonReader({
      from: { line: 0, offset: 0 },
      skipTo: { line: skip, offset: skip },
      maxLineBytes
    })
    const emit = ({ error, parts }: Ndjson.Parsed): Stream.Stream<Ndjson.Line, Ndjson.NdjsonError> => {
      const lines = Stream.fromIterable(parts.flatMap(Ndjson.linesOf))
      return error === undefined ? lines : Stream.concat(lines, Stream.fail(error))
    }
    return Stream.concat(
      bytes.pipe(
        Stream.map((chunk) => reader.push(chunk)),
        Stream.filter(({ error, parts }) => parts.length > 0 || error !== undefined),
        Stream.flatMap(emit)
      ),
      Stream.suspend(() => emit(reader.end()))
    )
  })

/** The lines before the error, and the error. */
const outcome = (
  text: string,
  options: { readonly size?: number; readonly skip?: number; readonly max?: number } = {}
) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const end = yield* parse(Stream.fromIterable(pieces(text, options.size ?? 1024)), {
      skip: options.skip ?? 0,
      maxLineBytes: options.max ?? 1024
    }).pipe(
      Stream.runForEach(({ number, resource }) => Effect.sync(() => lines.push(`${number}:${String(resource["id"])}`))),
      Effect.as("end"),
      Effect.catchTag("NdjsonError", ({ line, reason }) => Effect.succeed(`${reason} ${line}`))
    )
    return [...lines, end]
  })

describe("Ndjson", () => {
  it.effect("lines, with or without a last newline, CRLF, blank ones and a byte order mark", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcome(`${line("a")}\n${line("b")}\n`), ["1:a", "2:b", "end"])
      assert.deepStrictEqual(yield* outcome(`\uFEFF${line("a")}\r\n\r\n\n${line("b")}`), ["1:a", "4:b", "end"])
      assert.deepStrictEqual(yield* outcome(""), ["end"])
    }))

  it.effect("blank lines of any white space and in any number are counted; one that is too long is an error", () =>
    Effect.gen(function*() {
      const blank = "\n \n\t\t\r\n\u00a0\n".repeat(500)
      const text = `${blank}${line("a")}\n${blank}${line("b")}\n`
      for (const size of [7, text.length]) {
        assert.deepStrictEqual(yield* outcome(text, { size }), ["2001:a", "4002:b", "end"])
      }
      const reader = new Ndjson.NdjsonReader({
        from: { line: 0, offset: 0 },
        skipTo: { line: 0, offset: 0 },
        maxLineBytes: 1024
      })
      const { parts } = reader.push(encoder.encode(text))
      const blankBytes = encoder.encode(blank).length
      assert.deepStrictEqual(parts.map(({ start }) => start), [blankBytes, 2 * blankBytes + line("a").length + 1])
      assert.deepStrictEqual(yield* outcome(`${line("a")}\n${" ".repeat(1025)}\n`), ["1:a", "LineTooLong 2"])
    }))

  it.effect("what is wrong, in which line, after all that came before", () =>
    Effect.gen(function*() {
      const first = `${line("a")}\n`
      assert.deepStrictEqual(yield* outcome(`${first}{"a":\n${line("c")}\n`), ["1:a", "MalformedLine 2"])
      assert.deepStrictEqual(yield* outcome(`${first}{"id":"x"}\n`), ["1:a", "MalformedLine 2"])
      assert.deepStrictEqual(yield* outcome(`${first}[]\n`), ["1:a", "MalformedLine 2"])
      assert.deepStrictEqual(yield* outcome(`${first}${line("b").slice(0, -3)}`), ["1:a", "Truncated 2"])
      assert.deepStrictEqual(yield* outcome(`${first}${line("b".repeat(2000))}\n`, { size: 7 }), [
        "1:a",
        "LineTooLong 2"
      ])
      assert.deepStrictEqual(yield* outcome(`${first}${line("b".repeat(2000))}`), ["1:a", "LineTooLong 2"])
    }))

  it.effect("bytes that are no UTF-8 are malformed", () =>
    Effect.gen(function*() {
      const bytes = Uint8Array.from([...encoder.encode("{\"resourceType\":\""), 0xff, ...encoder.encode("\"}\n")])
      const error = yield* Effect.flip(
        Stream.runDrain(parse(Stream.make(bytes), { skip: 0, maxLineBytes: 100 }))
      )
      assert.deepStrictEqual([error.reason, error.line], ["MalformedLine", 1])
    }))

  it("lines before the position are not parsed; another length of them, or of the file, is an error", () => {
    const read = (text: string, offset: number) => {
      const reader = new Ndjson.NdjsonReader({
        from: { line: 0, offset: 0 },
        skipTo: { line: 2, offset },
        maxLineBytes: 1000
      })
      const all = [reader.push(encoder.encode(text)), reader.end()]
      return all.flatMap(({ error, parts }) => [
        ...parts.flatMap(Ndjson.linesOf).map(({ end, number, text }) => `${number}:${end}:${text}`),
        ...(error === undefined ? [] : [`${error.reason} ${error.line}`])
      ])
    }
    assert.deepStrictEqual(read(`nonsense\nb\n${line("c")}\n`, 11), [`3:${12 + line("c").length}:${line("c")}`])
    assert.deepStrictEqual(read(`nonsense\nbbb\n${line("c")}\n`, 11), ["FileChanged 2"])
    assert.deepStrictEqual(read("nonsense\n", 11), ["FileChanged 2"])
    // The last line of a file may lack its newline, and get it later.
    assert.deepStrictEqual(read("nonsense\nb", 10), [])
    assert.deepStrictEqual(read("nonsense\nb\n", 10), [])
  })

  it("lines after a position in the middle of a file have the numbers and offsets of the file", () => {
    const reader = new Ndjson.NdjsonReader({
      from: { line: 7, offset: 500 },
      skipTo: { line: 7, offset: 500 },
      maxLineBytes: 1000
    })
    const { parts } = reader.push(encoder.encode(`${line("a")}\n\n${line("ä")}\n`))
    assert.deepStrictEqual(parts.flatMap(Ndjson.linesOf).map(({ end, number }) => [number, end]), [
      [8, 500 + line("a").length + 1],
      [10, 500 + line("a").length + 2 + line("ä").length + 2]
    ])
  })

  it("lines of one block have the offsets of their bytes, and end at the first that is malformed or too long", () => {
    const read = (bytes: Uint8Array) => {
      const reader = new Ndjson.NdjsonReader({
        from: { line: 0, offset: 0 },
        skipTo: { line: 0, offset: 0 },
        maxLineBytes: 100
      })
      const { error, parts } = reader.push(bytes)
      return [
        ...parts.flatMap(Ndjson.linesOf).map(({ end, resource, text }) => [end, resource["id"], text.charCodeAt(0)]),
        error?.line
      ]
    }
    const block = `${line("a")}\n${line("ä€😀")}\r\n\uFEFF${line("b")}\n`
    const ends = [1, 2, 3].map((count) => encoder.encode(block.split("\n").slice(0, count).join("\n")).length + 1)
    const good = [[ends[0], "a", 123], [ends[1], "ä€😀", 123], [ends[2], "b", 123]]
    assert.deepStrictEqual(read(encoder.encode(block)), [...good, undefined])
    assert.deepStrictEqual(read(encoder.encode(`${block}{\n${line("c")}\n`)), [...good, 4])
    assert.deepStrictEqual(read(encoder.encode(`${block}${line("c".repeat(100))}\n${line("d")}\n`)), [...good, 4])
    assert.deepStrictEqual(
      read(Uint8Array.from([...encoder.encode(block), 0xff, 10, ...encoder.encode(`${line("c")}\n`)])),
      [...good, 4]
    )
    const large = `${line("a")}\n{"resourceType":"Observation","id":"x","value":1e999}\n`
    const { parts } = new Ndjson.NdjsonReader({
      from: { line: 0, offset: 0 },
      skipTo: { line: 0, offset: 0 },
      maxLineBytes: 100
    }).push(encoder.encode(large))
    assert.isNull(parts.flatMap(Ndjson.linesOf)[1]?.resource["value"])
  })

  it.effect("an endless line is given up at the limit", () =>
    Effect.gen(function*() {
      const piece = encoder.encode("x".repeat(1000))
      let pulled = 0
      const error = yield* Effect.flip(Stream.runDrain(parse(
        Stream.repeatEffect(Effect.sync(() => {
          pulled += 1
          return piece
        })),
        { skip: 0, maxLineBytes: 10_000 }
      )))
      assert.deepStrictEqual([error.reason, error.line], ["LineTooLong", 1])
      assert.isBelow(pulled, 13)
    }))

  it.effect("a line of 2 MB in chunks of one byte is held without an object for each", () =>
    Effect.gen(function*() {
      const size = 2_000_000
      const chunks = Chunk.makeBy(4_000, () => encoder.encode("x"))
      const before = heldBytes()
      let held = 0
      const bytes = Stream.concat(
        Stream.flatMap(Stream.range(1, size / 4_000), () => Stream.fromChunk(chunks)),
        Stream.execute(Effect.sync(() => {
          held = heldBytes() - before
        }))
      )
      const error = yield* Effect.flip(Stream.runDrain(parse(bytes, { skip: 0, maxLineBytes: size })))
      assert.deepStrictEqual([error.reason, error.line], ["Truncated", 1])
      assert.isBelow(held, 20_000_000)
    }), 30_000)

  it.effect("a transport may use the memory of a chunk again", () =>
    Effect.gen(function*() {
      const memory = new Uint8Array(8)
      const text = encoder.encode(`${line("a")}\n${line("b")}\n`)
      const indices = Stream.rechunk(Stream.range(0, Math.ceil(text.length / 8) - 1), 1)
      const bytes = Stream.map(indices, (index) => {
        const chunk = text.subarray(index * 8, index * 8 + 8)
        memory.set(chunk)
        return memory.subarray(0, chunk.length)
      })
      const lines = yield* Stream.runCollect(parse(bytes, { skip: 0, maxLineBytes: 1000 }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(lines).map(({ resource }) => resource["id"]), ["a", "b"])
    }))

  it.effect.prop(
    "however a file is cut into pieces, its lines are the same",
    [
      FastCheck.array(FastCheck.string({ unit: "grapheme" }), { maxLength: 20 }),
      FastCheck.integer({ min: 1, max: 50 })
    ],
    ([ids, size]) =>
      Effect.gen(function*() {
        const text = ids.map((id) => `${line(id)}\n`).join("")
        const lines = yield* Stream.runCollect(
          parse(Stream.fromIterable(pieces(text, size)), { skip: 0, maxLineBytes: 10_000 })
        )
        assert.deepStrictEqual(Chunk.toReadonlyArray(lines).map(({ resource }) => resource["id"]), ids)
      })
  )
})
