/** URLs of files that expire before the files: the manifest is requested again, and the files continue. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport } from "effect-safire"
import * as Http from "../support/http.js"
import { base, written } from "./fixtures.js"

const statusUrl = `${base}/status/1`
const storage = "https://storage.example"
const foreignOrigins = { [storage]: "anonymous" } as const
const LINES = 10
const text = (name: string, lines = LINES) =>
  Array.from(
    { length: lines },
    (_, index) => `${JSON.stringify({ resourceType: "Patient", id: `${name}-${index}` })}\n`
  )
    .join("")

interface ServerOptions {
  readonly files?: ReadonlyArray<string>
  /** The number of requests of a file that one URL allows. */
  readonly uses?: number
  readonly refused?: number
  readonly ranges?: boolean
  /** How many bytes of a file follow the requested one; without ranges, each version of the URL has so many more. */
  readonly cut?: number | undefined
  readonly expires?: string
  /** The response to the n-th request of the manifest, from 0 on, instead of the usual one. */
  readonly manifest?: (request: number, usual: Record<string, unknown>) => Http.FakeResponse | undefined
  readonly pathOf?: (name: string, version: number) => string
}

const broken = (body: string, init: ResponseInit) => {
  let isSent = false
  return new Response(
    new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (isSent) return controller.error(new TypeError("terminated"))
        isSent = true
        controller.enqueue(new TextEncoder().encode(body))
      }
    }),
    init
  )
}

/** A server whose manifests sign the URLs of the files anew; each URL is usable once by default. */
const server = ({
  cut,
  expires,
  files = ["a", "b"],
  manifest = () => undefined,
  pathOf = (name) => name,
  ranges = true,
  refused = 403,
  uses = 1
}: ServerOptions = {}) => {
  let manifests = 0
  const used = new Map<string, number>()
  const http = Http.fake(({ headers, method, url }) => {
    if (url.includes("$export")) return Http.text("", { status: 202, headers: { "content-location": statusUrl } })
    if (method === "DELETE") return Http.text("", { status: 202 })
    if (url === statusUrl) {
      const version = manifests++
      const usual = {
        transactionTime: "2024-05-01T00:00:00Z",
        requiresAccessToken: false,
        output: files.map((name) => ({
          type: "Patient",
          url: `${storage}/${pathOf(name, version)}?file=${name}&version=${version}`,
          count: LINES
        })),
        error: []
      }
      return manifest(version, usual) ?? Http.json(usual, { headers: expires === undefined ? {} : { expires } })
    }
    const { searchParams } = new URL(url)
    const count = (used.get(url) ?? 0) + 1
    used.set(url, count)
    if (Number(searchParams.get("version")) < manifests - 1 || count > uses) return Http.text("", { status: refused })
    const whole = text(searchParams.get("file") ?? "")
    const from = ranges ? Number(/^bytes=(\d+)-$/.exec(headers["range"] ?? "")?.[1] ?? 0) : 0
    const init = from === 0 ? { status: 200 } : {
      status: 206,
      headers: { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` }
    }
    const rest = whole.slice(from)
    const size = (cut ?? Number.POSITIVE_INFINITY) * (ranges ? 1 : Number(searchParams.get("version")) + 1)
    return rest.length <= size ? Http.text(rest, init) : broken(rest.slice(0, size), init)
  })
  return { http, manifests: () => manifests }
}

const exported = (http: Http.Fake, options: BulkExport.Options = {}) =>
  Effect.gen(function*() {
    const fhir = yield* written(http, { foreignOrigins })
    const items: Array<BulkExport.Item> = []
    const fiber = yield* Effect.fork(Effect.either(
      Stream.runForEach(BulkExport.run(fhir, { concurrency: 1, ...options }), (item) =>
        Effect.sync(() => void items.push(item)))
    ))
    yield* TestClock.adjust("2 hours")
    const result = yield* Fiber.join(fiber)
    return {
      items,
      ids: items.map(({ resource }) =>
        String(resource["id"])
      ),
      error: result._tag === "Left" ? result.left : undefined
    }
  })

const idsOf = (...files: ReadonlyArray<string>) =>
  files.flatMap((name) => Array.from({ length: LINES }, (_, index) => `${name}-${index}`))

describe("BulkExport, when the URL of a file has expired", () => {
  it.effect.each<readonly [number]>([[401], [403], [404], [410]])(
    "a %s: the manifest is requested again, and the file continues at the stored position by its new URL",
    ([refused]) =>
      Effect.gen(function*() {
        for (const ranges of [true, false]) {
          const { http, manifests } = server({ refused, ranges, cut: 150 })
          const { error, ids } = yield* exported(http)
          assert.isUndefined(error)
          assert.deepStrictEqual(ids, idsOf("a", "b"))
          assert.isAtLeast(manifests(), 3)
          const ranged = http.requests.filter(({ headers }) => headers["range"] !== undefined)
          assert.isAbove(ranged.length, 0)
        }
      })
  )

  it.effect("several files at the same time: one request of the manifest serves all of them", () =>
    Effect.gen(function*() {
      const files = ["a", "b", "c", "d"]
      let isExpired = true
      const { http, manifests } = server({
        files,
        uses: 10,
        manifest: (request, usual) => {
          // The URLs of the first manifest have expired when it arrives.
          if (request === 1) isExpired = false
          return isExpired
            ? Http.json({
              ...usual,
              output: files.map((name) => ({
                type: "Patient",
                url: `${storage}/${name}?version=-1&file=${name}`,
                count: LINES
              }))
            })
            : undefined
        }
      })
      const { error, ids } = yield* exported(http, { concurrency: 4 })
      assert.isUndefined(error)
      assert.sameMembers([...ids], idsOf(...files))
      assert.strictEqual(manifests(), 2)
    }))

  it.effect("a checkpoint and `onRefresh` have the new URLs: a resumed export does not request the manifest again", () =>
    Effect.gen(function*() {
      const { http, manifests } = server({ cut: 150, uses: 3 })
      const refreshed: Array<BulkExport.Job> = []
      const { items } = yield* exported(http, {
        onRefresh: (job) => Effect.sync(() => void refreshed.push(job)),
        onFinish: "keep"
      })
      assert.isAbove(refreshed.length, 0)
      const before = manifests()
      const version = (job: BulkExport.Job | undefined) => new URL(job?.files[1]?.url ?? "").searchParams.get("version")
      assert.strictEqual(version(items.at(-1)?.checkpoint.job), String(before - 1))
      assert.strictEqual(version(refreshed.at(-1)), String(before - 1))
      const CheckpointJson = Schema.parseJson(BulkExport.Checkpoint)
      const stored = yield* Schema.encode(CheckpointJson)(items.at(-2)!.checkpoint)
      const resumed = yield* exported(http, { from: yield* Schema.decode(CheckpointJson)(stored) })
      assert.deepStrictEqual([resumed.error, resumed.ids], [undefined, [`b-${LINES - 1}`]])
    }))

  it.effect("a checkpoint with expired URLs resumes with new ones", () =>
    Effect.gen(function*() {
      for (let stop = 1; stop < 2 * LINES; stop += 3) {
        const { http } = server({ uses: 2 })
        const fhir = yield* written(http, { foreignOrigins })
        const before = Array.from(
          yield* Stream.runCollect(Stream.take(BulkExport.run(fhir, { onInterrupt: "keep", concurrency: 1 }), stop))
        )
        // Another program has asked for the manifest in the meantime.
        yield* fhir.request({ interaction: "export status", url: statusUrl })
        const after = yield* exported(http, { from: before.at(-1)?.checkpoint })
        assert.isUndefined(after.error)
        assert.deepStrictEqual(
          [...before.map(({ resource }) => resource["id"]), ...after.ids],
          idsOf("a", "b"),
          `after ${stop}`
        )
      }
    }))

  it.effect("`readFile` continues, too, and gives the new job to `onRefresh`", () =>
    Effect.gen(function*() {
      const { http, manifests } = server({ cut: 200 })
      const fhir = yield* written(http, { foreignOrigins })
      const status = yield* BulkExport.poll(fhir, yield* BulkExport.start(fhir))
      const job = status._tag === "Manifest" ? status.job : assert.fail("no manifest")
      let latest = job
      const fiber = yield* Effect.fork(Stream.runCollect(BulkExport.readFile(fhir, job, 1, {
        onRefresh: (next) => Effect.sync(() => void (latest = next))
      })))
      yield* TestClock.adjust("1 hour")
      const items = Array.from(yield* Fiber.join(fiber))
      assert.deepStrictEqual(items.map(({ resource }) => resource["id"]), idsOf("b"))
      assert.isAbove(manifests(), 1)
      assert.include(latest.files[1]?.url, `version=${manifests() - 1}`)
    }))

  it.effect.each<[string, ServerOptions["manifest"], RegExp]>([
    [
      "another transactionTime",
      (request, usual) => request === 0 ? undefined : Http.json({ ...usual, transactionTime: "2024-06-01T00:00:00Z" }),
      /another transactionTime/
    ],
    [
      "another number of files",
      (request, { output, ...usual }) =>
        request === 0 ? undefined : Http.json({ ...usual, output: (output as ReadonlyArray<unknown>).slice(0, 1) }),
      /list 1 files instead of 2/
    ],
    [
      "another count",
      (request, { output, ...usual }) =>
        request === 0 ? undefined : Http.json({
          ...usual,
          output: (output as ReadonlyArray<object>).map((file, index) => index === 1 ? { ...file, count: 3 } : file)
        }),
      /another count than before \(file 2, Patient\)/
    ],
    [
      "another type",
      (request, { output, ...usual }) =>
        request === 0 ? undefined : Http.json({
          ...usual,
          output: (output as ReadonlyArray<object>).map((file) => ({ ...file, type: "Group" }))
        }),
      /another type than before/
    ],
    [
      "another order",
      (request, { output, ...usual }) =>
        request === 0
          ? undefined
          : Http.json({ ...usual, output: [...(output as ReadonlyArray<object>)].reverse() }),
      /at the position of file/
    ],
    [
      "another manifest after it",
      (request, usual) =>
        request === 0
          ? undefined
          : Http.json({ ...usual, link: [{ relation: "next", url: `${base}/status/2` }] }),
      /another number of manifests/
    ]
  ])(
    "new manifests with %s are a ManifestChanged error; what was delivered stays valid",
    ([, manifest, detail]) =>
      Effect.gen(function*() {
        const { http } = server({ cut: 150, manifest: manifest! })
        const { error, ids } = yield* exported(http)
        assert.strictEqual(error?._tag === "FhirError" ? error.reason : "", "ManifestChanged")
        assert.match(error?.message ?? "", detail)
        assert.include(error?.message, "file 1 (Patient)")
        assert.notInclude(error?.message, "version=")
        assert.isAbove(ids.length, 0)
        assert.deepStrictEqual(ids, idsOf("a").slice(0, ids.length))
      })
  )

  it.effect("other paths are accepted at the same positions", () =>
    Effect.gen(function*() {
      const { http } = server({ cut: 150, pathOf: (name, version) => `${version}/${name}` })
      const { error, ids } = yield* exported(http)
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, idsOf("a", "b"))
    }))

  it.effect("manifests that link to each other are requested again in their order, while the export goes on", () =>
    Effect.gen(function*() {
      let requests = 0
      const stamp = () => ++requests
      const page = (number: number, next?: number) => ({
        transactionTime: "2024-05-01T00:00:00Z",
        requiresAccessToken: false,
        output: [{ type: "Patient", url: `${storage}/${number}?at=${stamp()}`, count: LINES }],
        ...(next === undefined ? {} : { link: [{ relation: "next", url: `${base}/status/${next}` }] })
      })
      let isThirdReady = false
      const refusedOnce = new Set<string>()
      const http = Http.fake(({ url }) => {
        if (url.includes("$export")) return Http.text("", { status: 202, headers: { "content-location": statusUrl } })
        if (url === statusUrl) return Http.json(page(1, 2))
        if (url === `${base}/status/2`) return Http.json(page(2, 3))
        if (url === `${base}/status/3`) {
          if (!isThirdReady) {
            isThirdReady = true
            return Http.text("", { status: 202, headers: { "retry-after": "600" } })
          }
          return Http.json(page(3))
        }
        const { pathname } = new URL(url)
        if (refusedOnce.has(pathname)) return Http.text(text(pathname.slice(1)))
        refusedOnce.add(pathname)
        return Http.text("", { status: 403 })
      })
      const { error, items } = yield* exported(http, { allowPartialManifests: true, concurrency: 2 })
      assert.isUndefined(error)
      assert.sameMembers(items.map(({ resource }) => String(resource["id"])), idsOf("1", "2", "3"))
      const last = items.at(-1)?.checkpoint.job
      assert.isTrue(last?.isComplete)
      assert.strictEqual(last?.manifests.length, 3)
      assert.strictEqual(new Set(last.files.map(({ url }) => url)).size, 3)
    }))

  it.effect("the error of the file stays if the manifest has the same URL, if its URLs do not help, or with `maxRefreshes: 0`", () =>
    Effect.gen(function*() {
      const same = server({
        refused: 404,
        uses: 0,
        manifest: (_, { output, ...usual }) =>
          Http.json({
            ...usual,
            output: (output as ReadonlyArray<{ readonly url: string }>).map((file) => ({
              ...file,
              url: file.url.replace(/\?.*$/, "?file=a&version=0")
            }))
          })
      })
      const first = yield* exported(same.http)
      assert.strictEqual(first.error?._tag === "FhirError" ? first.error.reason : "", "NotFound")
      assert.strictEqual(same.manifests(), 2)

      const expired = server({ uses: 0, expires: "Thu, 01 Jan 1970 00:00:00 GMT" })
      const second = yield* exported(expired.http)
      assert.include(second.error?.message, "the server announced to remove the files")
      assert.strictEqual(expired.manifests(), 3)

      const off = server({ uses: 0 })
      assert.isDefined((yield* exported(off.http, { maxRefreshes: 0 })).error)
      assert.strictEqual(off.manifests(), 1)
    }))

  it.effect("files that have expired are requested with the URLs of the manifest, which may prolong them", () =>
    Effect.gen(function*() {
      const jobs: Array<BulkExport.Job> = []
      const { http, manifests } = server({
        manifest: (request, usual) =>
          Http.json(usual, {
            headers: { expires: request === 0 ? "Thu, 01 Jan 1970 00:00:00 GMT" : "Thu, 01 Jan 1970 02:00:00 GMT" }
          }),
        uses: 1,
        cut: 200
      })
      const { error, ids } = yield* exported(http, { onRefresh: (job) => Effect.sync(() => void jobs.push(job)) })
      assert.isUndefined(error)
      assert.lengthOf(ids, 2 * LINES)
      assert.isAbove(manifests(), 1)
      assert.strictEqual(jobs[0]?.expiresAt, 7_200_000)
    }))

  it.effect("the number of requests is bounded: new URLs that are refused at once, and `maxRefreshes`", () =>
    Effect.gen(function*() {
      const useless = server({ uses: 0 })
      const first = yield* exported(useless.http)
      assert.strictEqual(first.error?._tag === "FhirError" ? first.error.reason : "", "Forbidden")
      assert.strictEqual(useless.manifests(), 3)

      const slow = server({ cut: 80 })
      const second = yield* exported(slow.http, { maxRefreshes: 4 })
      assert.strictEqual(second.error?._tag === "FhirError" ? second.error.reason : "", "Forbidden")
      assert.strictEqual(slow.manifests(), 5)
      assert.isAbove(second.ids.length, 3)
    }))

  it.effect("a busy server is waited for; an export that it does not know any more is named in the error of the file", () =>
    Effect.gen(function*() {
      const waits: Array<string | undefined> = []
      const busy = server({
        cut: 150,
        manifest: (request) =>
          request === 1
            ? Http.text("", { status: 503, headers: { "retry-after": "30" } })
            : request === 2
            ? Http.text("", { status: 202, headers: { "retry-after": "60" } })
            : undefined
      })
      const first = yield* exported(busy.http, {
        onProgress: ({ error }) => Effect.sync(() => void waits.push(error?._tag))
      })
      assert.isUndefined(first.error)
      assert.deepStrictEqual(first.ids, idsOf("a", "b"))
      assert.include(waits, "Waiting")

      const gone = server({
        cut: 150,
        manifest: (request) => request === 0 ? undefined : Http.text("", { status: 404 })
      })
      const second = yield* exported(gone.http)
      assert.deepInclude(second.error, { reason: "Forbidden", status: 403 })
      assert.include(second.error?.message, "the request for a new URL failed, too (NotFound, status 404)")
      assert.match(second.error?.message ?? "", /file 1 \(Patient\) line [2-9]/)

      const never = server({
        cut: 150,
        manifest: (request) => request === 0 ? undefined : Http.text("", { status: 202 })
      })
      const third = yield* exported(never.http)
      assert.include(third.error?.message, "did not return the manifest with its URL again")
    }))
})
