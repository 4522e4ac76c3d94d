/** Large and malformed files: each ends in an error that names file and line, in bounded memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport } from "effect-safire"
import * as Http from "../support/http.js"
import { heldBytes } from "../support/memory.js"
import { base, written } from "./fixtures.js"

const statusUrl = `${base}/status/1`
const encoder = new TextEncoder()

/** A server with one file, whose chunks are made when they are read. */
const server = (chunks: () => Iterator<Uint8Array>, count?: number) => {
  let produced = 0
  const http = Http.fake(({ method, url }) => {
    if (url.includes("$export")) return Http.text("", { status: 202, headers: { "content-location": statusUrl } })
    if (method === "DELETE") return Http.text("", { status: 202 })
    if (url === statusUrl) {
      return Http.json({
        requiresAccessToken: true,
        output: [{ type: "Patient", url: `${base}/files/1`, count }],
        error: []
      })
    }
    const iterator = chunks()
    return new Response(
      new ReadableStream<Uint8Array>({
        pull: (controller) => {
          const next = iterator.next()
          if (next.done === true) return controller.close()
          produced += next.value.byteLength
          controller.enqueue(next.value)
        }
      })
    )
  })
  return { http, produced: () => produced }
}

/** `count` lines in chunks of 1,000. */
function* lines(count: number): Generator<Uint8Array, undefined> {
  const block = encoder.encode("{\"resourceType\":\"Patient\"}\n".repeat(1_000))
  for (let sent = 0; sent < count; sent += 1_000) yield block
  return undefined
}

const counted = (http: Http.Fake, options: BulkExport.Options = {}) =>
  Effect.gen(function*() {
    let count = 0
    const error = yield* Effect.flip(
      Stream.runForEachChunk(BulkExport.run(yield* written(http), options), (items) =>
        Effect.sync(() => {
          count += items.length
        }))
    )
    return { count, error }
  })

describe("BulkExport of a hostile server", () => {
  it.effect(
    "invalid JSON in line 3,000,000: all lines before are delivered, and the error names the line",
    () =>
      Effect.gen(function*() {
        const { http } = server(function*() {
          yield* lines(2_999_000)
          yield encoder.encode(`${"{\"resourceType\":\"Patient\"}\n".repeat(999)}{"resourceType":"Patient"\n`)
        })
        const before = heldBytes()
        const { count, error } = yield* counted(http)
        assert.strictEqual(count, 2_999_999)
        assert.deepStrictEqual([error.reason, error.line, error.file?.index], ["MalformedLine", 3_000_000, 0])
        assert.include(error.message, "file 1 (Patient) line 3000000")
        assert.isBelow(heldBytes() - before, 50_000_000)
      }),
    180_000
  )

  it.effect(
    "a line of 100 MB is an error at the limit, and one within a raised limit is a resource",
    () =>
      Effect.gen(function*() {
        const piece = encoder.encode("x".repeat(1_000_000))
        function* long(): Generator<Uint8Array, undefined> {
          yield encoder.encode("{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Binary\",\"data\":\"")
          for (let sent = 0; sent < 100; sent++) yield piece
          yield encoder.encode("\"}\n")
          return undefined
        }
        const limited = server(long)
        const { count, error } = yield* counted(limited.http)
        assert.deepStrictEqual([count, error.reason, error.line], [1, "LineTooLong", 2])
        assert.isBelow(limited.produced(), 12_000_000)
        const allowed = server(long)
        const fhir = yield* written(allowed.http)
        assert.strictEqual(yield* Stream.runCount(BulkExport.run(fhir, { maxLineBytes: 200_000_000 })), 2)
      }),
    60_000
  )

  it.effect("a file without an end is read with backpressure: the server does not run ahead of the program", () =>
    Effect.gen(function*() {
      const { http, produced } = server(() => lines(Number.POSITIVE_INFINITY))
      const fhir = yield* written(http)
      let items = 0
      yield* Stream.runForEach(Stream.take(BulkExport.run(fhir), 10_000), () =>
        Effect.sync(() => {
          items += 1
        }))
      assert.strictEqual(items, 10_000)
      assert.isBelow(produced(), 2_000_000)
    }))

  it.effect("a manifest of 100,000 files is read, and its 100,001st file is an error", () =>
    Effect.gen(function*() {
      const manifest = (files: number) =>
        Http.fake(({ method, url }) =>
          url.includes("$export")
            ? Http.text("", { status: 202, headers: { "content-location": statusUrl } })
            : method === "DELETE"
            ? Http.text("", { status: 202 })
            : Http.json({
              requiresAccessToken: true,
              output: Array.from({ length: files }, (_, index) => ({ type: "Patient", url: `${base}/files/${index}` })),
              error: []
            })
        )
      const fhir = yield* written(manifest(100_000))
      const job = yield* BulkExport.start(fhir)
      const status = yield* BulkExport.poll(fhir, job)
      assert.strictEqual(status._tag === "Manifest" ? status.job.files.length : 0, 100_000)
      const { error } = yield* counted(manifest(100_001))
      assert.strictEqual(error.reason, "TooManyPages")
      yield* TestClock.adjust("1 second")
    }), 60_000)
})
