import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport, RetryPolicy } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { backend, base, sandbox, token, written } from "./fixtures.js"

const line = (id: string) => `${JSON.stringify({ resourceType: "Patient", id })}\n`
const lines = (count: number, prefix = "p") =>
  Array.from({ length: count }, (_, index) => line(`${prefix}${index + 1}`)).join("")
const idOf = ({ resource }: BulkExport.Item) => String(resource["id"])

/** A server with these files (by URL), after `polls` answers of 202. */
const server = (
  files: Readonly<Record<string, (seen: Http.SentRequest) => Http.FakeResponse>>,
  options: { readonly manifest?: Readonly<Record<string, unknown>>; readonly polls?: number } = {}
) => {
  let polls = options.polls ?? 0
  return Http.fake((seen) => {
    const { method, url } = seen
    if (url.includes("$export")) {
      return Http.text("", { status: 202, headers: { "content-location": `${base}/status/1` } })
    }
    if (method === "DELETE") return Http.text("", { status: 202 })
    if (url === `${base}/status/1`) {
      return polls-- > 0
        ? Http.text("", { status: 202, headers: { "retry-after": "120", "x-progress": "reading" } })
        : Http.json({
          transactionTime: "2024-05-01T00:00:00Z",
          requiresAccessToken: true,
          output: Object.keys(files).map((url) => ({ type: "Patient", url })),
          error: [],
          ...options.manifest
        })
    }
    return files[url]?.(seen) ?? Http.text("", { status: 404 })
  })
}

const file = (index: number) => `${base}/files/${index}.ndjson`

const failure = (status: number, code: string, headers: Readonly<Record<string, string>> = {}) =>
  Http.json({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] }, { status, headers })

/** What came before the end, and the error. */
const failing = <E, R>(stream: Stream.Stream<BulkExport.Item, E, R>) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const error = yield* Effect.flip(Stream.runForEach(stream, (item) => Effect.sync(() => seen.push(idOf(item)))))
    return { seen, error }
  })

/** With the test's clock moving on by itself. */
const inTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

describe("BulkExport", () => {
  it.effect("[SMART-264] `run` starts an export, waits for it, and reads all resources of the sandbox", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const progress: Array<BulkExport.Progress> = []
      const checkpoints: Array<BulkExport.Checkpoint> = []
      const items = yield* inTime(Stream.runCollect(BulkExport.run(fhir, {
        types: ["Patient", "Observation"],
        onProgress: (one) => Effect.sync(() => void progress.push(one)),
        onStart: (one) => Effect.sync(() => void checkpoints.push(one)),
        onFinish: "delete"
      })))
      assert.strictEqual(new Set(Chunk.toReadonlyArray(items).map(idOf)).size, 15)
      assert.strictEqual(items.length, 15)
      assert.deepStrictEqual(progress.map(({ message, phase }) => [phase, message]), [
        ["Waiting", "half done"],
        ["Reading", undefined],
        ["Reading", undefined],
        ["Reading", undefined],
        ["Done", undefined]
      ])
      assert.deepInclude(progress.at(-1), { files: 4, filesDone: 4, resources: 15, expected: 15 })
      assert.deepStrictEqual(checkpoints.map(({ job }) => [job.files.length, job.isComplete]), [[0, false]])
      assert.strictEqual(
        Chunk.toReadonlyArray(items).at(-1)?.checkpoint.job.transactionTime,
        "2024-05-01T00:00:00Z"
      )
      const [kickOff] = (yield* ehr.requests).filter(({ step }) => step === "fhir")
      assert.deepInclude(kickOff?.headers, { accept: "application/fhir+json", prefer: "respond-async" })
      assert.strictEqual(kickOff?.query["_type"], "Patient,Observation")
      assert.strictEqual((yield* ehr.requests).filter(({ method }) => method === "DELETE").length, 1)
    }).pipe(Effect.provide(backend())))

  it.effect("what is asked for: a group, patients, since, filters", () =>
    Effect.gen(function*() {
      const http = server({})
      const fhir = yield* written(http)
      const options = { since: "2024-01-01T00:00:00Z", typeFilters: ["Observation?category=vital-signs"] }
      yield* Stream.runDrain(BulkExport.run(fhir, { of: { group: "g1" }, ...options }))
      yield* Stream.runDrain(BulkExport.run(fhir, { of: "patients", params: { _outputFormat: "ndjson" } }))
      const asked = http.requests.filter(({ url }) => url.includes("$export")).map(({ url }) => url)
      assert.deepStrictEqual(asked, [
        `${base}/Group/g1/$export?_since=2024-01-01T00%3A00%3A00Z&_typeFilter=Observation%3Fcategory%3Dvital-signs`,
        `${base}/Patient/$export?_outputFormat=ndjson`
      ])
      const { error } = yield* failing(BulkExport.run(fhir, { of: { group: "../x" } }))
      assert.strictEqual(error.reason, "InvalidReference")
    }))

  it.effect("`run` waits for `Retry-After`, also of a 429, and at most for `timeout`", () =>
    Effect.gen(function*() {
      const http = server({ [file(0)]: () => Http.text(lines(1)) }, { polls: 2 })
      const fhir = yield* written(http)
      yield* inTime(Stream.runDrain(BulkExport.run(fhir)))
      const polls = http.requests.filter(({ method, url }) => method === "GET" && url.endsWith("/status/1")).map((
        { at }
      ) => at / 1000)
      assert.deepStrictEqual(polls, [0, 120, 240])

      const busy = Http.script(
        () => Http.text("", { status: 202, headers: { "content-location": "status/1" } }),
        () => Http.text("", { status: 429, headers: { "retry-after": "300" } }),
        () => Http.json({ output: [] })
      )
      yield* inTime(Effect.flatMap(written(busy), (fhir) => Stream.runDrain(BulkExport.run(fhir))))
      assert.deepStrictEqual(busy.times(), [0, 0, 300, 300])

      const slow = yield* written(server({}, { polls: 1_000 }))
      const { error } = yield* inTime(failing(BulkExport.run(slow, { timeout: "10 minutes" })))
      assert.strictEqual(error.reason, "TimedOut")
    }))

  it.effect("a kick-off that the server may have processed is not retried; an invalid response is an error", () =>
    Effect.gen(function*() {
      for (
        const [answer, reason, sent] of [
          [() => new Http.ConnectionFailure("ECONNRESET"), "Unreachable", 1],
          [() => Http.text("", { status: 503 }), "Unavailable", 3],
          [() => Http.text("", { status: 403 }), "Forbidden", 1],
          [() => Http.json({ resourceType: "Bundle" }), "NotFhir", 1],
          [() => Http.text("", { status: 202 }), "NotFhir", 1]
        ] as const
      ) {
        const http = Http.script(answer)
        const fhir = yield* written(http, { retry: RetryPolicy.transient })
        const { error } = yield* inTime(failing(BulkExport.run(fhir)))
        assert.deepStrictEqual([error.reason, http.requests.length], [reason, sent])
      }
      for (const manifest of [{ output: "x" }, { output: undefined }, { output: [{ type: "Patient" }] }]) {
        const { error } = yield* Effect.flatMap(
          written(server({}, { manifest })),
          (fhir) => failing(BulkExport.run(fhir))
        )
        assert.strictEqual(error.reason, "NotFhir")
      }
    }))

  it.effect("[SMART-267] [SMART-268] the token does not go to a foreign status URL or a foreign file", () =>
    Effect.gen(function*() {
      const status = Http.script(() =>
        Http.text("", { status: 202, headers: { "content-location": "https://evil.example/status" } })
      )
      const first = yield* failing(BulkExport.run(yield* written(status)))
      assert.strictEqual(first.error.reason, "ForeignLink")
      for (
        const url of ["https://files.example/1?sig=SECRET", `${base}-evil/1`, "//files.example/1", `${base}/..%2f1`]
      ) {
        const http = server({ [url]: () => Http.text(lines(1)) })
        const { error } = yield* failing(BulkExport.run(yield* written(http)))
        assert.deepStrictEqual([error.reason, error.file?.index, error.file?.type], ["ForeignFile", 0, "Patient"])
        assert.notInclude(error.message, "SECRET")
        assert.isTrue(
          http.requests.every(({ headers, url }) => url.startsWith(`${base}/`) || !headers["authorization"])
        )
      }
    }))

  it.effect("[SMART-98] `foreignOrigins` allows files of another origin; `requiresAccessToken: false` omits the token", () =>
    Effect.gen(function*() {
      const url = "https://files.example/1"
      const sentTo = (settings: Parameters<typeof written>[1], requiresAccessToken: boolean, at = url) =>
        Effect.gen(function*() {
          const http = server({ [at]: () => Http.text(lines(2)) }, { manifest: { requiresAccessToken } })
          assert.strictEqual(yield* Stream.runCount(BulkExport.run(yield* written(http, settings))), 2)
          return http.requests.find((seen) => seen.url === at)?.headers["authorization"]
        })
      const origin = "https://files.example"
      assert.isUndefined(yield* sentTo({ foreignOrigins: { [origin]: "anonymous" } }, true))
      assert.isUndefined(yield* sentTo({ foreignOrigins: { [origin]: "token" } }, false))
      assert.strictEqual(yield* sentTo({ foreignOrigins: { [origin]: "token" } }, true), `Bearer ${token}`)
      assert.strictEqual(yield* sentTo({}, true, file(0)), `Bearer ${token}`)
      assert.isUndefined(yield* sentTo({}, false, file(0)))
      assert.isUndefined(yield* sentTo({}, false, "https://ehr.example/export-files/1"))
    }))

  it.effect.each<[string, string, number | undefined, () => Http.FakeResponse, ReadonlyArray<string>]>([
    ["404", "NotFound", undefined, () => Http.text("", { status: 404 }), []],
    ["more lines than promised", "WrongCount", 6, () => Http.text(lines(5)), ["p1", "p2", "p3", "p4", "p5"]],
    ["403", "Forbidden", undefined, () => Http.text("", { status: 403 }), []],
    ["500 with an OperationOutcome", "Unavailable", undefined, () => failure(500, "processing"), []],
    ["cut off in a line", "Truncated", 3, () => Http.text(lines(2) + line("x").slice(0, -5)), ["p1", "p2"]],
    ["a malformed line", "MalformedLine", 2, () => Http.text(`${lines(1)}<html>\n${lines(1)}`), ["p1"]],
    ["a line of 10 MB", "LineTooLong", 2, () => Http.text(lines(1) + line("x".repeat(10_000_000))), ["p1"]],
    ["fewer lines than promised", "Truncated", 3, () => Http.text(lines(2)), ["p1", "p2"]]
  ])("a file fault is typed and says where: %s", ([what, reason, at, answer, before]) =>
    Effect.gen(function*() {
      const count = what === "fewer lines than promised" ? 5 : what === "more lines than promised" ? 4 : undefined
      const output = [{ type: "Patient", url: file(0), count }]
      const http = server({ [file(0)]: answer }, { manifest: { output } })
      const { error, seen } = yield* failing(BulkExport.run(yield* written(http)))
      assert.strictEqual(error.reason, reason)
      assert.deepStrictEqual(error.file, { index: 0, type: "Patient", url: file(0) })
      assert.strictEqual(error.line, at)
      assert.include(error.message, "file 1 (Patient)")
      assert.deepStrictEqual(seen, before)
      // It may be gone on from: nothing is cancelled.
      assert.isUndefined(http.requests.find(({ method }) => method === "DELETE"))
    }))

  it.effect("a file that stops is requested again, and is an error when the outage lasts too long", () =>
    Effect.gen(function*() {
      const hanging = () =>
        new Response(
          new ReadableStream<Uint8Array>({
            start: (controller) => controller.enqueue(new TextEncoder().encode(lines(1)))
          })
        )
      const http = server({ [file(0)]: hanging })
      const fhir = yield* written(http)
      const fiber = yield* Effect.fork(failing(BulkExport.run(fhir, { maxOutage: "1 minute" })))
      for (let round = 0; round < 10; round++) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
        yield* TestClock.adjust("31 seconds")
      }
      const { error, seen } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error.reason, seen], ["TimedOut", ["p1"]])
      assert.isAbove(http.requests.filter(({ url }) => url === file(0)).length, 1)
    }))

  it.effect("a file that breaks off is gone on with, without losing or repeating a line", () =>
    Effect.gen(function*() {
      const broken = (text: string) => {
        let sent = false
        return new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              if (sent) return controller.error(new Error("reset"))
              sent = true
              controller.enqueue(new TextEncoder().encode(text))
            }
          })
        )
      }
      let opened = 0
      const http = server({
        [file(0)]: () => ++opened === 1 ? broken(lines(3) + line("p4").slice(0, 10)) : Http.text(lines(5))
      })
      const fhir = yield* written(http, { retry: RetryPolicy.transient })
      const items = yield* inTime(Stream.runCollect(BulkExport.run(fhir)))
      assert.deepStrictEqual(Chunk.toReadonlyArray(items).map(idOf), ["p1", "p2", "p3", "p4", "p5"])
      assert.strictEqual(opened, 2)
    }))

  it.effect("[SMART-263] a token that expires in the middle is renewed, and the export goes on", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const seen: Array<string> = []
      yield* inTime(
        BulkExport.run(fhir, { types: ["Observation"], concurrency: 1 }).pipe(
          Stream.runForEach((item) =>
            Effect.zipRight(
              Effect.sync(() => seen.push(idOf(item))),
              seen.length % 4 === 0
                ? Effect.flatMap(ehr.issued, (all) => Effect.forEach(all, (one) => ehr.revoke(one)))
                : Effect.void
            )
          )
        )
      )
      assert.strictEqual(new Set(seen).size, 12)
      assert.strictEqual(seen.length, 12)
      assert.isAbove((yield* ehr.issued).length, 1)
    }).pipe(Effect.provide(backend())))

  it.effect("deleted and error files are told apart", () =>
    Effect.gen(function*() {
      const urls = {
        [file(0)]: () => Http.text(lines(1)),
        [file(1)]: () => Http.text(lines(1)),
        [file(2)]: () => Http.text(lines(1))
      }
      const http = server(urls, {
        manifest: {
          output: [{ type: "Patient", url: file(0) }],
          deleted: [{ url: file(1) }],
          error: [{ url: file(2) }]
        }
      })
      const items = yield* Stream.runCollect(BulkExport.run(yield* written(http), { concurrency: 1 }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(items).map(({ kind, type }) => `${kind} ${type}`), [
        "output Patient",
        "deleted Bundle",
        "error OperationOutcome"
      ])
    }))

  it.effect("no more files at once than allowed", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const slow = () =>
        Effect.gen(function*() {
          most = Math.max(most, ++running)
          yield* Effect.sleep("1 second")
          running -= 1
          return Http.text(lines(2))
        })
      const http = server(Object.fromEntries(Array.from({ length: 8 }, (_, index) => [file(index), slow])))
      assert.strictEqual(yield* inTime(Stream.runCount(BulkExport.run(yield* written(http), { concurrency: 2 }))), 16)
      assert.strictEqual(most, 2)
    }))

  describe("interruption", () => {
    const cancelled = (
      options: BulkExport.Options,
      leave: (stream: Stream.Stream<BulkExport.Item, unknown>) => Effect.Effect<unknown, unknown>
    ) =>
      Effect.gen(function*() {
        const http = server({ [file(0)]: () => Http.text(lines(5)) }, { polls: options.timeout === undefined ? 0 : 5 })
        yield* leave(BulkExport.run(yield* written(http), options))
        return http.requests.filter(({ method }) => method === "DELETE").map(({ url }) => url)
      })
    const interrupted = (stream: Stream.Stream<BulkExport.Item, unknown>) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Stream.runDrain(stream))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.interrupt(fiber)
      })

    it.effect("while the server is at work: it is told, unless it should keep the export", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* cancelled({ timeout: "1 day" }, interrupted), [`${base}/status/1`])
        assert.deepStrictEqual(yield* cancelled({ timeout: "1 day", onInterrupt: "keep" }, interrupted), [])
      }))

    it.effect("in the middle of a file, and when the stream is left early", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* cancelled({}, (stream) => Stream.runDrain(Stream.take(stream, 2)))).length, 1)
        const stuck = (stream: Stream.Stream<BulkExport.Item, unknown>) =>
          interrupted(Stream.mapEffect(stream, () => Effect.never))
        assert.strictEqual((yield* cancelled({}, stuck)).length, 1)
        assert.strictEqual((yield* cancelled({ onFinish: "keep" }, Stream.runDrain)).length, 0)
      }))
  })

  describe("resume", () => {
    const CheckpointJson = Schema.parseJson(BulkExport.Checkpoint)
    const files = Object.fromEntries(
      Array.from({ length: 4 }, (_, index) => [file(index), () => Http.text(lines(10, `f${index}-`))])
    )

    it.effect("a checkpoint of any item, encoded as JSON, neither loses nor repeats resources", () =>
      Effect.gen(function*() {
        for (const concurrency of [1, 3]) {
          for (let stop = 1; stop < 40; stop += 3) {
            const http = server(files)
            const fhir = yield* written(http)
            const before = Chunk.toReadonlyArray(
              yield* Stream.runCollect(Stream.take(BulkExport.run(fhir, { concurrency, onInterrupt: "keep" }), stop))
            )
            const saved = yield* Schema.encode(CheckpointJson)(before.at(-1)!.checkpoint)
            assert.notInclude(saved, token)
            const from = yield* Schema.decode(CheckpointJson)(saved)
            const after = Chunk.toReadonlyArray(yield* Stream.runCollect(BulkExport.run(fhir, { from, concurrency })))
            const ids = [...before, ...after].map(idOf)
            assert.strictEqual(ids.length, 40, `after ${stop}`)
            assert.strictEqual(new Set(ids).size, 40, `after ${stop}`)
            assert.strictEqual(http.requests.filter(({ url }) => url.includes("$export")).length, 1)
          }
        }
      }))

    it.effect("an export of 200,000 files that were already read ends in time", () =>
      Effect.gen(function*() {
        const indices = Array.from({ length: 200_000 }, (_, index) => index)
        const from = new BulkExport.Checkpoint({
          job: new BulkExport.Job({
            version: 1,
            statusUrl: `${base}/status/1`,
            manifests: [`${base}/status/1`],
            files: indices.map((index) => ({
              kind: "output",
              type: "Patient",
              url: file(index),
              requiresAccessToken: true
            }))
          }),
          positions: { open: {}, done: [[0, 199_999]] }
        })
        const http = server({})
        assert.strictEqual(yield* Stream.runCount(BulkExport.run(yield* written(http), { from })), 0)
        assert.isFalse(http.requests.some(({ url }) => url.includes("/files/")))
      }), 15_000)

    it.effect("from before the manifest: the server is asked on, not anew; what is done is not fetched again", () =>
      Effect.gen(function*() {
        const http = server(files)
        const fhir = yield* written(http)
        const saved: Array<BulkExport.Checkpoint> = []
        const onStart = (one: BulkExport.Checkpoint) => Effect.sync(() => void saved.push(one))
        const all = yield* Stream.runCollect(BulkExport.run(fhir, { onStart, concurrency: 1 }))
        const [first] = saved
        assert.deepStrictEqual(first?.job.files, [])
        assert.strictEqual(yield* Stream.runCount(BulkExport.run(fhir, { from: first })), 40)
        assert.strictEqual(http.requests.filter(({ url }) => url.includes("$export")).length, 1)

        const fetched = () => http.requests.filter(({ url }) => url === file(0)).length
        const before = fetched()
        const middle = Chunk.toReadonlyArray(all)[15]?.checkpoint
        assert.deepStrictEqual(middle?.positions.done, [[0, 0]])
        assert.strictEqual(yield* Stream.runCount(BulkExport.run(fhir, { from: middle })), 24)
        assert.strictEqual(fetched(), before)
      }))
  })

  it.effect("nothing is asked for before the stream is run", () =>
    Effect.gen(function*() {
      const http = server({ [file(0)]: () => Http.text(lines(3)) })
      const stream = BulkExport.run(yield* written(http))
      assert.strictEqual(http.requests.length, 0)
      assert.strictEqual(yield* Stream.runCount(stream), 3)
    }))
})
