import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { locator } from "../../src/fhir/internal/referenceTarget.js"
import * as Reference from "../../src/fhir/Reference.js"
import * as Http from "../support/http.js"
import { base, written } from "./fixtures.js"

/** Returns the resource of the URL; ids that begin with `no` do not exist. */
const chart = () =>
  Http.fake(({ url }) => {
    const [type, id = ""] = new URL(url).pathname.split("/").slice(2)
    return id.startsWith("no") ? Http.json({}, { status: 404 }) : Http.json({ resourceType: type, id })
  })

const within = {
  resourceType: "Observation",
  id: "o",
  contained: [{ resourceType: "Patient", id: "p", generalPractitioner: [{ reference: "Practitioner/1" }] }],
  subject: { reference: "#p" },
  performer: [{ reference: "Practitioner/1" }, { reference: `${base}/Practitioner/2` }]
}

describe("Reference", () => {
  it("`collect` returns each reference once", () =>
    assert.deepStrictEqual(Reference.collect(within), ["Practitioner/1", "#p", `${base}/Practitioner/2`]))

  it.effect("contained, relative, absolute and versioned references are read", () =>
    Effect.gen(function*() {
      const http = chart()
      const fhir = yield* written(http)
      assert.strictEqual((yield* fhir.readReference("#p", { within }))["id"], "p")
      assert.strictEqual((yield* fhir.readReference("#", { within }))["id"], "o")
      yield* fhir.readReference({ reference: "Patient/1" })
      yield* fhir.readReference(`${base}/Patient/2/_history/3`)
      assert.deepStrictEqual(http.requests.map(({ url }) => url), [`${base}/Patient/1`, `${base}/Patient/2/_history/3`])
    }))

  it("`parse` returns the type, the id, the version and the base of a reference or a location", () => {
    const parts = { resourceType: "Patient", id: "1", versionId: undefined, base: undefined }
    assert.deepStrictEqual(Reference.parse("Patient/1"), parts)
    assert.deepStrictEqual(Reference.parse({ reference: "Patient/1" }), parts)
    assert.deepStrictEqual(Reference.parse(`${base}/Patient/1/_history/2`), { ...parts, versionId: "2", base })
    for (const other of ["", "#x", "urn:uuid:1", "Patient", "Patient?identifier=1", "Patient/..", "Patient/1/x"]) {
      assert.isUndefined(Reference.parse(other), other)
    }
  })

  it.effect("a resolver with a concurrency below 1 sends one request after the other", () =>
    Effect.gen(function*() {
      const fhir = yield* written(server())
      assert.strictEqual((yield* fhir.resolver({ concurrency: 0 }).resolve("Patient/7")).id, "7")
    }))

  it.effect("[SMART-97] [SMART-98] an invalid reference, or one to another server, is not sent with the token", () =>
    Effect.gen(function*() {
      const http = chart()
      const fhir = yield* written(http)
      for (
        const [reference, reason] of [
          ["#q", "InvalidReference"],
          ["urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "InvalidReference"],
          ["", "InvalidReference"],
          ["Patient", "InvalidReference"],
          ["Patient/..", "InvalidReference"],
          ["https://evil.example/fhir/Patient/1", "ForeignLink"],
          ["//evil.example/fhir/Patient/1", "ForeignLink"],
          ["https://ehr.example@evil.example/Patient/1", "ForeignLink"],
          ["../fhir-evil/Patient/1", "ForeignLink"],
          ["..%2f..%2f/Patient/1", "ForeignLink"]
        ] as const
      ) {
        assert.strictEqual((yield* Effect.flip(fhir.readReference(reference, { within }))).reason, reason, reference)
      }
      assert.isTrue(http.requests.every(({ headers }) => headers["authorization"] === undefined))
    }))

  it.effect("40,000 references to contained resources are resolved in linear time", () =>
    Effect.gen(function*() {
      const fhir = yield* written(chart())
      const ids = Array.from({ length: 40_000 }, (_, index) => `p${index}`)
      const patient = { resourceType: "Group", contained: ids.map((id) => ({ resourceType: "Patient", id })) }
      const found = yield* fhir.resolver().resolveAll(ids.map((id) => `#${id}`), { within: patient })
      assert.strictEqual(found.size, 40_000)
      assert.isTrue(
        Array.from(found).every(([reference, resource]) =>
          Either.isRight(resource) && `#${String(resource.right["id"])}` === reference
        )
      )
    }), 20_000)
})

const searchset = (type: string, ids: ReadonlyArray<string>, next?: string) =>
  Http.json({
    resourceType: "Bundle",
    type: "searchset",
    link: next === undefined ? [] : [{ relation: "next", url: next }],
    entry: ids.map((id) => ({ resource: { resourceType: type, id }, search: { mode: "match" } }))
  })

/** Searches by `_id` and reads; ids that begin with `no` do not exist. */
const server = (search = (type: string, ids: ReadonlyArray<string>): Http.FakeResponse => searchset(type, ids)) =>
  Http.fake(({ url }) => {
    const { pathname, searchParams } = new URL(url)
    const [type = "", id] = pathname.split("/").slice(2)
    const exists = (one: string) => !one.startsWith("no")
    return id === undefined
      ? search(type, (searchParams.get("_id") ?? "").split(",").filter(exists))
      : exists(id)
      ? Http.json({ resourceType: type, id })
      : Http.json({}, { status: 404 })
  })

const paths = ({ requests }: Http.Fake) => requests.map(({ url }) => decodeURIComponent(url.slice(base.length + 1)))

describe("Reference.Resolver", () => {
  it.effect("the references of one type are loaded by one search, and cached", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      const resolver = fhir.resolver()
      const references = ["Practitioner/a", "Practitioner/b", `${base}/Practitioner/a`, "Patient/1", "Practitioner/c"]
      const found = yield* resolver.resolveAll(references)
      assert.deepStrictEqual(
        Array.from(found, ([reference, resource]) => [reference, Either.getOrThrow(resource).id]).sort(),
        [["Practitioner/a", "a"], ["Practitioner/b", "b"], [`${base}/Practitioner/a`, "a"], ["Patient/1", "1"], [
          "Practitioner/c",
          "c"
        ]].sort()
      )
      assert.sameMembers(paths(http), ["Practitioner?_id=a,b,c&_count=3", "Patient/1"])
      yield* resolver.resolveAll(references)
      assert.strictEqual((yield* resolver.resolve("Practitioner/b")).id, "b")
      assert.strictEqual(http.requests.length, 2)
    }))

  it.effect("`resolve` in a batched `forEach` needs one search, too", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      const { resolve } = fhir.resolver()
      const found = yield* Effect.forEach(["Patient/1", "Patient/2", "Patient/1"], (reference) => resolve(reference), {
        batching: true,
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(found.map(({ id }) => id), ["1", "2", "1"])
      assert.deepStrictEqual(paths(http), ["Patient?_id=1,2&_count=2"])
    }))

  it.effect("a resource that the search does not return is read, and its failure does not affect the others", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      const found = yield* fhir.resolver().resolveAll(["Patient/1", "Patient/no", "Patient/2"])
      const missing = found.get("Patient/no")
      assert.strictEqual(missing !== undefined && Either.isLeft(missing) ? missing.left.reason : "", "NotFound")
      assert.strictEqual(Array.from(found.values()).filter(Either.isRight).length, 2)
      assert.deepStrictEqual(paths(http), ["Patient?_id=1,no,2&_count=3", "Patient/no"])
    }))

  it.effect("all are read if the server rejects the search, which is not repeated", () =>
    Effect.gen(function*() {
      for (const response of [Http.json({}, { status: 403 }), Http.json({ resourceType: "Patient" })]) {
        const http = server(() => response.clone())
        const fhir = yield* written(http)
        const resolver = fhir.resolver()
        const found = yield* resolver.resolveAll(["Patient/1", "Patient/2"])
        assert.isTrue(Array.from(found.values()).every(Either.isRight))
        yield* resolver.resolveAll(["Patient/3", "Patient/4"])
        assert.deepStrictEqual(paths(http).slice(1), ["Patient/1", "Patient/2", "Patient/3", "Patient/4"])
      }
    }))

  it.effect("all are read if the server ignores `_id`", () =>
    Effect.gen(function*() {
      let page = 0
      const http = server(() => searchset("Patient", ["x"], `${base}/Patient?page=${++page}`))
      const fhir = yield* written(http)
      const found = yield* fhir.resolver().resolveAll(["Patient/1", "Patient/2"])
      assert.isTrue(Array.from(found.values()).every(Either.isRight))
      assert.strictEqual(http.requests.length, 4)
    }))

  it.effect("the pages of a search are read until all resources are found", () =>
    Effect.gen(function*() {
      const http = server((_, ids) => searchset("Patient", ids.length > 1 ? ["1"] : ["2"], `${base}/Patient?page=2`))
      const fhir = yield* written(http)
      const found = yield* fhir.resolver().resolveAll(["Patient/1", "Patient/2"])
      assert.isTrue(Array.from(found.values()).every(Either.isRight))
      assert.deepStrictEqual(paths(http), ["Patient?_id=1,2&_count=2", "Patient?page=2"])
    }))

  it.effect("a transient failure is an error of each reference, and is not cached", () =>
    Effect.gen(function*() {
      let isDown = true
      const http = server((type, ids) => isDown ? Http.json({}, { status: 503 }) : searchset(type, ids))
      const fhir = yield* written(http)
      const resolver = fhir.resolver()
      const failed = yield* resolver.resolveAll(["Patient/1", "Patient/2"])
      assert.isTrue(Array.from(failed.values()).every(Either.isLeft))
      assert.strictEqual(http.requests.length, 1)
      isDown = false
      assert.isTrue(Array.from((yield* resolver.resolveAll(["Patient/1", "Patient/2"])).values()).every(Either.isRight))
    }))

  it.effect("versioned references and references to other servers are read one by one", () =>
    Effect.gen(function*() {
      const http = server()
      const other = "https://other.example/r4"
      const fhir = yield* written(http, { foreignOrigins: { "https://other.example": "anonymous" } })
      const found = yield* fhir.resolver().resolveAll([
        "Patient/1/_history/2",
        "Patient/1/_history/3",
        `${other}/Patient/1`,
        `${other}/Patient/2`
      ])
      assert.isTrue(Array.from(found.values()).every(Either.isRight))
      assert.sameMembers(http.requests.map(({ url }) => url), [
        `${base}/Patient/1/_history/2`,
        `${base}/Patient/1/_history/3`,
        `${other}/Patient/1`,
        `${other}/Patient/2`
      ])
      assert.isTrue(
        http.requests.every(({ headers, url }) => url.startsWith(base) === (headers["authorization"] !== undefined))
      )
    }))

  it.effect("searches have at most `batchSize` ids, and at most `concurrency` requests run", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const http = Http.fake(({ url }) =>
        Effect.gen(function*() {
          most = Math.max(most, ++running)
          yield* Effect.yieldNow()
          running -= 1
          return searchset("Patient", (new URL(url).searchParams.get("_id") ?? "").split(","))
        })
      )
      const fhir = yield* written(http)
      const references = Array.from({ length: 1_000 }, (_, index) => `Patient/${index}`)
      const found = yield* fhir.resolver({ batchSize: 100, concurrency: 3 }).resolveAll(references)
      assert.strictEqual(Array.from(found.values()).filter(Either.isRight).length, 1_000)
      assert.strictEqual(http.requests.length, 10)
      assert.isAtMost(most, 3)
    }))

  it.effect("resources are cached for `timeToLive`, and at most `capacity` of them", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      const resolver = fhir.resolver({ timeToLive: "1 minute", capacity: 2, batchSize: 1 })
      yield* resolver.resolveAll(["Patient/1", "Patient/2"])
      yield* TestClock.adjust("59 seconds")
      yield* resolver.resolveAll(["Patient/1", "Patient/2"])
      assert.strictEqual(http.requests.length, 2)
      yield* TestClock.adjust("1 second")
      yield* resolver.resolve("Patient/1")
      yield* resolver.resolve("Patient/3")
      yield* resolver.resolve("Patient/2")
      assert.deepStrictEqual(paths(http), ["Patient/1", "Patient/2", "Patient/1", "Patient/3", "Patient/2"])
    }))

  it.effect("concurrent callers share a request, which an interrupted caller does not cancel", () =>
    Effect.gen(function*() {
      const response = yield* Deferred.make<Response>()
      const http = Http.fake(() => Deferred.await(response))
      const fhir = yield* written(http)
      const resolver = fhir.resolver()
      const first = yield* Effect.fork(resolver.resolve("Patient/1"))
      yield* TestClock.adjust(0)
      const second = yield* Effect.fork(resolver.resolve(`${base}/Patient/1`))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(response, Http.json({ resourceType: "Patient", id: "1" }))
      assert.strictEqual((yield* Fiber.join(second)).id, "1")
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect("two resolvers share nothing, also with Effect's request cache", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      yield* Effect.all([fhir.resolver().resolve("Patient/1"), fhir.resolver().resolve("Patient/1")]).pipe(
        Effect.withRequestCaching(true)
      )
      assert.strictEqual(http.requests.length, 2)
    }))
})

describe("references between the entries of a Bundle", () => {
  const urn = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"
  const north = "https://north.example/fhir"
  const entry = (fullUrl: string, id: string, versionId?: string) => ({
    fullUrl,
    resource: { resourceType: "Patient", id, ...(versionId === undefined ? {} : { meta: { versionId } }) }
  })
  const observation = { resourceType: "Observation", id: "o", subject: { reference: "Patient/1" } }
  const bundle = {
    resourceType: "Bundle",
    type: "collection",
    entry: [
      entry(urn, "new"),
      entry("https://south.example/fhir/Patient/1", "south"),
      entry(`${north}/Patient/1`, "north-1", "1"),
      entry(`${north}/Patient/1`, "north-2", "2"),
      entry(`${north}/Patient/2`, "two"),
      { fullUrl: `${north}/Observation/o`, resource: observation }
    ]
  }

  it("are found by `fullUrl`, by the base of the entry with the reference, and by version", () => {
    const idIn = (reference: string, within?: { readonly resourceType: string }) =>
      Reference.inBundle(bundle, reference, within)?.["id"]
    assert.strictEqual(idIn(urn), "new")
    assert.strictEqual(idIn(`${north}/Patient/2`), "two")
    assert.strictEqual(idIn("Patient/2"), "two")
    assert.strictEqual(idIn("Patient/1"), undefined, "ambiguous")
    assert.strictEqual(idIn("Patient/1", observation), "north-1")
    assert.strictEqual(idIn("Patient/1/_history/2", observation), "north-2")
    assert.strictEqual(idIn("Patient/1/_history/3", observation), undefined)
    assert.strictEqual(idIn("urn:uuid:00000000-0000-4000-8000-000000000000"), undefined)
    assert.strictEqual(Reference.inBundle(urn)(bundle)?.["id"], "new")
    assert.strictEqual(Reference.inBundle({ resourceType: "Bundle", entry: "x" } as never, urn), undefined)
  })

  it("are found in linear time among many versions of one `fullUrl`", () => {
    const versions = 20_000
    const many = {
      resourceType: "Bundle",
      entry: Array.from({ length: versions }, (_, index) => entry(`${north}/Patient/1`, "1", `${index}`))
    }
    const find = locator({ bundle: many })
    for (let index = 0; index < versions; index++) {
      assert.propertyVal(find(`${north}/Patient/1/_history/${index}`), "resourceType", "Patient")
    }
  }, 5_000)

  it.effect("are resolved without a request; other references are read", () =>
    Effect.gen(function*() {
      const http = server()
      const fhir = yield* written(http)
      assert.strictEqual((yield* fhir.readReference(urn, { bundle })).id, "new")
      const found = yield* fhir.resolver().resolveAll([urn, "Patient/2", "Patient/7"], { bundle })
      assert.deepStrictEqual(
        Array.from(found.values(), (resource) => Either.getOrThrow(resource).id),
        ["new", "two", "7"]
      )
      assert.deepStrictEqual(paths(http), ["Patient/7"])
      const error = yield* Effect.flip(fhir.readReference("urn:uuid:00000000-0000-4000-8000-000000000000", { bundle }))
      assert.strictEqual(error.reason, "InvalidReference")
    }))
})
