import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type FhirClient, FhirSearch, Reference } from "effect-safire"
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
  it.effect("[SMART-93] reads all pages of the sandbox, by GET and by POST", () =>
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

  it.effect("included resources are apart from the matches", () =>
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

  it.effect("the `bundle` of a page has its links, and resolves references to included resources without a request", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const params = { _id: "vital-alpha-1,vital-beta-1", _include: "Observation:subject", unknown: "x" }
      const { bundle, matches } = yield* Effect.flatten(Stream.runHead(fhir.searchPages("Observation", params)))
      assert.notInclude(bundle.link?.find(({ relation }) => relation === "self")?.url, "unknown")
      yield* ehr.clearRequests
      const resolved = yield* fhir.resolver().resolveAll(matches.flatMap(Reference.collect), { bundle })
      assert.deepStrictEqual([...resolved.keys()], ["Patient/patient-alpha", "Patient/patient-beta"])
      assert.isTrue([...resolved.values()].every(Either.isRight))
      assert.deepStrictEqual(yield* ehr.requests, [])
    }).pipe(Effect.provide(backend())))

  it.effect("entries without a mode are told apart by type; malformed ones are left out", () =>
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

  it.effect("a page is fetched when the page before was consumed", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      yield* Stream.runDrain(Stream.take(fhir.search("Patient"), 4))
      assert.strictEqual(http.requests.length, 2)
      const seen: Array<number> = []
      yield* fhir.search("Patient").pipe(
        Stream.take(5),
        Stream.runForEach(() => Effect.sync(() => seen.push(http.requests.length - 2)))
      )
      assert.deepStrictEqual(seen, [1, 1, 2, 2, 3])
    }))

  it.effect("`readAhead` fetches pages in advance, delivers them in order, and fails after them", () =>
    Effect.gen(function*() {
      const http = Http.fake((_, index) =>
        index === 5 ? Http.json({}, { status: 500 }) : bundle([String(index)], `${base}/Patient?page=${index + 2}`)
      )
      const fhir = yield* written(http)
      const seen: Array<string | undefined> = []
      const fetched: Array<number> = []
      const error = yield* fhir.search("Patient", {}, { readAhead: 2 }).pipe(
        Stream.runForEach(({ id }) =>
          Effect.gen(function*() {
            for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow()
            seen.push(id)
            fetched.push(http.requests.length)
          })
        ),
        Effect.flip
      )
      assert.deepStrictEqual(seen, ["0", "1", "2", "3", "4"])
      assert.deepStrictEqual(fetched, [4, 5, 6, 6, 6])
      assert.strictEqual(error.reason, "Unavailable")
    }))

  it.effect("`readAhead` stops with the consumer", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      yield* Stream.runDrain(Stream.take(fhir.searchPages("Patient", {}, { readAhead: 3 }), 2))
      const requests = http.requests.length
      for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow()
      assert.strictEqual(http.requests.length, requests)
      assert.isAtMost(requests, 6)
    }))

  it.effect("a search resumes from a stored position, whose URL is checked", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      const [first] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(fhir.searchPages("Patient"), 1)))
      const json = JSON.stringify(Schema.encodeSync(Schema.UndefinedOr(FhirSearch.PagePosition))(first?.next))
      const position = yield* Schema.decode(Schema.parseJson(FhirSearch.PagePosition))(json)
      const rest = yield* Stream.runCollect(Stream.take(fhir.resumeSearch(position), 2))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(rest).map(({ matches }) => matches.map(({ id }) => id)),
        [["2a", "2b"], ["3a", "3b"]]
      )
      for (
        const [resourceType, url, reason] of [
          ["Patient", "https://evil.example/fhir/Patient?page=2", "ForeignLink"],
          ["Patient", "http://ehr.example/fhir/Patient?page=2", "ForeignLink"],
          ["Patient", "https://[", "ForeignLink"],
          ["../x", `${base}/Patient`, "InvalidReference"]
        ] as const
      ) {
        const error = yield* Effect.flip(Stream.runDrain(fhir.resumeSearch({ resourceType, url })))
        assert.strictEqual(error.reason, reason, url)
      }
      const withToken = http.requests.filter(({ headers }) => headers["authorization"] !== undefined)
      assert.isTrue(withToken.every(({ url }) => url.startsWith(`${base}/Patient`)))
    }))

  it.effect("a relative `next` link resumes, too, and the last page has no position", () =>
    Effect.gen(function*() {
      const http = Http.script(() => bundle(["1"], "?page=2"), () => bundle(["2"]))
      const fhir = yield* written(http)
      const pages = Chunk.toReadonlyArray(yield* Stream.runCollect(fhir.searchPages("Patient")))
      assert.deepStrictEqual(pages.map(({ next }) => next), [
        { resourceType: "Patient", url: `${base}/Patient?page=2` },
        undefined
      ])
    }))

  it.effect("`*` searches all types, and a compartment limits a search to the resources of one resource", () =>
    Effect.gen(function*() {
      const entry = [
        { resource: { resourceType: "Patient", id: "1" } },
        { resource: { resourceType: "Encounter", id: "2" } },
        { resource: { resourceType: "OperationOutcome" } }
      ]
      const http = Http.fake(() => Http.json({ resourceType: "Bundle", type: "searchset", total: 2, entry }))
      const fhir = yield* written(http)
      const all = { _type: "Patient,Encounter" }
      const page = yield* Effect.flatten(Stream.runHead(fhir.searchPages("*", all)))
      assert.deepStrictEqual(page.matches.map(({ id }) => id), ["1", "2"])
      assert.lengthOf(page.outcomes, 1)
      const compartment = "Patient/1"
      yield* Stream.runDrain(fhir.search("*", all, { method: "POST" }))
      yield* Stream.runDrain(fhir.search("Encounter", { status: "finished" }, { compartment }))
      yield* Stream.runDrain(fhir.search("*", {}, { compartment }))
      yield* fhir.searchTotal("Encounter", {}, { compartment, method: "POST" })
      yield* Stream.runDrain(fhir.resumeSearch({ resourceType: "*", url: `${base}?page=2` }))
      assert.deepStrictEqual(http.requests.map(({ method, url }) => `${method} ${url.slice(base.length)}`), [
        "GET ?_type=Patient%2CEncounter",
        "POST /_search",
        "GET /Patient/1/Encounter?status=finished",
        "GET /Patient/1/*",
        "POST /Patient/1/Encounter/_search",
        "GET ?page=2"
      ])
      for (const invalid of ["Patient", "Patient/..", "Patient/1/x", ""]) {
        const error = yield* Effect.flip(Stream.runDrain(fhir.search("Encounter", {}, { compartment: invalid })))
        assert.strictEqual(error.reason, "InvalidReference")
      }
    }))

  it.effect("`handling` asks the server to reject or to ignore unknown parameters", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Http.json({ resourceType: "Bundle", total: 0 }))
      const fhir = yield* written(http)
      yield* Stream.runDrain(fhir.search("Patient", { x: 1 }, { handling: "strict" }))
      yield* fhir.searchTotal("Patient", { x: 1 }, { handling: "lenient", method: "POST" })
      assert.deepStrictEqual(http.requests.map(({ headers }) => headers["prefer"]), [
        "handling=strict",
        "handling=lenient"
      ])
    }))

  it.effect("a search with a parameter without a value is not sent, because the server would ignore it", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => bundle([]))
      const fhir = yield* written(http)
      const withoutValue: ReadonlyArray<FhirClient.Params> = [
        { name: "", active: true },
        FhirSearch.token("identifier", []),
        { name: [" "] },
        { name: ["", "Beta"] },
        { name: [], active: true }
      ]
      for (const params of withoutValue) {
        const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient", params)))
        assert.deepStrictEqual([error.reason, error.processed], ["InvalidRequest", "no"])
        assert.strictEqual((yield* Effect.flip(fhir.searchTotal("Patient", params))).reason, "InvalidRequest")
      }
      assert.lengthOf(http.requests, 0)
    }))

  it.effect("`searchTotal` is one request without resources", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      yield* fhir.searchTotal("Patient")
      yield* ehr.clearRequests
      assert.strictEqual(yield* fhir.searchTotal("Patient"), 3)
      assert.strictEqual(yield* fhir.searchTotal("Observation", { patient: "patient-alpha" }, { method: "POST" }), 6)
      const urls = (yield* ehr.requests).map(({ url }) => url)
      assert.strictEqual(urls.length, 2)
      assert.include(urls[0], "_summary=count")
      assert.notInclude(urls[1], "patient-alpha")
    }).pipe(Effect.provide(backend())))

  it.effect("`searchTotal` fails if the response has no total", () =>
    Effect.gen(function*() {
      const fhir = yield* written(Http.script(() => bundle([])))
      assert.strictEqual((yield* Effect.flip(fhir.searchTotal("Patient"))).reason, "NotFhir")
      assert.strictEqual((yield* Effect.flip(fhir.searchTotal("a/b"))).reason, "InvalidReference")
    }))

  it.effect("a loop of `next` links is a `PageLoop`, after the pages before it", () =>
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
        assert.deepStrictEqual([http.requests.length, seen.length], [pages, pages])
      }
    }))

  it.effect("more than `maxPages` pages are an error, not a short result", () =>
    Effect.gen(function*() {
      const http = endless()
      const fhir = yield* written(http)
      const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient", {}, { maxPages: 3 })))
      assert.deepStrictEqual([error.reason, http.requests.length], ["TooManyPages", 3])
    }))

  it.effect("[SMART-97] a `next` link to another origin or by http is a `ForeignLink`; `rebaseLinks` moves the link of a proxied server", () =>
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
        const carrying = http.requests.filter(({ headers }) => headers["authorization"] !== undefined)
        assert.deepStrictEqual(carrying.map(({ url }) => url), [`${base}/Patient`], next)
      }
      const http = Http.script(() => bundle(["1"], "http://internal:8080/r4/Patient?page=2"), () => bundle(["2"]))
      const fhir = yield* written(http, { rebaseLinks: ["http://internal:8080/r4"] })
      assert.strictEqual(yield* Stream.runCount(fhir.search("Patient")), 2)
      assert.strictEqual(http.requests[1]?.url, `${base}/Patient?page=2`)
    }))

  it.effect("values are URL-encoded; a resource that does not match the schema is `Undecodable`", () =>
    Effect.gen(function*() {
      const http = Http.script(() => bundle(["1"]))
      const fhir = yield* written(http)
      const params = { name: "a&b=c", date: ["ge2020", "lt2021"], "subject:missing": true, gone: undefined }
      yield* Stream.runDrain(fhir.search("Patient", params))
      assert.strictEqual(
        http.requests[0]?.url,
        `${base}/Patient?name=a%26b%3Dc&date=ge2020&date=lt2021&subject%3Amissing=true`
      )
      const schema = Schema.Struct({ id: Schema.NumberFromString, birthDate: Schema.String })
      const error = yield* Effect.flip(Stream.runDrain(fhir.search("Patient", {}, { schema })))
      assert.strictEqual(error.reason, "Undecodable")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(fhir.search("../x")))).reason, "InvalidReference")
    }))

  it.scopedLive("interrupting the stream closes the connection", () =>
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
