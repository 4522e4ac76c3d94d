/** The requests and responses of Bulk Data Access 2.0 and 3.0, as far as a server can vary them. */
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport, ConformanceWarning } from "effect-safire"
import * as Http from "../support/http.js"
import { base, token, written } from "./fixtures.js"

const statusUrl = `${base}/status/1`
const file = (index: number) => `${base}/files/${index}.ndjson`
const line = (id: string) => `${JSON.stringify({ resourceType: "Patient", id })}\n`
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => line(`p${from + index}`)).join("")
const outcome = (status: number, code: string, headers: Readonly<Record<string, string>> = {}) =>
  Http.json({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] }, { status, headers })
const complete = (manifest: Readonly<Record<string, unknown>> = {}, headers: Readonly<Record<string, string>> = {}) =>
  Http.json({
    transactionTime: "2024-05-01T00:00:00Z",
    requiresAccessToken: true,
    output: [{ type: "Patient", url: file(0) }],
    error: [],
    ...manifest
  }, { headers })

interface Script {
  readonly kickOff?: () => Http.FakeResponse
  /** The responses to status requests in turn; the last one for all others. */
  readonly status?: ReadonlyArray<() => Http.FakeResponse>
  readonly remove?: () => Http.FakeResponse
  readonly file?: (seen: Http.SentRequest, index: number) => Http.FakeResponse
}

const server = ({ file, kickOff, remove, status = [() => complete()] }: Script) => {
  let polls = 0
  const opened = new Map<string, number>()
  return Http.fake((seen) => {
    const { method, url } = seen
    if (url.includes("$export")) {
      return kickOff?.() ?? Http.text("", { status: 202, headers: { "content-location": statusUrl } })
    }
    if (method === "DELETE") return remove?.() ?? Http.text("", { status: 202 })
    if (url.startsWith(`${base}/status/`)) {
      return (status[Math.min(polls++, status.length - 1)] ?? (() => complete()))()
    }
    const index = opened.get(url) ?? 0
    opened.set(url, index + 1)
    return file?.(seen, index) ?? Http.text(lines(1, 2))
  })
}

/** The ids of all items, the error, and the progress reports; the clock moves on by itself. */
const exported = (http: Http.Fake, options: BulkExport.Options = {}, settings: Parameters<typeof written>[1] = {}) =>
  Effect.gen(function*() {
    const fhir = yield* written(http, settings)
    const items: Array<BulkExport.Item> = []
    const progress: Array<BulkExport.Progress> = []
    const run = Stream.runForEach(
      BulkExport.run(fhir, {
        concurrency: 1,
        onProgress: (one) => Effect.sync(() => void progress.push(one)),
        ...options
      }),
      (item) => Effect.sync(() => void items.push(item))
    )
    const fiber = yield* Effect.fork(Effect.either(run))
    yield* TestClock.adjust("2 days")
    const result = yield* Fiber.join(fiber)
    return {
      items,
      ids: items.map(({ resource }) => String(resource["id"])),
      progress,
      error: result._tag === "Left" ? result.left : undefined
    }
  })

const requests = (http: Http.Fake, part: string, method = "GET") =>
  http.requests.filter((seen) => seen.method === method && seen.url.includes(part))

describe("the kick-off of a bulk export", () => {
  const everything: BulkExport.Options = {
    of: { group: "g1" },
    types: ["Patient", "Observation"],
    since: "2024-01-01T00:00:00Z",
    until: "2024-02-01T00:00:00Z",
    typeFilters: ["Observation?code=1,2", "Observation?status=final"],
    elements: ["Patient.name", "id"],
    includeAssociatedData: ["LatestProvenanceResources", "_own"],
    organizeOutputBy: "Patient",
    allowPartialManifests: true,
    outputFormat: "application/fhir+ndjson",
    handling: "lenient",
    params: { _x: ["a", "b"], _n: 3 }
  }

  it.effect("a GET has all parameters; filters are repeated, because they may contain commas", () =>
    Effect.gen(function*() {
      const http = server({})
      yield* exported(http, everything)
      const [seen] = http.requests
      const url = new URL(seen?.url ?? "")
      assert.strictEqual(url.pathname, "/fhir/Group/g1/$export")
      assert.deepStrictEqual([...url.searchParams], [
        ["_outputFormat", "application/fhir+ndjson"],
        ["_since", "2024-01-01T00:00:00Z"],
        ["_until", "2024-02-01T00:00:00Z"],
        ["_type", "Patient,Observation"],
        ["_typeFilter", "Observation?code=1,2"],
        ["_typeFilter", "Observation?status=final"],
        ["_elements", "Patient.name,id"],
        ["includeAssociatedData", "LatestProvenanceResources"],
        ["includeAssociatedData", "_own"],
        ["organizeOutputBy", "Patient"],
        ["allowPartialManifests", "true"],
        ["_x", "a"],
        ["_x", "b"],
        ["_n", "3"]
      ])
      assert.strictEqual(seen?.headers["prefer"], "respond-async, handling=lenient")
      assert.strictEqual(seen?.headers["accept"], "application/fhir+json")
    }))

  it.effect("a POST sends a Parameters resource with the types of the operation; `patients` implies it", () =>
    Effect.gen(function*() {
      const http = server({})
      yield* exported(http, { ...everything, patients: ["Patient/1", "2"] })
      const [seen] = http.requests
      assert.deepStrictEqual([seen?.method, seen?.url], ["POST", `${base}/Group/g1/$export`])
      assert.deepStrictEqual(JSON.parse(seen?.body ?? ""), {
        resourceType: "Parameters",
        parameter: [
          { name: "_outputFormat", valueString: "application/fhir+ndjson" },
          { name: "_since", valueInstant: "2024-01-01T00:00:00Z" },
          { name: "_until", valueInstant: "2024-02-01T00:00:00Z" },
          { name: "_type", valueString: "Patient,Observation" },
          { name: "_typeFilter", valueString: "Observation?code=1,2" },
          { name: "_typeFilter", valueString: "Observation?status=final" },
          { name: "_elements", valueString: "Patient.name,id" },
          { name: "includeAssociatedData", valueCode: "LatestProvenanceResources" },
          { name: "includeAssociatedData", valueCode: "_own" },
          { name: "organizeOutputBy", valueString: "Patient" },
          { name: "allowPartialManifests", valueBoolean: true },
          { name: "patient", valueReference: { reference: "Patient/1" } },
          { name: "patient", valueReference: { reference: "Patient/2" } },
          { name: "_x", valueString: "a" },
          { name: "_x", valueString: "b" },
          { name: "_n", valueInteger: 3 }
        ]
      })
    }))

  it.effect.each<[string, BulkExport.Options, string]>([
    ["patients of the whole system", { patients: ["1"] }, "InvalidRequest"],
    ["patients by GET", { of: "patients", patients: ["1"], method: "GET" }, "InvalidRequest"],
    ["a patient that is not a reference", { of: "patients", patients: ["Group/1"] }, "InvalidReference"],
    ["a patient that leaves the path", { of: "patients", patients: ["Patient/../x"] }, "InvalidReference"],
    ["a type with a comma", { types: ["Patient,Group"] }, "InvalidReference"],
    ["a format that is not NDJSON", { outputFormat: "application/fhir+parquet" }, "InvalidRequest"]
  ])("an invalid request is not sent: %s", ([, options, reason]) =>
    Effect.gen(function*() {
      const http = server({})
      const { error } = yield* exported(http, options)
      assert.deepStrictEqual([error?.reason, error?.processed, http.requests.length], [reason, "no", 0])
    }))
})

describe("status requests of a bulk export", () => {
  it.effect.each<[string, () => Http.FakeResponse]>([
    ["500 without an OperationOutcome", () => Http.text("<html>", { status: 500 })],
    ["502", () => Http.text("", { status: 502 })],
    ["500 with a transient issue", () => outcome(500, "transient")],
    ["400 with a transient issue", () => outcome(400, "transient")],
    ["200 with a transient issue", () => outcome(200, "transient")],
    ["429 without Retry-After", () => outcome(429, "throttled")],
    ["a broken connection", () => new Http.ConnectionFailure("ECONNRESET")]
  ])("a temporary failure does not end the export, and is reported: %s", ([, answer]) =>
    Effect.gen(function*() {
      const http = server({ status: [answer, answer, () => complete()] })
      const { error, ids, progress } = yield* exported(http)
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, ["p1", "p2"])
      const waits = progress.filter(({ phase }) => phase === "Waiting")
      assert.deepStrictEqual(waits.map(({ delay, error }) => [delay && Duration.toSeconds(delay), error?._tag]), [
        [1, "FhirError"],
        [2, "FhirError"]
      ])
      assert.include(waits[0]?.error?.message, "https://ehr.example/fhir")
    }))

  it.effect.each<[string, () => Http.FakeResponse, string]>([
    ["500 with an OperationOutcome", () => outcome(500, "processing"), "Unavailable"],
    ["404", () => outcome(404, "not-found"), "NotFound"],
    ["410", () => Http.text("", { status: 410 }), "Gone"],
    ["400", () => outcome(400, "invalid"), "Refused"],
    ["200 with a page", () => Http.text("<html>"), "NotFhir"],
    ["200 with an OperationOutcome", () => outcome(200, "processing"), "Refused"],
    ["files that are not NDJSON", () => complete({ outputFormat: "application/fhir+parquet" }), "NotFhir"]
  ])("a final failure ends the export at once: %s", ([, answer, reason]) =>
    Effect.gen(function*() {
      const http = server({ status: [answer] })
      const { error } = yield* exported(http)
      assert.strictEqual(error?.reason, reason)
      assert.strictEqual(requests(http, "/status/").length, 1)
      assert.strictEqual(requests(http, "/status/", "DELETE").length, 0)
    }))

  it.effect("an outage is waited out with growing delays, and ends the export after `maxOutage`", () =>
    Effect.gen(function*() {
      const down = server({ status: [() => new Http.ConnectionFailure("ECONNREFUSED")] })
      const { error } = yield* exported(down, { maxOutage: "5 minutes" })
      assert.strictEqual(error?.reason, "Unreachable")
      const times = requests(down, "/status/").map(({ at }) => at / 1000)
      assert.deepStrictEqual(times.slice(0, 8), [0, 1, 3, 7, 15, 31, 63, 123])
      assert.strictEqual(times.at(-1), 303)
      const none = server({ status: [() => new Http.ConnectionFailure("ECONNREFUSED")] })
      yield* exported(none, { maxOutage: 0 })
      assert.strictEqual(requests(none, "/status/").length, 1)
    }))

  it.effect("an absurd Retry-After is shortened to `maxRetryAfter`, one of zero is ignored, and the reports have both", () =>
    Effect.gen(function*() {
      const busy = (retryAfter: string) => () =>
        Http.text("", { status: 202, headers: { "retry-after": retryAfter, "x-progress": "10% done" } })
      const http = server({
        status: [busy("86400"), () => outcome(429, "throttled", { "retry-after": "7200" }), busy("0"), () => complete()]
      })
      const { progress } = yield* exported(http, { maxRetryAfter: "10 minutes" })
      assert.deepStrictEqual(requests(http, "/status/").map(({ at }) => at / 1000), [0, 600, 1200, 1203])
      const waits = progress.filter(({ phase }) => phase === "Waiting")
      assert.deepStrictEqual(waits.map(({ message }) => message), ["10% done", undefined, "10% done"])
      assert.deepStrictEqual(
        waits.map(({ retryAfter }) => retryAfter && Duration.toSeconds(retryAfter)),
        [86400, 7200, 0]
      )
      const standard = server({ status: [busy("86400"), () => complete()] })
      yield* exported(standard)
      const [first = 0, second = 0] = requests(standard, "/status/").map(({ at }) => at / 1000)
      assert.strictEqual(second - first, 900)
    }))

  it.effect("a server that asks to wait again and again does not cause an outage, but `timeout` ends the wait", () =>
    Effect.gen(function*() {
      const http = server({ status: [() => outcome(429, "throttled", { "retry-after": "600" })] })
      const { error } = yield* exported(http, { timeout: "5 hours" })
      assert.strictEqual(error?.reason, "TimedOut")
      assert.include(error?.message, "within the `timeout` of 5h")
      assert.strictEqual(requests(http, "/status/").length, 31)
    }))

  it.effect("the time in which the program reads files does not count for `timeout`", () =>
    Effect.gen(function*() {
      const http = server({
        status: [
          () => complete({ link: [{ relation: "next", url: `${base}/status/2` }] }),
          () => Http.text("", { status: 202, headers: { "retry-after": "60" } }),
          () => complete({ output: [{ type: "Patient", url: file(1) }] })
        ]
      })
      const fhir = yield* written(http)
      let read = 0
      const options = { concurrency: 1, timeout: "5 minutes" } as const
      const fiber = yield* Effect.fork(Stream.runForEach(BulkExport.run(fhir, options), () => {
        read += 1
        return Effect.sleep("1 hour")
      }))
      yield* TestClock.adjust("5 hours")
      yield* Fiber.join(fiber)
      assert.strictEqual(read, 4)
    }))

  it.effect("`X-Progress` is shown without long words, one of which may be the token", () =>
    Effect.gen(function*() {
      const http = server({
        status: [() => Http.text("", { status: 202, headers: { "x-progress": `50% for ${token}` } }), () => complete()]
      })
      const { progress } = yield* exported(http)
      assert.strictEqual(progress[0]?.message, "50% for …")
    }))

  it.effect("files of a partial manifest are read while the server is at work", () =>
    Effect.gen(function*() {
      const next = [{ relation: "next", url: `${base}/status/2` }]
      const http = server({
        status: [
          () =>
            Http.json({ requiresAccessToken: true, output: [{ type: "Patient", url: file(0) }], link: next }, {
              status: 202
            }),
          () => Http.text("", { status: 202, headers: { "retry-after": "60" } }),
          () => complete({ output: [{ type: "Patient", url: file(1), count: 2 }] })
        ]
      })
      const { ids, progress } = yield* exported(http)
      assert.deepStrictEqual(ids, ["p1", "p2", "p1", "p2"])
      const urls = http.requests.filter(({ method }) => method === "GET").map(({ url }) => url.slice(base.length))
      assert.deepStrictEqual(urls.slice(1), [
        "/status/1",
        "/files/0.ndjson",
        "/status/2",
        "/status/2",
        "/files/1.ndjson"
      ])
      assert.deepInclude(progress.at(-1), { phase: "Done", files: 2, filesDone: 2, resources: 4 })
    }))

  it.effect("a URL that is listed twice is an error that names the file", () =>
    Effect.gen(function*() {
      const http = server({
        status: [() => complete({ output: [0, 1, 2, 1].map((index) => ({ type: "Patient", url: file(index) })) })]
      })
      const { error } = yield* exported(http)
      assert.strictEqual(error?.reason, "DuplicateFile")
      assert.deepStrictEqual(error?.file, { index: 3, type: "Patient", url: file(1) })
      assert.include(error?.message, "file 4 (Patient)")
      for (const spelling of ["files/1.ndjson", `${file(1)}#2`, file(1).replace("https", "HTTPS")]) {
        const other = server({
          status: [() => complete({ output: [file(1), spelling].map((url) => ({ type: "Patient", url })) })]
        })
        assert.strictEqual((yield* exported(other)).error?.reason, "DuplicateFile", spelling)
      }
    }))

  it.effect("100,000 files in 1,000 manifests are read in linear time", () =>
    Effect.gen(function*() {
      let manifest = 0
      const http = server({
        status: [() => {
          const from = manifest++ * 100
          return complete({
            output: Array.from({ length: 100 }, (_, index) => ({ type: "Patient", url: file(from + index) })),
            ...(manifest === 1_000 ? {} : { link: [{ relation: "next", url: `${base}/status/${manifest + 1}` }] })
          })
        }]
      })
      const fhir = yield* written(http)
      let job = yield* BulkExport.start(fhir)
      while (!job.isComplete) {
        const status = yield* BulkExport.poll(fhir, job)
        assert.strictEqual(status._tag, "Manifest")
        if (status._tag === "Manifest") job = status.job
      }
      assert.strictEqual(job.files.length, 100_000)
      // The size of the positions does not depend on the number of files.
      const positions = Schema.encodeSync(Schema.parseJson(BulkExport.Positions))({
        open: { 99_998: { line: 1, offset: 2, resources: 1 } },
        done: [[0, 99_997]]
      })
      assert.isBelow(positions.length, 100)
    }), 120_000)
})

describe("the files of a bulk export", () => {
  /** Breaks the connection after a text. */
  const broken = (text: string, headers: Readonly<Record<string, string>> = {}) => {
    let sent = false
    return new Response(
      new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (sent) return controller.error(new Error("reset"))
          sent = true
          controller.enqueue(new TextEncoder().encode(text))
        }
      }),
      { headers }
    )
  }
  const all = lines(1, 5)
  const size = new TextEncoder().encode(all).length

  /** The part of the file that the request asks for. */
  const ranged = (
    { headers: { range = "" } }: Http.SentRequest,
    text = all,
    headers: Readonly<Record<string, string>> = {}
  ) => {
    const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1])
    return Http.text(text.slice(from), {
      status: 206,
      headers: { "content-range": `bytes ${from}-${size - 1}/${size}`, ...headers }
    })
  }

  it.effect("a file that breaks off continues with a range request, checked by its ETag and a newline", () =>
    Effect.gen(function*() {
      const http = server({
        file: (seen, index) => index === 0 ? broken(all.slice(0, 100), { etag: "\"v1\"" }) : ranged(seen)
      })
      const { error, ids, items } = yield* exported(http)
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, ["p1", "p2", "p3", "p4", "p5"])
      const [first, second] = requests(http, "/files/")
      assert.strictEqual(first?.headers["accept-encoding"], "gzip")
      const offset = items[1]?.position.offset ?? 0
      assert.deepInclude(second?.headers, {
        range: `bytes=${offset - 1}-`,
        "if-range": "\"v1\"",
        "accept-encoding": "identity",
        authorization: `Bearer ${token}`
      })
      assert.deepStrictEqual(items.map(({ line }) => line), [1, 2, 3, 4, 5])
      assert.strictEqual(items.at(-1)?.position.offset, size)
    }))

  it.effect.each<[string, (seen: Http.SentRequest, index: number) => Http.FakeResponse]>([
    ["the whole file", () => Http.text(all)],
    ...[400, 416, 500, 501].map((status) =>
      [
        `status ${status}`,
        (_: Http.SentRequest, index: number) => index === 1 ? Http.text("", { status }) : Http.text(all)
      ] as [string, (seen: Http.SentRequest, index: number) => Http.FakeResponse]
    ),
    ["another range", (_, index) =>
      index === 1
        ? Http.text(all, { status: 206, headers: { "content-range": `bytes 0-${size - 1}/${size}` } })
        : Http.text(all)],
    ["a compressed range", (seen, index) =>
      index === 1
        ? new Response(gzipSync(all), {
          status: 206,
          headers: {
            "content-encoding": "gzip",
            "content-range": `bytes ${/\d+/.exec(seen.headers["range"] ?? "")?.[0]}-${size}/${size}`
          }
        })
        : Http.text(all)],
    [
      "a range that does not begin after a newline",
      (seen, index) => index === 1 ? ranged(seen, all.replaceAll("\n", " ")) : Http.text(all)
    ],
    [
      "a range of another version",
      (seen, index) => index === 1 ? ranged(seen, all.replaceAll("p", "q"), { etag: "\"v2\"" }) : Http.text(all)
    ],
    ["a range after the end of the file", (seen, index) =>
      index === 1
        ? Http.text("", {
          status: 206,
          headers: { "content-range": `bytes ${/\d+/.exec(seen.headers["range"] ?? "")?.[0]}-9/10` }
        })
        : Http.text(all)],
    ["a range of a file without a known length", (seen, index) =>
      index === 1
        ? ranged(seen, all, { "content-range": `bytes ${/\d+/.exec(seen.headers["range"] ?? "")?.[0]}-160/*` })
        : Http.text(all)],
    ["a range that the transport cannot decompress", (seen, index) => {
      const { headers } = ranged(seen)
      const body = new ReadableStream({ pull: (controller) => controller.error(new Error("Z_DATA_ERROR")) })
      return index === 1 ? new Response(body, { status: 206, headers }) : Http.text(all)
    }],
    [
      "a page instead of a range",
      (seen, index) => index === 1 ? ranged(seen, all.replaceAll("{", "<")) : Http.text(all)
    ]
  ])("without range requests, the lines before are skipped: %s", ([, answer]) =>
    Effect.gen(function*() {
      const http = server({
        file: (seen, index) => index === 0 ? broken(all.slice(0, 100), { etag: "\"v1\"" }) : answer(seen, index)
      })
      const { error, ids } = yield* exported(http)
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, ["p1", "p2", "p3", "p4", "p5"])
    }))

  it.effect("a server that sends less than the range, up to the end of a line, is asked for the rest", () =>
    Effect.gen(function*() {
      const pieces = [lines(1, 3), lines(1, 4), all].map((text) => new TextEncoder().encode(text).length)
      const http = server({
        file: (seen, index) => index === 0 ? broken(all.slice(0, 100)) : ranged(seen, all.slice(0, pieces[index - 1]))
      })
      const { error, ids } = yield* exported(http)
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, ["p1", "p2", "p3", "p4", "p5"])
      assert.strictEqual(requests(http, "/files/").length, 4)
    }))

  it.effect("a line that is malformed in a range is requested without a range, and is the error then", () =>
    Effect.gen(function*() {
      const bad = all.replace("p3", "p3\"")
      const http = server({
        file: (seen, index) =>
          index === 0
            ? broken(bad.slice(0, 100))
            : seen.headers["range"] === undefined
            ? Http.text(bad)
            : ranged(seen, bad)
      })
      const { error, ids } = yield* exported(http)
      assert.deepStrictEqual(ids, ["p1", "p2"])
      assert.deepStrictEqual([error?.reason, error?.line], ["MalformedLine", 3])
      assert.strictEqual(requests(http, "/files/").length, 3)
    }))

  it.effect.each([202, 206])(
    "a file with the status %s is an error, not an empty or a short file",
    (status) =>
      Effect.gen(function*() {
        const http = server({ file: () => Http.text(status === 202 ? "" : lines(1, 1), { status }) })
        const { error, ids } = yield* exported(http)
        assert.deepStrictEqual(ids, [])
        assert.deepInclude(error, { reason: "NotFhir", status })
        assert.strictEqual(error?.file?.index, 0)
      })
  )

  it.effect("an OperationOutcome instead of a file is an error, and is requested again if it is transient", () =>
    Effect.gen(function*() {
      const http = server({ file: (_, index) => outcome(200, index === 0 ? "transient" : "exception") })
      const { error, ids } = yield* exported(http)
      assert.deepStrictEqual(ids, [])
      assert.deepStrictEqual([error?.reason, error?.file?.index, error?.line], ["Refused", 0, 1])
      assert.include(error?.message, "issues: exception")
      assert.strictEqual(requests(http, "/files/").length, 2)
      const of = (type: string) =>
        server({
          file: () => outcome(200, "exception"),
          status: [() => complete({ output: [{ type, url: file(0) }] })]
        })
      for (const type of ["OperationOutcome", "Resource"]) {
        assert.lengthOf((yield* exported(of(type))).items, 1)
      }
    }))

  it.effect("a file with other lines than before is an error, not a mixture", () =>
    Effect.gen(function*() {
      const http = server({
        file: (_, index) => index === 0 ? broken(all.slice(0, 100)) : Http.text(lines(101, 105))
      })
      const { error, ids } = yield* exported(http)
      assert.deepStrictEqual(ids, ["p1", "p2"])
      assert.deepStrictEqual([error?.reason, error?.line, error?.file?.index], ["FileChanged", 2, 0])
    }))

  it.effect("a connection that closes cleanly within a line, or before the count, is continued", () =>
    Effect.gen(function*() {
      for (const [cut, count] of [[100, undefined], [new TextEncoder().encode(lines(1, 3)).length, 5]] as const) {
        const http = server({
          status: [() => complete({ output: [{ type: "Patient", url: file(0), count }] })],
          file: (seen, index) => index === 0 ? Http.text(all.slice(0, cut)) : ranged(seen)
        })
        const { error, ids } = yield* exported(http)
        assert.isUndefined(error)
        assert.deepStrictEqual(ids, ["p1", "p2", "p3", "p4", "p5"])
      }
    }))

  it.effect("a body that is shorter than its Content-Length is truncated", () =>
    Effect.gen(function*() {
      const http = server({ file: () => Http.text(lines(1, 2), { headers: { "content-length": "500" } }) })
      const { error, ids } = yield* exported(http)
      assert.deepStrictEqual(ids, ["p1", "p2"])
      assert.deepStrictEqual([error?.reason, error?.line], ["Truncated", 3])
    }))

  it.effect("a busy server is asked again after its Retry-After; an outage is waited out", () =>
    Effect.gen(function*() {
      const http = server({
        file: (_, index) =>
          index === 0
            ? outcome(429, "throttled", { "retry-after": "100" })
            : index === 1
            ? outcome(503, "transient")
            : index === 2
            ? new Http.ConnectionFailure("ECONNREFUSED")
            : Http.text(all)
      })
      const { error, ids, progress } = yield* exported(http)
      assert.isUndefined(error)
      assert.strictEqual(ids.length, 5)
      assert.deepStrictEqual(requests(http, "/files/").map(({ at }) => at / 1000), [0, 100, 102, 106])
      assert.strictEqual(progress.filter(({ phase }) => phase === "Waiting").length, 3)
      const down = server({ file: () => Http.text("", { status: 502 }) })
      const failed = yield* exported(down, { maxOutage: "2 minutes" })
      assert.deepStrictEqual([failed.error?.reason, failed.error?.file?.index], ["Unavailable", 0])
      // At 0, 1, 3, 7, 15, 31, 63 and 123 seconds.
      assert.strictEqual(failed.error?.attempts, 8)
      assert.include(failed.error?.message, "tried 8 times")
    }))

  it.effect("a file whose server asks to wait again and again is an error after a day, not a wait for ever", () =>
    Effect.gen(function*() {
      const http = server({
        file: (_, index) =>
          index % 2 === 0 ? outcome(404, "transient") : outcome(503, "throttled", { "retry-after": "600" })
      })
      const { error } = yield* exported(http, { maxOutage: "2 minutes" })
      assert.deepStrictEqual([error?.reason, error?.file?.index], ["NotFound", 0])
      const times = requests(http, "/files/").map(({ at }) => at / 3_600_000)
      assert.isAtLeast(times.at(-1) ?? 0, 24)
      assert.isBelow(times.at(-1) ?? 0, 24.5)
    }))

  it.effect("gzip is undone, also for a transport that leaves it to the caller; broken gzip is an error", () =>
    Effect.gen(function*() {
      const compressed = gzipSync(lines(1, 1_000))
      const headers = { "content-encoding": "gzip" }
      const good = yield* exported(server({ file: () => new Response(compressed, { headers }) }))
      assert.isUndefined(good.error)
      assert.strictEqual(good.ids.length, 1_000)
      assert.strictEqual(good.items.at(-1)?.position.offset, lines(1, 1_000).length)
      const cut = yield* exported(server({ file: () => new Response(compressed.subarray(0, 500), { headers }) }))
      assert.deepStrictEqual([cut.error?.reason, cut.error?.file?.index], ["Truncated", 0])
    }))

  it.effect("gzip in parts of one byte is undone, and gzip that is cut once continues", () =>
    Effect.gen(function*() {
      const text = lines(1, 10_000)
      const compressed = gzipSync(text)
      const parts = (to: number) => {
        const sizes = [1, to - 1]
        let sent = 0
        return new Response(
          new ReadableStream({
            pull: (controller) => {
              const next = sizes.shift()
              if (next === undefined) return controller.close()
              controller.enqueue(new Uint8Array(compressed.subarray(sent, sent += next)))
            }
          })
        )
      }
      const http = server({ file: (_, index) => parts(index === 0 ? compressed.length - 5_000 : compressed.length) })
      const { error, ids } = yield* exported(http)
      assert.isUndefined(error)
      assert.strictEqual(ids.length, 10_000)
      assert.strictEqual(new Set(ids).size, 10_000)
      assert.isAbove(requests(http, "/files/").length, 1)
    }))

  it.effect("a file of messages with a wrong count is a warning; `wrongCount` makes it one for data, too", () =>
    Effect.gen(function*() {
      const issue = `${JSON.stringify({ resourceType: "OperationOutcome", issue: [] })}\n`
      const script: Script = {
        status: [() =>
          complete({
            output: [{ type: "Patient", url: file(0), count: 2 }],
            error: [{ type: "OperationOutcome", url: file(1), count: 7 }]
          })],
        file: ({ url }) => Http.text(url === file(1) ? issue : lines(1, 2))
      }
      const { ids, warnings } = yield* Effect.gen(function*() {
        const service = yield* ConformanceWarning.ConformanceWarnings
        const fiber = yield* Effect.fork(Stream.runHead(service.stream))
        yield* Effect.yieldNow()
        const { error, ids } = yield* exported(server(script))
        assert.isUndefined(error)
        return { ids, warnings: yield* Fiber.join(fiber) }
      }).pipe(Effect.provide(Layer.fresh(ConformanceWarning.layer)))
      assert.strictEqual(ids.length, 3)
      assert.deepInclude(warnings, { _tag: "Some" })
      if (warnings._tag === "Some") {
        assert.strictEqual(warnings.value.code, "ExportCountWrong")
        assert.include(warnings.value.message, "file 2 (OperationOutcome)")
      }
      const wrong = { ...script, status: [() => complete({ output: [{ type: "Patient", url: file(0), count: 9 }] })] }
      assert.strictEqual((yield* exported(server(wrong))).error?.reason, "Truncated")
      assert.isUndefined((yield* exported(server(wrong), { wrongCount: "warn" })).error)
    }))

  it.effect("files that are organized by patient: the headers are not items, also after a range request", () =>
    Effect.gen(function*() {
      const header = (id: string) =>
        `${
          JSON.stringify({
            resourceType: "Parameters",
            parameter: [{ name: "header", valueReference: { reference: `Patient/${id}` } }]
          })
        }\n`
      const text = header("a") + line("a") + line("a-1") + line("a-2") + header("b") + line("b") + line("b-1")
      const cut = (header("a") + line("a") + line("a-1")).length + 10
      const http = server({
        status: [() =>
          complete({
            outputOrganizedBy: "Patient",
            output: [{ url: file(0), count: 5, continuesInFile: file(1) }, { url: file(1), count: 1 }]
          })],
        file: ({ headers, url }, index) => {
          if (url === file(1)) return Http.text(header("b") + line("b-2"))
          if (index === 0) return broken(text.slice(0, cut))
          const from = Number(/\d+/.exec(headers["range"] ?? "")?.[0])
          return Http.text(text.slice(from), {
            status: 206,
            headers: { "content-range": `bytes ${from}-${text.length - 1}/${text.length}` }
          })
        }
      })
      const { error, items } = yield* exported(http, { organizeOutputBy: "Patient" })
      assert.isUndefined(error)
      assert.deepStrictEqual(
        items.map(({ line, organizer, resource, type }) => [line, resource["id"], organizer, type]),
        [
          [2, "a", "Patient/a", "Resource"],
          [3, "a-1", "Patient/a", "Resource"],
          [4, "a-2", "Patient/a", "Resource"],
          [6, "b", "Patient/b", "Resource"],
          [7, "b-1", "Patient/b", "Resource"],
          [2, "b-2", "Patient/b", "Resource"]
        ]
      )
      assert.deepStrictEqual(
        items[0]?.checkpoint.job.files.map(({ continuesInFile }) => continuesInFile),
        [file(1), undefined]
      )
    }))

  it.effect("files that are gone after an hour: the error names the file and the announced expiry", () =>
    Effect.gen(function*() {
      const http = server({
        status: [() =>
          complete({ output: [{ type: "Patient", url: file(0) }, { type: "Patient", url: file(1) }] }, {
            expires: "Thu, 01 Jan 1970 01:00:00 GMT"
          })],
        file: ({ at, url }) => url === file(1) && at > 3_600_000 ? Http.text("", { status: 404 }) : Http.text(all)
      })
      const fhir = yield* written(http)
      const seen: Array<BulkExport.Item> = []
      const fiber = yield* Effect.fork(Effect.flip(
        Stream.runForEach(BulkExport.run(fhir, { concurrency: 1 }), (item) => {
          seen.push(item)
          return seen.length === 5 ? Effect.sleep("2 hours") : Effect.void
        })
      ))
      yield* TestClock.adjust("3 hours")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(seen.length, 5)
      assert.strictEqual(seen.at(-1)?.checkpoint.job.expiresAt, 3_600_000)
      assert.deepStrictEqual([error.reason, error.file?.index], ["NotFound", 1])
      assert.include(error.message, "the server announced to remove the files at 1970-01-01T01:00:00.000Z")
    }))
})

describe("the deletion of a bulk export", () => {
  it.effect("an export that was read is deleted; one whose checkpoints are used is kept until `remove`", () =>
    Effect.gen(function*() {
      const simple = server({})
      yield* Stream.runDrain(BulkExport.run(yield* written(simple)))
      assert.strictEqual(requests(simple, "/status/", "DELETE").length, 1)

      const http = server({ remove: () => outcome(404, "not-found") })
      const fhir = yield* written(http)
      const checkpoints = yield* Stream.runCollect(Stream.map(BulkExport.run(fhir), ({ checkpoint }) => checkpoint))
      assert.strictEqual(requests(http, "/status/", "DELETE").length, 0)
      const last = Chunk.unsafeLast(checkpoints)
      yield* BulkExport.remove(fhir, last.job)
      assert.strictEqual(requests(http, "/status/", "DELETE").length, 1)
    }))

  it.effect("`runForEachBatch` deletes after the last batch, and never after a failure", () =>
    Effect.gen(function*() {
      const http = server({ file: () => Http.text(lines(1, 25)) })
      const events: Array<string> = []
      const fhir = yield* written(http)
      const checkpoints: Array<BulkExport.Checkpoint> = []
      yield* BulkExport.runForEachBatch(fhir, ({ checkpoint, items }) =>
        Effect.sync(() => {
          checkpoints.push(checkpoint)
          events.push(`${items.length} after ${requests(http, "/status/", "DELETE").length} deletions`)
        }), { batchSize: 10 })
      assert.deepStrictEqual(events, ["10 after 0 deletions", "10 after 0 deletions", "5 after 0 deletions"])
      assert.strictEqual(requests(http, "/status/", "DELETE").length, 1)
      const [first] = checkpoints

      const resumed: Array<unknown> = []
      yield* BulkExport.runForEachBatch(fhir, ({ items }) =>
        Effect.sync(() => void resumed.push(...items.map(({ resource }) => resource["id"]))), { from: first })
      assert.deepStrictEqual(
        resumed,
        Array.from({ length: 15 }, (_, index) =>
          `p${index + 11}`)
      )

      const failing = server({
        file: () =>
          Http.text(lines(1, 25))
      })
      const error = yield* Effect.flip(
        BulkExport.runForEachBatch(yield* written(failing), () => Effect.fail("full" as const))
      )
      assert.strictEqual(error, "full")
      assert.strictEqual(requests(failing, "/status/", "DELETE").length, 0)
    }))

  it.effect("`runForEachBatch` that is interrupted deletes the export, unless the program uses checkpoints", () =>
    Effect.gen(function*() {
      const uses: ReadonlyArray<[number, (batch: BulkExport.Batch) => unknown, BulkExport.Options]> = [
        [1, ({ items }) => items, {}],
        [0, ({ checkpoint }) => checkpoint, {}],
        [0, ({ items }) => items, { onStart: () => Effect.void }]
      ]
      for (const [deletions, use, options] of uses) {
        const http = server({})
        const fhir = yield* written(http)
        const fiber = yield* Effect.fork(
          BulkExport.runForEachBatch(
            fhir,
            (batch) => Effect.zipRight(Effect.sync(() => use(batch)), Effect.never),
            options
          )
        )
        yield* TestClock.adjust("1 minute")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(requests(http, "/status/", "DELETE").length, deletions)
      }
    }))

  it.effect("a deletion that fails is a warning in the log, because all is stored", () =>
    Effect.gen(function*() {
      const messages: Array<unknown> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => void messages.push(...Array.isArray(message) ? message : [message]))
      )
      for (const run of ["runForEachBatch", "run"] as const) {
        const http = server({ remove: () => outcome(405, "not-supported") })
        const fhir = yield* written(http)
        let stored = 0
        const batch = ({ items }: BulkExport.Batch) => Effect.sync(() => void (stored += items.length))
        yield* (run === "run"
          ? Effect.map(Stream.runCount(BulkExport.run(fhir)), (count) => void (stored = count))
          : BulkExport.runForEachBatch(fhir, batch)).pipe(Effect.provide(logger))
        assert.strictEqual(stored, 2)
        assert.strictEqual(requests(http, "/status/", "DELETE").length, 1)
        assert.match(String(messages.pop()), /was not deleted at the server.*HTTP status 405/)
        // A program that asks for the deletion itself gets the error.
        const job = yield* BulkExport.start(fhir)
        assert.strictEqual((yield* Effect.flip(BulkExport.remove(fhir, job))).status, 405)
      }
    }))

  it.effect("a failure in the middle of a batch stores the items before it", () =>
    Effect.gen(function*() {
      const http = server({ file: () => Http.text(`${lines(1, 25)}nonsense\n`) })
      const stored: Array<unknown> = []
      const error = yield* Effect.flip(
        BulkExport.runForEachBatch(
          yield* written(http),
          ({ items }) => Effect.sync(() => void stored.push(...items.map(({ line }) => line))),
          { batchSize: 10 }
        )
      )
      assert.strictEqual(stored.length, 25)
      assert.deepInclude(error, { reason: "MalformedLine", line: 26 })
    }))
})
