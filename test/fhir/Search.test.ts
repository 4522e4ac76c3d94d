import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { backend, base, over, sandbox, token, written } from "./fixtures.js"

const bundle = (ids: ReadonlyArray<string>, next?: string) =>
  Http.json({
    resourceType: "Bundle",
    type: "searchset",
    link: next === undefined ? [] : [{ relation: "next", url: next }],
    entry: ids.map((id) => ({ resource: { resourceType: "Patient", id }, search: { mode: "match" } }))
  })

/** Pages of two without end. */
const endless = Http.fake.bind(undefined, ({ url }) => {
  const page = Number(new URL(url).searchParams.get("page") ?? 1)
  return bundle([`${page}a`, `${page}b`], `${base}/Patient?page=${page + 1}`)
})

describe("Search", () => {
  it.effect("[SMART-93] goes through the pages of the sandbox, by GET and by POST", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const params = { code: "http://loinc.org|8867-4", _count: 1 }
      assert.strictEqual(yield* Stream.runCount(fhir.search("Observation", params)), 4)
      yield* ehr.clearRequests
      assert.strictEqual(yield* Stream.runCount(fhir.search("Observation", params, { method: "POST" })), 4)
      const [first] = yield* ehr.requests
      assert.strictEqual(first?.method, "POST")
      assert.notInclude(first?.url, "8867-4")
    }).pipe(Effect.provide(backend())))

  it.effect("what _include brings is told apart from what was searched for", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const params = { _id: "vital-alpha-1,vital-beta-1", _include: "Observation:subject" }
      const pages = yield* Stream.runCollect(fhir.searchPages("Observation", params))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(pages).map(({ included, matches, total }) => [
          matches.map(({ id }) => id),
          included.map(({ id }) => id),
          total
        ]),
        [[["vital-alpha-1", "vital-beta-1"], ["patient-alpha", "patient-beta"], 2]]
      )
      assert.strictEqual(yield* Stream.runCount(fhir.search("Observation", params)), 2)
    }).pipe(Effect.provide(backend())))

  it.effect("entries without a mode are told apart by type, and broken ones are left out", () =>
    Effect.gen(function*() {
      const http = Http.script(() =>
        Http.json({
          resourceType: "Bundle",
          entry: [
            { resource: { resourceType: "Patient", id: "1" } },
            { resource: { resourceType: "Practitioner", id: "2" } },
            { resource: { resourceType: "OperationOutcome" } },
            { fullUrl: "x" },
            { resource: { id: "3" } }
          ]
        })
      )
      const fhir = yield* written(http)
      const [page] = Chunk.toReadonlyArray(yield* Stream.runCollect(fhir.searchPages("Patient")))
      assert.deepStrictEqual([page?.matches.length, page?.included.length, page?.outcomes.length], [1, 1, 1])
    }))

  it.effect("a page is fetched when the one before is used up, not earlier", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      yield* Stream.runDrain(Stream.take(fhir.search("Patient"), 4))
      assert.strictEqual(http.seen.length, 2)
      const seen: Array<number> = []
      yield* fhir.search("Patient").pipe(
        Stream.take(5),
        Stream.runForEach(() => Effect.sync(() => seen.push(http.seen.length - 2)))
      )
      assert.deepStrictEqual(seen, [1, 1, 2, 2, 3])
    }))

  it.effect("the same next link twice is an error, after the pages before it", () =>
    Effect.gen(function*() {
      for (
        const [next, pages] of [
          [[`${base}/Patient`], 1],
          [[`${base}/Patient?page=2`, `${base}/Patient?page=2`], 2],
          [["?page=2", "/fhir/Patient?page=3", `${base}/Patient?page=2`], 3]
        ] as const
      ) {
        const http = Http.fake((_, index) => bundle([String(index)], next[index]))
        const fhir = yield* written(http)
        const seen: Array<unknown> = []
        const error = yield* Effect.flip(
          fhir.search("Patient").pipe(Stream.runForEach(({ id }) => Effect.sync(() => seen.push(id))))
        )
        assert.strictEqual(error.reason, "PageLoop")
        assert.deepStrictEqual([http.seen.length, seen.length], [pages, pages])
      }
    }))

  it.effect("more pages than allowed is an error, not a short result", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient", {}, { maxPages: 3 })))
      assert.deepStrictEqual([error.reason, http.seen.length], ["TooManyPages", 3])
    }))

  it.effect("[SMART-97] a next link to elsewhere is an error; one of a server behind a proxy can be moved", () =>
    Effect.gen(function*() {
      for (
        const next of [
          "https://evil.example/fhir/Patient?page=2",
          "//evil.example/fhir",
          "/fhir-evil",
          "http://ehr.example/fhir/Patient?page=2",
          "../admin"
        ]
      ) {
        const http = Http.script(() => bundle(["1"], next))
        const fhir = yield* written(http)
        const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient")))
        assert.strictEqual(error.reason, "ForeignLink", next)
        const carrying = http.seen.filter(({ headers }) => headers["authorization"] !== undefined)
        assert.deepStrictEqual(carrying.map(({ url }) => url), [`${base}/Patient`], next)
      }
      const http = Http.script(() => bundle(["1"], "http://internal:8080/r4/Patient?page=2"), () => bundle(["2"]))
      const fhir = yield* written(http, { rebaseLinks: ["http://internal:8080/r4"] })
      assert.strictEqual(yield* Stream.runCount(fhir.search("Patient")), 2)
      assert.strictEqual(http.seen[1]?.url, `${base}/Patient?page=2`)
    }))

  it.effect("values are encoded, and a resource that does not fit the schema ends the stream", () =>
    Effect.gen(function*() {
      const http = Http.script(() => bundle(["1"]))
      const fhir = yield* written(http)
      const params = { name: "a&b=c", date: ["ge2020", "lt2021"], "subject:missing": true, gone: undefined }
      yield* Stream.runDrain(fhir.search("Patient", params))
      assert.strictEqual(
        http.seen[0]?.url,
        `${base}/Patient?name=a%26b%3Dc&date=ge2020&date=lt2021&subject%3Amissing=true`
      )
      const schema = Schema.Struct({ id: Schema.NumberFromString, birthDate: Schema.String })
      const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient", {}, { schema })))
      assert.strictEqual(error.reason, "Undecodable")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(fhir.search("../x")))).reason, "InvalidReference")
    }))

  it.scopedLive("interrupting the stream closes the connection, over a real socket", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const server = yield* Http.server((request, response) => {
        response.writeHead(200, { "content-type": "application/fhir+json" })
        if (request.url?.includes("page=2") === true) {
          response.write("{\"resourceType\":")
          Effect.runSync(Deferred.succeed(started, undefined))
        } else {
          response.end(JSON.stringify({
            resourceType: "Bundle",
            link: [{ relation: "next", url: "?page=2" }],
            entry: [{ resource: { resourceType: "Patient", id: "1" } }]
          }))
        }
      })
      const fhir = yield* over(NodeHttpClient.layerUndici, { fhirBaseUrl: `${server.origin}/fhir` })
      const fiber = yield* Effect.fork(Stream.runDrain(fhir.search("Patient")))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      yield* server.closed
      assert.strictEqual(server.requests[1]?.headers.authorization, `Bearer ${token}`)
    }))
})
