/** Conditional interactions, the headers of writes, histories and operations, at the sandbox and as sent requests. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type BackendServices, FhirClient, FhirError, FhirSearch } from "effect-safire"
import * as Http from "../support/http.js"
import { backend, base, sandbox, token, written } from "./fixtures.js"

const observation = { resourceType: "Observation", status: "final", code: { text: "x" } } as const

const failure = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), (error) => error instanceof FhirError ? [error.reason, error.status] : [])

const collect = <A, E, R>(self: Stream.Stream<A, E, R>) => Effect.map(Stream.runCollect(self), Chunk.toReadonlyArray)

/** Sends one call to a server that accepts all, and returns the request. */
const sent = <A, E>(call: (fhir: FhirClient.Authorized) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const http = Http.script(() => new Response(null, { status: 200 }))
    yield* call(yield* written(http))
    const [request] = http.requests
    return request ?? assert.fail("nothing was sent")
  })

describe("conditional interactions", () => {
  it.effect("`conditionalRead` returns `NotModified` for an unchanged resource, by its ETag or its date", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const { etag, lastModified } = yield* fhir.readStored("Patient", "patient-alpha")
      for (const condition of [{ ifNoneMatch: etag }, { ifModifiedSince: lastModified }]) {
        const unchanged = yield* fhir.conditionalRead("Patient", "patient-alpha", condition)
        assert.instanceOf(unchanged, FhirClient.NotModified)
        assert.strictEqual(unchanged.etag, etag)
      }
      const changed = yield* fhir.conditionalRead("Patient", "patient-alpha", { ifNoneMatch: "W/\"0\"" })
      assert.strictEqual(changed instanceof FhirClient.NotModified ? undefined : changed.resource.id, "patient-alpha")
    }).pipe(Effect.provide(backend())))

  it.effect("`ifModifiedSince` takes a date of HTTP or an instant, and sends what the header or the Bundle requires", () =>
    Effect.gen(function*() {
      const http = Http.fake(({ method }) =>
        method === "GET"
          ? new Response(null, { status: 304 })
          : Http.json({ resourceType: "Bundle", entry: Array(3).fill({ response: { status: "304" } }) })
      )
      const fhir = yield* written(http)
      const date = "Wed, 01 May 2024 10:00:00 GMT"
      const dates = [date, "2024-05-01T12:00:00.750+02:00", "yesterday"]
      for (const ifModifiedSince of dates) yield* fhir.conditionalRead("Patient", "1", { ifModifiedSince })
      assert.deepStrictEqual(http.requests.map(({ headers }) => headers["if-modified-since"]), [
        date,
        date,
        "yesterday"
      ])
      yield* fhir.batch(dates.map((ifModifiedSince) => ({ method: "GET" as const, url: "Patient/1", ifModifiedSince })))
      const { entry } = JSON.parse(http.requests[3]?.body ?? "") as {
        readonly entry: ReadonlyArray<{ request: object }>
      }
      assert.deepStrictEqual(
        entry.map(({ request }) => request),
        [
          "2024-05-01T10:00:00.000Z",
          "2024-05-01T12:00:00.750+02:00",
          "yesterday"
        ].map((ifModifiedSince) => ({ method: "GET", url: "Patient/1", ifModifiedSince }))
      )
    }))

  it.effect("conditional update, patch and delete act on the one resource that matches", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const one = { _id: "patient-beta" }
      const several = { _id: "patient-alpha,patient-beta" }
      const none = { _id: "absent" }
      const updated = yield* fhir.conditionalUpdate(one, { resourceType: "Patient", gender: "other" })
      assert.deepStrictEqual([updated.status, updated.resource?.id, updated.resource?.gender], [
        200,
        "patient-beta",
        "other"
      ])
      const created = yield* fhir.conditionalUpdate(none, { resourceType: "Patient", active: true })
      assert.strictEqual(created.status, 201)
      const patched = yield* fhir.conditionalPatch("Patient", one, [{ op: "add", path: "/active", value: false }])
      assert.strictEqual(patched.resource?.active, false)
      for (
        const call of [
          fhir.conditionalUpdate(several, { resourceType: "Patient" }),
          fhir.conditionalPatch("Patient", several, []),
          fhir.conditionalDelete("Patient", several)
        ]
      ) {
        assert.deepStrictEqual(
          yield* failure(call as Effect.Effect<unknown, unknown, BackendServices.BackendServices>),
          ["PreconditionFailed", 412]
        )
      }
      yield* fhir.conditionalDelete("Patient", one)
      assert.deepStrictEqual(yield* failure(fhir.read("Patient", "patient-beta")), ["Gone", 410])
    }).pipe(Effect.provide(backend())))

  it.effect("the sandbox finds resources by identifiers with any characters, and refuses conditions it does not know", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const identifier = [{ system: "urn:example", value: "a|b,c\\d" }]
      const criteria = FhirSearch.token("identifier", identifier)
      const resource = { resourceType: "Patient", identifier } as const
      const first = yield* fhir.create(resource, { ifNoneExist: criteria })
      const second = yield* fhir.create(resource, { ifNoneExist: criteria })
      assert.deepStrictEqual([first.status, second.status], [201, 200])
      assert.strictEqual(second.resource?.id, first.resource?.id)
      const found = yield* Stream.runCollect(fhir.search("Patient", criteria))
      assert.deepStrictEqual(Array.from(found, ({ id }) => id), [first.resource?.id])
      const updated = yield* fhir.conditionalUpdate(criteria, { ...resource, gender: "other" })
      assert.deepStrictEqual([updated.status, updated.resource?.gender], [200, "other"])
      const patch = [{ op: "add", path: "/active", value: true }] as const
      const url = `Patient/${first.resource?.id ?? ""}`
      const [patched] = yield* fhir.transaction([{ method: "PATCH", url, patch }])
      assert.propertyVal(patched?.resource, "active", true)
      yield* fhir.conditionalDelete("Patient", criteria)
      assert.strictEqual(yield* Stream.runCount(fhir.search("Patient", criteria)), 0)
      for (
        const call of [
          fhir.create(resource, { ifNoneExist: { name: "x" } }),
          fhir.conditionalDelete("Patient", { name: "x" }),
          Stream.runDrain(fhir.search("Patient", { name: "x" }, { handling: "strict" }))
        ]
      ) {
        const error = yield* Effect.flip(
          Effect.asVoid<unknown, BackendServices.BackendError | FhirError, BackendServices.BackendServices>(call)
        )
        assert.strictEqual(error instanceof FhirError ? error.issues[0]?.code : undefined, "not-supported")
      }
    }).pipe(Effect.provide(backend())))

  it.effect("criteria that are empty or have no value are not sent, because they would match every resource", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({}))
      const fhir = yield* written(http)
      for (
        const call of [
          fhir.conditionalDelete("Patient", {}),
          fhir.conditionalDelete("Patient", { identifier: undefined }),
          fhir.conditionalDelete("Patient", { identifier: "", active: true }),
          fhir.conditionalDelete("Patient", FhirSearch.token("identifier", [])),
          fhir.conditionalDelete("Patient", { identifier: [], active: true }),
          fhir.conditionalUpdate({ identifier: " " }, { resourceType: "Patient" }),
          fhir.create({ resourceType: "Patient" }, { ifNoneExist: { identifier: "" } }),
          fhir.conditionalPatch("Patient", [], []),
          fhir.conditionalUpdate({}, { resourceType: "Patient" }),
          fhir.create({ resourceType: "Patient" }, { ifNoneExist: {} })
        ]
      ) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, FhirError, never>(call))
        assert.deepStrictEqual([error.reason, error.processed], ["InvalidRequest", "no"])
      }
      assert.strictEqual(http.requests.length, 0)
    }))
})

describe("the headers of writes", () => {
  const provenance = { resourceType: "Provenance", target: [], recorded: "2026-01-01T00:00:00Z", agent: [] } as const

  it.effect("`Prefer`, `If-Match`, `If-None-Match`, `If-None-Exist` and `X-Provenance` are sent as set", () =>
    Effect.gen(function*() {
      const created = yield* sent((fhir) =>
        fhir.create(observation, { ifNoneExist: { identifier: "a|b" }, prefer: "minimal" })
      )
      assert.deepInclude(created.headers, { prefer: "return=minimal", "if-none-exist": "identifier=a%7Cb" })
      const updated = yield* sent((fhir) =>
        fhir.update({ ...observation, id: "1" }, { ifMatch: "W/\"2\"", prefer: "OperationOutcome" })
      )
      assert.deepInclude(updated.headers, { prefer: "return=OperationOutcome", "if-match": "W/\"2\"" })
      const unique = yield* sent((fhir) => fhir.update({ ...observation, id: "1" }, { ifNoneMatch: "*" }))
      assert.deepInclude(unique.headers, { prefer: "return=representation", "if-none-match": "*" })
      for (
        const call of [
          (fhir: FhirClient.Authorized) => fhir.create(observation, { provenance }),
          (fhir: FhirClient.Authorized) => fhir.update({ ...observation, id: "1" }, { provenance }),
          (fhir: FhirClient.Authorized) => fhir.conditionalUpdate({ _id: "1" }, observation, { provenance }),
          (fhir: FhirClient.Authorized) => fhir.patch("Observation", "1", [], { provenance }),
          (fhir: FhirClient.Authorized) => fhir.delete("Observation", "1", { provenance }),
          (fhir: FhirClient.Authorized) =>
            fhir.createBinary({ contentType: "a/b", content: new Uint8Array() }, { provenance }),
          (fhir: FhirClient.Authorized) => Effect.either(fhir.transaction([], { provenance }))
        ]
      ) {
        const { headers } = yield* sent((fhir) => Effect.asVoid<unknown, FhirError, never>(call(fhir)))
        assert.deepStrictEqual(JSON.parse(headers["x-provenance"] ?? ""), provenance)
      }
    }))

  it.effect("the headers of a client go where the token goes; those of an interaction have precedence", () =>
    Effect.gen(function*() {
      const http = Http.fake(({ url }) =>
        url === `${base}/Patient/1`
          ? new Response(null, { status: 302, headers: { location: "https://files.example/Patient/1" } })
          : Http.json({ resourceType: "Patient" })
      )
      const headers = { "x-api-key": "k", "If-Match": "W/\"1\"", Authorization: "Basic x", accept: "application/json" }
      const foreignOrigins = { "https://files.example": "anonymous" } as const
      const fhir = yield* written(http, { headers, foreignOrigins })
      yield* fhir.read("Patient", "1")
      yield* fhir.update({ resourceType: "Patient", id: "2" }, { ifMatch: "W/\"2\"" })
      assert.deepStrictEqual(
        http.requests.map(({ headers: sent }) =>
          ["x-api-key", "if-match", "authorization", "accept"].map((name) => sent[name])
        ),
        [
          ["k", "W/\"1\"", `Bearer ${token}`, "application/json"],
          [undefined, undefined, undefined, "application/fhir+json, application/json;q=0.9"],
          ["k", "W/\"2\"", `Bearer ${token}`, "application/json"]
        ]
      )
      const echo = Http.fake(({ headers: { "x-api-key": key = "" } }) => Http.text(`wrong key: ${key}`))
      const keyed = yield* written(echo, { headers: { "x-api-key": Redacted.make("the-s3cret-key") } })
      assert.strictEqual((yield* Effect.flip(keyed.read("Patient", "2"))).bodyExcerpt, "wrong key: <redacted>")
      const invalid = yield* written(http, { headers: { "x-api-key": "a\nb" } })
      assert.strictEqual((yield* Effect.flip(invalid.read("Patient", "2"))).reason, "InvalidRequest")
    }))

  it.effect("`params` asks for a part of a resource", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Http.json({ resourceType: "Patient", id: "1" }))
      const fhir = yield* written(http)
      const params = { _elements: "id,name" }
      yield* fhir.read("Patient", "1", { params })
      yield* fhir.readStored("Patient", "1", { params })
      yield* fhir.conditionalRead("Patient", "1", { params, ifNoneMatch: "W/\"1\"" })
      yield* fhir.vread("Patient", "1", "2", { params })
      const query = "?_elements=id%2Cname"
      assert.deepStrictEqual(http.requests.map(({ url }) => url.slice(base.length)), [
        ...Array<string>(3).fill(`/Patient/1${query}`),
        `/Patient/1/_history/2${query}`
      ])
      const other = yield* written(Http.fake(() => Http.json({ resourceType: "Patient", id: "9" })))
      assert.strictEqual((yield* Effect.flip(other.read("Patient", "1", { params }))).reason, "NotFhir")
    }))

  it.effect("`X-Provenance` is ASCII, also for other characters", () =>
    Effect.gen(function*() {
      const agent = [{ who: { display: "Zoë 🩺\r\n" } }]
      const { headers } = yield* sent((fhir) => fhir.create(observation, { provenance: { ...provenance, agent } }))
      const header = headers["x-provenance"] ?? ""
      assert.match(header, /^[\x20-\x7e]+$/)
      assert.deepStrictEqual(JSON.parse(header).agent, agent)
    }))

  it.effect("a JSON Patch and a FHIRPath Patch have their content types", () =>
    Effect.gen(function*() {
      const json = yield* sent((fhir) => fhir.patch("Patient", "1", [{ op: "remove", path: "/active" }]))
      assert.strictEqual(json.headers["content-type"], "application/json-patch+json")
      const parameter = [{ name: "operation", part: [{ name: "type", valueCode: "delete" }] }]
      const fhirPath = yield* sent((fhir) => fhir.patch("Patient", "1", { resourceType: "Parameters", parameter }))
      assert.strictEqual(fhirPath.headers["content-type"], "application/fhir+json")
      assert.deepStrictEqual(JSON.parse(fhirPath.body), { resourceType: "Parameters", parameter })
    }))

  it.effect("a write with `prefer: minimal` has no resource, but an ETag and a location", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const { etag, location, resource, status } = yield* fhir.create(observation, { prefer: "minimal" })
      assert.deepStrictEqual([status, resource, etag], [201, undefined, "W/\"1\""])
      assert.match(location ?? "", /\/Observation\/observation-new-1\/_history\/1$/)
    }).pipe(Effect.provide(backend())))

  it.effect("a JSON Patch in a transaction is sent as a Binary", () =>
    Effect.gen(function*() {
      const patch = [{ op: "replace", path: "/active", value: true }] as const
      const { body } = yield* sent((fhir) =>
        Effect.either(fhir.transaction([{ method: "PATCH", url: "Patient/1", patch }]))
      )
      const { resource } = JSON.parse(body).entry[0]
      assert.deepStrictEqual([resource.resourceType, resource.contentType], ["Binary", "application/json-patch+json"])
      assert.deepStrictEqual(JSON.parse(Buffer.from(resource.data, "base64").toString()), patch)
    }))
})

describe("histories and operations", () => {
  it.effect("`history` returns the versions of a resource, of a type, or of the server", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const { resource } = yield* fhir.create(observation)
      yield* fhir.update({ ...observation, id: resource?.id, status: "amended" })
      const ofResource = yield* collect(fhir.history({ resourceType: "Observation", id: resource?.id }))
      assert.deepStrictEqual(ofResource.map((entry) => entry.resource?.status), ["amended", "final"])
      const ofType = yield* collect(fhir.history({ resourceType: "Patient" }))
      assert.deepStrictEqual([...new Set(ofType.map((entry) => entry.resource?.resourceType))], ["Patient"])
      const types = new Set((yield* collect(fhir.history())).map((entry) => entry.resource?.resourceType))
      assert.isTrue(types.has("Patient") && types.has("Observation"))
    }).pipe(Effect.provide(backend())))

  it.effect("`operationStream` reads all pages of `$everything`", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const found = yield* collect(
        fhir.operationStream("everything", { on: "Patient/patient-alpha", params: { _count: 3 } })
      )
      const observations = yield* collect(fhir.search("Observation", { patient: "patient-alpha" }))
      assert.isAbove(found.length, 3)
      assert.deepStrictEqual(
        found.filter(({ resourceType }) => resourceType === "Observation").map(({ id }) => id),
        observations.map(({ id }) => id)
      )
      const absent = fhir.operationStream("everything", { on: "Patient/absent" })
      assert.deepStrictEqual(yield* failure(Stream.runDrain(absent)), ["NotFound", 404])
    }).pipe(Effect.provide(backend())))

  it.effect("an operation is sent by GET with parameters, or by POST with an input", () =>
    Effect.gen(function*() {
      const get = yield* sent((fhir) => fhir.operation("lookup", { on: "CodeSystem", params: { code: "a" } }))
      const post = yield* sent((fhir) =>
        fhir.operation("validate", { on: "Patient/1", input: { resourceType: "Parameters", parameter: [] } })
      )
      const server = yield* sent((fhir) => fhir.operation("versions", { method: "POST" }))
      assert.deepStrictEqual([get, post, server].map(({ method, url }) => `${method} ${url}`), [
        `GET ${base}/CodeSystem/$lookup?code=a`,
        `POST ${base}/Patient/1/$validate`,
        `POST ${base}/$versions`
      ])
    }))

  it.effect("`capabilities` returns the CapabilityStatement", () =>
    Effect.gen(function*() {
      const { fhirVersion, rest } = yield* (yield* sandbox).capabilities
      assert.strictEqual(fhirVersion, "4.0.1")
      assert.strictEqual(rest?.[0]?.mode, "server")
    }).pipe(Effect.provide(backend())))

  describe("graphql", () => {
    const responding = (body: unknown, status = 200) =>
      Effect.map(written(Http.script(() => Http.json(body, { status }))), (fhir) => fhir.graphql("{ x }"))

    it.effect("sends the query, its variables and the name of the operation", () =>
      Effect.gen(function*() {
        const http = Http.script(() => Http.json({ data: { Patient: { id: "1" } } }))
        const fhir = yield* written(http)
        const schema = Schema.Struct({ Patient: Schema.Struct({ id: Schema.String }) })
        const query = "query q($id: ID!) { Patient(id: $id) { id } }"
        const variables = { id: "1" }
        const { data } = yield* fhir.graphql(query, { on: "Patient/1", variables, operationName: "q", schema })
        assert.strictEqual(data.Patient.id, "1")
        assert.deepStrictEqual(http.requests.map(({ method, url }) => `${method} ${url}`), [
          `POST ${base}/Patient/1/$graphql`
        ])
        assert.deepStrictEqual(JSON.parse(http.requests[0]?.body ?? ""), { query, variables, operationName: "q" })
      }))

    it.effect("data with errors is a result; errors without data are an error whose message does not have them", () =>
      Effect.gen(function*() {
        const errors = [{ message: `not found: Doe ${token}` }]
        const partial = yield* yield* responding({ data: { x: null }, errors })
        assert.deepStrictEqual([partial.data, partial.errors.length], [{ x: null }, 1])
        assert.notInclude(JSON.stringify(partial), token)
        const error = yield* Effect.flip(yield* responding({ data: null, errors }))
        assert.deepStrictEqual([error.reason, error.issues[0]?.details?.text?.includes("Doe")], ["Refused", true])
        assert.notInclude(error.message, "Doe")
        for (const body of [{}, [], { errors: [] }]) {
          assert.strictEqual((yield* Effect.flip(yield* responding(body))).reason, "NotFhir")
        }
      }))
  })
})
