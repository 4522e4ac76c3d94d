/** An export whose files are spread over several manifests (Bulk Data Access 3.0, `allowPartialManifests`). */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport } from "effect-safire"
import * as Http from "../support/http.js"
import { base, token, written } from "./fixtures.js"

const statusUrl = `${base}/status/1`
const fileUrl = (index: number) => `${base}/files/${index}.ndjson`

interface Listed {
  readonly files: ReadonlyArray<number>
  readonly link?: unknown
  readonly status?: number
  readonly transactionTime?: string
  readonly requiresAccessToken?: boolean
}

const next = (url: string) => [{ relation: "self", url: statusUrl }, { relation: "next", url }]

/** A server with one resource in each file, and an answer for each manifest's URL. */
const server = (manifest: (url: string, seen: ReadonlyArray<string>) => Listed | undefined) => {
  const asked: Array<string> = []
  return Http.fake(({ method, url }) => {
    if (url.includes("$export")) return Http.text("", { status: 202, headers: { "content-location": statusUrl } })
    if (method === "DELETE") return Http.text("", { status: 202 })
    const index = /files\/(\d+)/.exec(url)?.[1]
    if (index !== undefined) return Http.text(`{"resourceType":"Patient","id":"p${index}"}\n`)
    asked.push(url)
    const listed = manifest(url, asked)
    return listed === undefined ? Http.text("", { status: 404 }) : Http.json({
      transactionTime: listed.transactionTime ?? "2024-05-01T00:00:00Z",
      requiresAccessToken: listed.requiresAccessToken ?? true,
      output: listed.files.map((index) => ({ type: "Patient", url: fileUrl(index) })),
      error: [],
      ...(listed.link === undefined ? {} : { link: listed.link })
    }, { status: listed.status ?? 200, headers: { "retry-after": "1" } })
  })
}

/** What came out, and how it ended. */
const exported = (http: Http.Fake, options: BulkExport.Options = {}, settings: Parameters<typeof written>[1] = {}) =>
  Effect.gen(function*() {
    const fhir = yield* written(http, settings)
    const ids: Array<string> = []
    const run = Stream.runForEach(
      BulkExport.run(fhir, { concurrency: 1, ...options }),
      ({ resource }) => Effect.sync(() => ids.push(String(resource["id"])))
    )
    const fiber = yield* Effect.fork(Effect.either(run))
    yield* TestClock.adjust("2 days")
    const result = yield* Fiber.join(fiber)
    return { ids, error: result._tag === "Left" ? result.left : undefined }
  })

const pagesOf = (...pages: ReadonlyArray<Listed>) => (url: string): Listed | undefined => pages[Number(url.at(-1)) - 1]

describe("BulkExport over several manifests", () => {
  it.effect("every file of every manifest is read, with an absolute and with a relative next link", () =>
    Effect.gen(function*() {
      for (
        const link of [
          (n: number) => `${base}/status/${n}`,
          (n: number) => String(n),
          (n: number) => `/fhir/status/${n}`
        ]
      ) {
        const http = server(pagesOf(
          { files: [1, 2], link: next(link(2)) },
          { files: [], link: next(link(3)) },
          { files: [3] }
        ))
        const { error, ids } = yield* exported(http)
        assert.isUndefined(error)
        assert.deepStrictEqual(ids, ["p1", "p2", "p3"])
        assert.isTrue(http.requests.every(({ headers }) => headers["authorization"] === `Bearer ${token}`))
      }
    }))

  it.effect("a manifest of a server that is still at work counts once it links to the next", () =>
    Effect.gen(function*() {
      const http = server((url, seen) => {
        const times = seen.filter((one) => one === url).length
        if (url === statusUrl) {
          return times < 3
            ? { files: [1], status: 202 }
            : { files: [1], status: 202, link: next(`${base}/status/2`) }
        }
        return times < 2 ? { files: [2], status: 202 } : { files: [2, 3] }
      })
      const { error, ids } = yield* exported(http, { allowPartialManifests: true })
      assert.isUndefined(error)
      assert.deepStrictEqual(ids, ["p1", "p2", "p3"])
      assert.strictEqual(http.requests[0]?.url, `${base}/$export?allowPartialManifests=true`)
    }))

  it.effect.each<
    [string, string, (url: string) => Listed | undefined, manifests: ReadonlyArray<string>, ids?: ReadonlyArray<string>]
  >([
    ["to itself", "PageLoop", pagesOf({ files: [1], link: next(statusUrl) }), [statusUrl]],
    ["back to the first", "PageLoop", pagesOf({ files: [1], link: next("2") }, { files: [2], link: next("1") }), [
      statusUrl,
      `${base}/status/2`
    ], ["p1"]],
    ["that is not there", "NotFound", pagesOf({ files: [1], link: next("9") }), [
      statusUrl,
      `${base}/status/9`
    ], ["p1"]],
    ["to another origin", "ForeignLink", pagesOf({ files: [1], link: next("https://evil.example/status/2") }), [
      statusUrl
    ], ["p1"]],
    ["outside of the base", "ForeignLink", pagesOf({ files: [1], link: next("/other/status/2") }), [statusUrl], ["p1"]],
    ["over http", "ForeignLink", pagesOf({ files: [1], link: next("http://ehr.example/fhir/status/2") }), [statusUrl], [
      "p1"
    ]],
    ["with hidden dots", "ForeignLink", pagesOf({ files: [1], link: next(`${base}/..%2fadmin`) }), [statusUrl], ["p1"]],
    ["without a URL", "NotFhir", pagesOf({ files: [1], link: [{ relation: "next" }] }), [statusUrl]],
    ["whose URL is a number", "NotFhir", pagesOf({ files: [1], link: [{ relation: "next", url: 2 }] }), [statusUrl]],
    ["of two", "NotFhir", pagesOf({ files: [1], link: [...next("2"), ...next("3")] }), [statusUrl]],
    ["in a link that is not an array", "NotFhir", pagesOf({ files: [1], link: { relation: "next", url: "2" } }), [
      statusUrl
    ]],
    ["in a link beside rubbish", "NotFhir", pagesOf({ files: [1], link: [null, ...next("2")] }), [statusUrl]],
    [
      "to a manifest of another export",
      "NotFhir",
      pagesOf({ files: [1], link: next("2") }, { files: [2], transactionTime: "2024-06-01T00:00:00Z" }),
      [statusUrl, `${base}/status/2`],
      ["p1"]
    ]
  ])(
    "a next link %s ends the export with a typed error after the files of the manifests before: %s",
    ([, reason, manifest, asked, expected = []]) =>
      Effect.gen(function*() {
        const http = server(manifest)
        const { error, ids } = yield* exported(http)
        assert.strictEqual(error?.reason, reason)
        assert.deepStrictEqual(ids, expected)
        const withToken = http.requests.filter(({ headers, url }) =>
          headers["authorization"] !== undefined && !url.includes("/files/")
        )
        assert.deepStrictEqual(withToken.slice(1).map(({ url }) => url), asked)
      })
  )

  it.effect("the same instant in another spelling is the same export", () =>
    Effect.gen(function*() {
      const http = server(pagesOf(
        { files: [1], link: next("2") },
        { files: [2], transactionTime: "2024-05-01T02:00:00.000+02:00" }
      ))
      assert.deepStrictEqual((yield* exported(http)).ids, ["p1", "p2"])
    }))

  it.effect("next links without end and manifests without measure are errors, not a short result", () =>
    Effect.gen(function*() {
      const endless = (files: ReadonlyArray<number>) =>
        server((url) => {
          const number = Number(/\d+$/.exec(url)?.[0])
          return { files: files.map((file) => 10 * number + file), link: next(`${base}/status/${number + 1}`) }
        })
      const many = endless([])
      const first = yield* exported(many, { maxManifests: 7 })
      assert.deepStrictEqual([first.error?.reason, many.requests.length], ["TooManyPages", 8])
      const full = endless([1, 2, 3])
      const second = yield* exported(full, { maxFiles: 10 })
      assert.deepStrictEqual([second.error?.reason, second.ids.length], ["TooManyPages", 9])
      const large = server(() => ({ files: Array.from({ length: 150_000 }, (_, index) => index) }))
      const third = yield* exported(large)
      assert.deepStrictEqual([third.error?.reason, large.requests.length], ["TooManyPages", 2])
    }))

  it.effect("each manifest decides whether its files are requested with the token", () =>
    Effect.gen(function*() {
      const http = server(pagesOf(
        { files: [1], link: next("2"), requiresAccessToken: false },
        { files: [2], requiresAccessToken: true }
      ))
      assert.deepStrictEqual((yield* exported(http)).ids, ["p1", "p2"])
      const sent = http.requests.filter(({ url }) => url.includes("/files/")).map(({ headers }) =>
        headers["authorization"]
      )
      assert.deepStrictEqual(sent, [undefined, `Bearer ${token}`])
    }))

  it.effect("a next link to an origin that was allowed by name is followed by its rule", () =>
    Effect.gen(function*() {
      const away = "https://files.example/manifests/2"
      const http = server((url) => url === away ? { files: [2] } : { files: [1], link: next(away) })
      const { ids } = yield* exported(http, {}, { foreignOrigins: { "https://files.example": "anonymous" } })
      assert.deepStrictEqual(ids, ["p1", "p2"])
      assert.isUndefined(http.requests.find(({ url }) => url === away)?.headers["authorization"])
    }))

  it.effect("an export over several manifests is gone on with from any point, without losing or repeating", () =>
    Effect.gen(function*() {
      const CheckpointJson = Schema.parseJson(BulkExport.Checkpoint)
      const http = server(pagesOf(
        { files: [1, 2], link: next("2") },
        { files: [3, 4], link: next("3") },
        { files: [5] }
      ))
      const fhir = yield* written(http)
      for (let stop = 1; stop < 5; stop++) {
        const before = Chunk.toReadonlyArray(
          yield* Stream.runCollect(Stream.take(BulkExport.run(fhir, { onInterrupt: "keep", concurrency: 2 }), stop))
        )
        const last = before.at(-1)
        assert.isDefined(last)
        const from = yield* Schema.decode(CheckpointJson)(yield* Schema.encode(CheckpointJson)(last.checkpoint))
        const after = Chunk.toReadonlyArray(yield* Stream.runCollect(BulkExport.run(fhir, { from })))
        const ids = [...before, ...after].map(({ resource }) => String(resource["id"])).sort()
        assert.deepStrictEqual(ids, ["p1", "p2", "p3", "p4", "p5"])
      }
    }))
})
