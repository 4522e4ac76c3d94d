/** Resources as lines: the bytes of the server, for programs that store them. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { BulkExport } from "effect-safire"
import * as Http from "../support/http.js"
import { base, written } from "./fixtures.js"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const statusUrl = `${base}/status/1`

/** A server with one file, which it sends in pieces. */
const server = (file: string, size = 1_000, output: Readonly<Record<string, unknown>> = {}) =>
  Http.fake(({ method, url }) => {
    if (url.includes("$export")) return Http.text("", { status: 202, headers: { "content-location": statusUrl } })
    if (method === "DELETE") return Http.text("", { status: 202 })
    if (url === statusUrl) {
      return Http.json({
        requiresAccessToken: true,
        ...(output["outputOrganizedBy"] === undefined ? {} : { outputOrganizedBy: output["outputOrganizedBy"] }),
        output: [{ type: "Resource", url: `${base}/files/1`, ...output }],
        error: []
      })
    }
    const bytes = encoder.encode(file)
    let from = 0
    return new Response(
      new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (from >= bytes.length) return controller.close()
          controller.enqueue(bytes.slice(from, from + size))
          from += size
        }
      })
    )
  })

/** The lines before the end or the error. */
const read = (http: Http.Fake, options: BulkExport.Options = {}) =>
  Effect.gen(function*() {
    const all: Array<BulkExport.Lines> = []
    const fhir = yield* written(http)
    const run = Stream.runForEach(
      BulkExport.runLines(fhir, options),
      (lines) => Effect.sync(() => void all.push(lines))
    )
    const result = yield* Effect.either(run)
    return { all, error: result._tag === "Left" ? result.left : undefined }
  })

const textOf = (lines: ReadonlyArray<BulkExport.Lines>): string =>
  lines.map(({ bytes }) => decoder.decode(bytes)).join("")

const line = (resourceType: string, id: string) => `${JSON.stringify({ resourceType, id })}\n`
const patients = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => line("Patient", `p${from + index}`)).join("")

describe("BulkExport.runLines", () => {
  it.effect("has the bytes of the server, with one type each; blank lines and byte order marks are left out", () =>
    Effect.gen(function*() {
      const spaced = "{ \"resourceType\" : \"Group\" }\r\n"
      const text = `\uFEFF${patients(0, 3)}\r\n\n${spaced}${line("Group", "ä😀")}\uFEFF${
        line("Patient", "x").trimEnd()
      }`
      const { all, error } = yield* read(server(text))
      assert.isUndefined(error)
      assert.deepStrictEqual(all.map(({ count, line, resourceType }) => [resourceType, count, line]), [
        ["Patient", 1, 1],
        ["Patient", 2, 2],
        ["Group", 2, 6],
        ["Patient", 1, 8]
      ])
      assert.strictEqual(textOf(all), `${patients(0, 3)}${spaced}${line("Group", "ä😀")}${line("Patient", "x")}`)
      assert.deepInclude(all.at(-1)?.position, { line: 8, offset: encoder.encode(text).length, resources: 6 })
      assert.deepStrictEqual(
        all.flatMap(({ items }) => items.map(({ line, resource }) => [line, resource.resourceType])),
        [[1, "Patient"], [2, "Patient"], [3, "Patient"], [6, "Group"], [7, "Group"], [8, "Patient"]]
      )
    }))

  it.effect("lines before a malformed one are delivered, and the error names its number", () =>
    Effect.gen(function*() {
      for (
        const bad of [
          "{\"id\":\"a\"}",
          "{\"resourceType\":\"Patient\",}",
          "{\"resourceType\":\"Patient\"}}",
          "\"\u0001\""
        ]
      ) {
        const { all, error } = yield* read(server(`${patients(0, 40)}${bad}\n${patients(40, 50)}`, 100))
        assert.strictEqual(textOf(all), patients(0, 40))
        assert.deepInclude(error, { reason: "MalformedLine", line: 41 })
      }
    }))

  it.effect("a line that is too long ends the lines before it", () =>
    Effect.gen(function*() {
      const { all, error } = yield* read(
        server(`${patients(0, 3)}${line("Patient", "x".repeat(100))}${patients(3, 4)}`),
        {
          maxLineBytes: 100
        }
      )
      assert.strictEqual(textOf(all), patients(0, 3))
      assert.deepInclude(error, { reason: "LineTooLong", line: 4 })
    }))

  it.effect("the resources are counted, and a wrong count is an error", () =>
    Effect.gen(function*() {
      assert.isUndefined((yield* read(server(patients(0, 30), 99, { count: 30 }))).error)
      assert.deepInclude((yield* read(server(patients(0, 30), 99, { count: 29 }))).error, { reason: "WrongCount" })
      assert.deepInclude((yield* read(server(patients(0, 30), 99, { count: 31 }))).error, { reason: "Truncated" })
    }))

  it.effect("headers of organized files are left out, and name the organizer", () =>
    Effect.gen(function*() {
      const header = (id: string) =>
        `${
          JSON.stringify({
            resourceType: "Parameters",
            parameter: [{ name: "header", valueReference: { reference: `Patient/${id}` } }]
          })
        }\n`
      const parameters = `{"resourceType":"Parameters"}\n`
      const text = header("a") + patients(1, 3) + header("b") + header("c") + parameters + patients(3, 4)
      const { all, error } = yield* read(server(text, 1_000, { outputOrganizedBy: "Patient", count: 4 }))
      assert.isUndefined(error)
      assert.deepStrictEqual(all.map(({ bytes, organizer }) => [organizer, decoder.decode(bytes)]), [
        ["Patient/a", patients(1, 3)],
        ["Patient/c", parameters],
        ["Patient/c", patients(3, 4)]
      ])
    }))

  it.effect.prop(
    "however a file is cut into pieces, a checkpoint of any lines neither loses nor repeats bytes",
    [
      FastCheck.array(
        FastCheck.tuple(
          FastCheck.constantFrom("Patient", "Group", "Parameters"),
          FastCheck.string({ unit: "grapheme", maxLength: 8 }),
          FastCheck.constantFrom("", "\n", " \r\n")
        ),
        { minLength: 1, maxLength: 12 }
      ),
      FastCheck.integer({ min: 1, max: 200 }),
      FastCheck.nat()
    ],
    ([resources, size, at]) =>
      Effect.gen(function*() {
        const text = resources.map(([type, id, blank]) => `${line(type, id)}${blank}`).join("")
        const expected = resources.map(([type, id]) => line(type, id)).join("")
        const { all } = yield* read(server(text, size))
        assert.strictEqual(textOf(all), expected)
        const before = all.slice(0, at % all.length + 1)
        const { all: after, error } = yield* read(server(text, size), { from: before.at(-1)?.checkpoint })
        assert.isUndefined(error)
        assert.strictEqual(textOf([...before, ...after]), expected)
        const items = yield* Stream.runCollect(BulkExport.run(yield* written(server(text, size))))
        assert.strictEqual(Chunk.toReadonlyArray(items).map((item) => `${item.text}\n`).join(""), expected)
        assert.deepStrictEqual(
          Chunk.toReadonlyArray(items).map(({ resource }) => [resource.resourceType, resource["id"]]),
          resources.map(([type, id]) => [type, id])
        )
      }),
    { fastCheck: { numRuns: 40 } }
  )
})

describe("the lines of a batch", () => {
  it.effect("are cut at its size, also within a piece, and its checkpoint is after them", () =>
    Effect.gen(function*() {
      const text = `${patients(0, 10)}${line("Group", "g")}${patients(10, 25)}`
      const batches: Array<BulkExport.Batch> = []
      const store = (batch: BulkExport.Batch) => Effect.sync(() => void batches.push(batch))
      yield* BulkExport.runForEachBatch(yield* written(server(text, 400)), store, { batchSize: 7 })
      assert.deepStrictEqual(batches.map(({ items }) => items.length), [7, 7, 7, 5])
      assert.deepStrictEqual(batches.map(({ lines }) => lines.reduce((sum, { count }) => sum + count, 0)), [7, 7, 7, 5])
      assert.strictEqual(batches.map(({ lines }) => textOf(lines)).join(""), text)
      for (const [index, { checkpoint, items, lines }] of batches.entries()) {
        assert.deepStrictEqual(checkpoint.positions, items.at(-1)?.checkpoint.positions)
        assert.strictEqual(items.map((item) => `${item.text}\n`).join(""), textOf(lines))
        const { all } = yield* read(server(text, 333), { from: checkpoint })
        assert.strictEqual(textOf(all), batches.slice(index + 1).map((later) => textOf(later.lines)).join(""))
      }
    }))

  it.effect("of a size that is not a whole number have the whole number below it, and at least one resource", () =>
    Effect.gen(function*() {
      for (
        const [batchSize, sizes] of [[2.5, [2, 2, 1]], [0, [1, 1, 1, 1, 1]], [NaN, [1, 1, 1, 1, 1]], [Infinity, [
          5
        ]]] as const
      ) {
        const found: Array<number> = []
        const store = ({ items }: BulkExport.Batch) => Effect.sync(() => void found.push(items.length))
        yield* BulkExport.runForEachBatch(yield* written(server(patients(0, 5), 400)), store, { batchSize })
        assert.deepStrictEqual(found, [...sizes])
      }
    }))
})
