/** The internal cache of documents, with a store that another process fills. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as metadataDocument from "../../src/server/internal/metadataDocument.js"
import * as PublishedDocument from "../../src/server/PublishedDocument.js"
import * as Http from "../support/http.js"
import { recordSpans } from "../support/spans.js"

type Stored = PublishedDocument.Cached<string>

const hour = 3_600_000

const failure = { _tag: "Failure", isRetryable: false, retryAfter: undefined, processed: "no" } as const

/** A cache over a store whose only document `stored` returns; loads give what `load` returns. */
const setUp = (stored: () => Stored, load: () => string | undefined) =>
  Effect.gen(function*() {
    const reported: Array<string> = []
    const documents = yield* PublishedDocument.make<string, typeof failure>({
      capacity: 10,
      maxTimeToLive: "1 hour",
      staleIfError: {
        duration: "1 hour",
        accepts: () => true,
        report: () => Effect.sync(() => void reported.push("stale"))
      },
      shared: {
        get: () => Effect.sync(stored),
        set: () => Effect.void,
        remove: () => Effect.void,
        memoryTimeToLive: 60_000
      }
    })
    const loaded = Effect.suspend(() => {
      const value = load()
      return value === undefined ? Effect.fail(failure) : Effect.succeed({ value })
    })
    const get = Effect.merge(documents.get("id", () => loaded))
    return { get, refresh: documents.refresh("id", () => loaded), reported }
  })

const document = (value: string, fetchedAt: number): Stored => ({
  value,
  fetchedAt,
  freshUntil: fetchedAt + hour,
  staleUntil: fetchedAt + 2 * hour
})

describe("PublishedDocument, documents of other processes", () => {
  it.effect("are fresh and stale within the bounds of this process", () =>
    Effect.gen(function*() {
      const far = { value: "a", fetchedAt: 0, freshUntil: 100 * hour, staleUntil: 200 * hour }
      const { get, reported } = yield* setUp(() => far, () => undefined)
      // Read at the beginning only.
      assert.strictEqual(yield* get, "a")
      const once = yield* setUp(() => ({ ...far, freshUntil: 0, staleUntil: 200 * hour }), () => undefined)
      yield* TestClock.adjust(hour - 1)
      assert.strictEqual(yield* once.get, "a")
      assert.deepStrictEqual(once.reported, ["stale"])
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* once.get, failure)
      assert.deepStrictEqual(reported, [])
    }))

  it.effect("of a clock that is ahead count as fetched when they are read, so that later ones replace them", () =>
    Effect.gen(function*() {
      let stored = document("of a clock ahead", 10 * 60_000)
      const { get } = yield* setUp(() => stored, () => undefined)
      assert.strictEqual(yield* get, "of a clock ahead")
      yield* TestClock.adjust("2 minutes")
      stored = document("later", 90_000)
      assert.strictEqual(yield* get, "later")
    }))

  it.effect("do not replace a document that this process has fetched later", () =>
    Effect.gen(function*() {
      const { get, refresh } = yield* setUp(() => document("old", 0), () => "new")
      assert.strictEqual(yield* get, "old")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* refresh, "new")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* get, "new")
    }))
})

describe("metadataDocument", () => {
  const url = "https://ehr.example/keys?secret"
  const make = (decode: (members: object) => Effect.Effect<string>) => {
    const http = Http.script(() => Http.json({ a: 1 }))
    return Effect.provide(
      metadataDocument.make({
        subject: "Jwks",
        accept: "application/json",
        capacity: 1,
        timeToLive: "1 hour",
        urls: (id) => [id],
        decode
      }),
      http.layer
    )
  }

  it.effect("an exception of a decoder is a typed error with its name, and not its message", () =>
    Effect.gen(function*() {
      const documents = yield* make(() => {
        throw new RangeError("secret text")
      })
      const error = yield* Effect.flip(documents.get(url))
      assert.deepInclude(error, { subject: "Jwks", reason: "NotObject", url: "https://ehr.example/keys" })
      assert.include(error.message, "RangeError")
      assert.notInclude(error.message, "secret")
    }))

  it.live("the span of a request names the document without its query", () =>
    Effect.gen(function*() {
      const { spans, tracer } = yield* recordSpans
      const documents = yield* make(() => Effect.succeed("decoded"))
      assert.strictEqual(yield* Effect.withTracer(documents.get(url), tracer), "decoded")
      assert.deepStrictEqual(spans, [
        { name: "Jwks.fetch", kind: "client", attributes: { "smart.url": "https://ehr.example/keys" } }
      ])
    }))
})
