/** The bulk server of the sandbox. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { backend, sandbox } from "../fhir/fixtures.js"

const resources = [
  { resourceType: "Patient", id: "a" },
  { resourceType: "Patient", id: "b" },
  { resourceType: "Observation", id: "o1", subject: { reference: "Patient/a" } },
  { resourceType: "Observation", id: "o2", subject: { reference: "Patient/b" } }
]

const heartRate = { code: { coding: [{ system: "http://loinc.org", code: "8867-4" }] }, status: "final" }

const cohort = [
  { resourceType: "Patient", id: "a", birthDate: "1970-01-01", gender: "female" },
  { resourceType: "Patient", id: "b", birthDate: "1980-01-01" },
  { resourceType: "Observation", id: "o1", subject: { reference: "Patient/a" } },
  { resourceType: "Observation", id: "o2", subject: { reference: "Patient/b" } },
  { resourceType: "Observation", id: "o3", subject: { reference: "Patient/a" }, note: [], ...heartRate },
  { resourceType: "Practitioner", id: "doctor" },
  {
    resourceType: "Group",
    id: "g",
    member: [
      { entity: { reference: "Patient/a" } },
      { entity: { reference: "Patient/b" }, inactive: true },
      { entity: { reference: "Practitioner/doctor" } }
    ]
  }
]

const items = (options: BulkExport.Options) =>
  Effect.gen(function*() {
    const fhir = yield* sandbox
    const fiber = yield* Effect.fork(Stream.runCollect(BulkExport.run(fhir, options)))
    yield* TestClock.adjust("1 minute")
    return Array.from(yield* Fiber.join(fiber))
  })

const ids = (options: BulkExport.Options) =>
  Effect.map(items(options), (all) => all.map(({ resource }) => String(resource["id"])).sort())

const checkpointOf = (options: BulkExport.Options) => Effect.map(items(options), (all) => all.at(-1)?.checkpoint)

/** The error of a kick-off. */
const refusal = (options: BulkExport.KickOffOptions) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(BulkExport.start(yield* sandbox, options))
    return error._tag === "FhirError" ? error : undefined
  })

describe("the bulk export of SandboxEhr", () => {
  it.effect("a POST with patients exports their compartments only", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ids({ of: "patients", patients: ["b"] }), ["b", "o2"])
      assert.deepStrictEqual(yield* ids({ of: "patients", types: ["Observation"], method: "POST" }), ["o1", "o2"])
      assert.deepStrictEqual(yield* ids({ outputFormat: "ndjson", handling: "lenient" }), ["a", "b", "o1", "o2"])
    }).pipe(Effect.provide(backend({ resources }))))

  it.effect("refuses an invalid kick-off", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const headers = { prefer: "respond-async" }
      const refused = (request: Parameters<typeof fhir.request>[0]) =>
        Effect.map(Effect.flip(fhir.request({ headers, ...request })), (error) =>
          error._tag === "FhirError" ? error.status : error._tag)
      const post = (parameter: unknown, url = "$export") =>
        refused({
          interaction: "export",
          method: "POST",
          url,
          body: { json: { resourceType: "Parameters", parameter } }
        })
      assert.strictEqual(yield* post([{ name: "patient", valueReference: { reference: "Patient/a" } }]), 400)
      assert.strictEqual(yield* post([{ name: "_outputFormat", valueString: "parquet" }], "Patient/$export"), 400)
      assert.strictEqual(yield* post("x"), 400)
      assert.strictEqual(
        yield* refused({ interaction: "export", url: "$export", params: { patient: "Patient/a" } }),
        400
      )
      assert.strictEqual(yield* refused({ interaction: "export", url: "$export", headers: {} }), 400)
    }).pipe(Effect.provide(backend({ resources }))))

  it.effect("a group and all patients have the resources of their compartments only", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ids({ of: { group: "g" } }), ["a", "o1", "o3"])
      assert.deepStrictEqual(yield* ids({ of: { group: "g" }, types: ["Patient"] }), ["a"])
      assert.deepStrictEqual(yield* ids({ of: { group: "g" }, patients: ["a"], types: ["Observation"] }), ["o1", "o3"])
      assert.deepStrictEqual(yield* ids({ of: "patients" }), ["a", "b", "o1", "o2", "o3"])
      assert.deepStrictEqual(yield* ids({}), ["a", "b", "doctor", "g", "o1", "o2", "o3"])
      assert.strictEqual((yield* refusal({ of: { group: "unknown" } }))?.status, 404)
      assert.strictEqual((yield* refusal({ of: { group: "g" }, patients: ["b"] }))?.issues[0]?.code, "not-found")
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("`_typeFilter` selects within a type; several filters are alternatives", () =>
    Effect.gen(function*() {
      const filtered = (typeFilters: ReadonlyArray<string>) => ids({ types: ["Patient", "Observation"], typeFilters })
      assert.deepStrictEqual(yield* filtered(["Observation?code=8867-4"]), ["a", "b", "o3"])
      assert.deepStrictEqual(
        yield* filtered(["Observation?code=8867-4&subject=Patient/a", "Observation?subject=Patient/b"]),
        ["a", "b", "o2", "o3"]
      )
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("`_elements` leaves the named and the mandatory elements, and marks the resources", () =>
    Effect.gen(function*() {
      const all = yield* items({ types: ["Patient", "Observation"], elements: ["Patient.birthDate", "subject"] })
      const find = (id: string) => all.find(({ resource }) => resource["id"] === id)?.resource ?? {}
      assert.sameMembers(Object.keys(find("a")), ["resourceType", "id", "meta", "birthDate"])
      assert.sameMembers(Object.keys(find("o3")), ["resourceType", "id", "meta", "status", "code", "subject"])
      assert.include(JSON.stringify(find("o3")), "SUBSETTED")
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("`organizeOutputBy` has blocks of one patient each; the client names the patient of each resource", () =>
    Effect.gen(function*() {
      const all = yield* items({ of: "patients", organizeOutputBy: "Patient" })
      assert.deepStrictEqual(
        all.map(({ organizer, resource, type }) => [String(resource["id"]), organizer, type]).sort(),
        [
          ["a", "Patient/a", "Resource"],
          ["b", "Patient/b", "Resource"],
          ["o1", "Patient/a", "Resource"],
          ["o2", "Patient/b", "Resource"],
          ["o3", "Patient/a", "Resource"]
        ]
      )
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("`_since` has changes and deletions after an export", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      // The initial resources are of 2024.
      yield* TestClock.setTime(Date.parse("2026-01-01T00:00:00Z"))
      const first = yield* checkpointOf({})
      const since = first?.job.transactionTime ?? assert.fail("no transactionTime")
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* ids({ since }), [])
      yield* fhir.update({ resourceType: "Patient", id: "b", gender: "male" })
      yield* fhir.delete("Observation", "o1")
      const next = yield* items({ since })
      assert.deepStrictEqual(next.map(({ kind, resource }) => [kind, resource["id"]]), [
        ["output", "b"],
        ["deleted", undefined]
      ])
      assert.deepInclude(next[1]?.resource["entry"], { request: { method: "DELETE", url: "Observation/o1" } })
      assert.deepStrictEqual(yield* ids({ since, until: since }), [])
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("`allowPartialManifests` has manifests that link to each other; each is ready later than the one before", () =>
    Effect.gen(function*() {
      const all = yield* items({ allowPartialManifests: true, concurrency: 1 })
      assert.deepStrictEqual(all.map(({ resource }) => String(resource["id"])).sort(), [
        "a",
        "b",
        "doctor",
        "g",
        "o1",
        "o2",
        "o3"
      ])
      const { job } = all.at(-1)!.checkpoint
      assert.strictEqual(job.files.length, 4)
      assert.strictEqual(job.manifests.length, 4)
      const ehr = yield* SandboxEhr.SandboxEhr
      const statuses = (yield* ehr.requests).filter(({ url }) => /job-1(\/manifest-\d)?$/.test(url))
      assert.deepStrictEqual(statuses.map(({ method, status }) => `${method} ${status}`).sort(), [
        "DELETE 202",
        ...Array.from({ length: 4 }, () => "GET 200"),
        ...Array.from({ length: 4 }, () => "GET 202")
      ])
    }).pipe(Effect.provide(backend({ resources: cohort, bulkData: { filesPerManifest: 1 } }))))

  it.effect("wrong parameters are refused with an OperationOutcome; `lenient` reports what it ignores", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [BulkExport.KickOffOptions, string]> = [
        [{ since: "2024" }, "invalid"],
        [{ until: "yesterday" }, "invalid"],
        [{ types: ["Unknown"] }, "not-supported"],
        [{ types: ["Patient"], typeFilters: ["Observation?code=1"] }, "invalid"],
        [{ typeFilters: ["code=1"] }, "invalid"],
        [{ typeFilters: ["Observation?unknown=1"] }, "not-supported"],
        [{ elements: ["Patient.name.given"] }, "invalid"],
        [{ organizeOutputBy: "Encounter" }, "not-supported"],
        [{ includeAssociatedData: ["LatestProvenanceResources"] }, "not-supported"],
        [{ params: { allowPartialManifests: "maybe" } }, "invalid"],
        [{ params: { _unknown: "1" } }, "not-supported"],
        [{ since: "2024-01-01T00:00:00Z", params: { _since: "2024-01-01T00:00:00Z" } }, "invalid"],
        [{ of: "patients", patients: ["c"] }, "not-found"]
      ]
      for (const [options, code] of cases) {
        for (const method of options.patients === undefined ? ["GET", "POST"] as const : ["POST"] as const) {
          const error = yield* refusal({ ...options, method })
          assert.deepStrictEqual(
            [error?.status, error?.issues[0]?.code],
            [400, code],
            `${method} ${JSON.stringify(options)}`
          )
        }
      }
      const lenient = yield* items({
        handling: "lenient",
        types: ["Patient", "Unknown"],
        includeAssociatedData: ["LatestProvenanceResources"],
        params: { _unknown: "1" }
      })
      assert.deepStrictEqual(lenient.map(({ kind }) => kind).sort(), ["error", "error", "error", "output", "output"])
    }).pipe(Effect.provide(backend({ resources: cohort }))))

  it.effect("a parameter of a POST must have the type of the operation", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      for (
        const parameter of [
          { name: "_since", valueString: "2024-01-01T00:00:00Z" },
          { name: "_type", valueCode: "Patient" },
          { name: "allowPartialManifests", valueString: "true" },
          { name: "_type" },
          { valueString: "Patient" }
        ]
      ) {
        const error = yield* Effect.flip(fhir.request({
          interaction: "export",
          method: "POST",
          url: "$export",
          headers: { prefer: "respond-async" },
          body: { json: { resourceType: "Parameters", parameter: [parameter] } }
        }))
        assert.strictEqual(error._tag === "FhirError" ? error.status : undefined, 400, JSON.stringify(parameter))
      }
    }).pipe(Effect.provide(backend({ resources }))))

  it.effect("signed URLs expire; the client continues with new ones, and sends them no token", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(Stream.runForEach(
        BulkExport.run(fhir, { concurrency: 1, types: ["Observation"] }),
        ({ resource }) => Effect.as(Effect.sleep("7 seconds"), void seen.push(String(resource["id"])))
      ))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, Array.from({ length: 20 }, (_, index) => `o${index}`))
      const requests = yield* ehr.requests
      const files = requests.filter(({ url }) => url.includes(".ndjson?signature="))
      assert.isTrue(files.some(({ status }) => status === 403))
      assert.isTrue(files.every(({ headers }) => headers["authorization"] === undefined))
      assert.isAbove(requests.filter(({ method, url }) => method === "GET" && url.endsWith("/bulk/job-1")).length, 2)
      const withToken = yield* Effect.flip(
        fhir.request({ interaction: "file", url: new URL(files[0]!.url, ehr.fhirBaseUrl).href })
      )
      assert.strictEqual(withToken._tag === "FhirError" ? withToken.status : undefined, 400)
    }).pipe(Effect.provide(backend({
      bulkData: { fileUrlLifetime: "10 seconds" },
      resources: Array.from({ length: 20 }, (_, index) => ({ resourceType: "Observation", id: `o${index}` }))
    }))))

  it.effect("an export ends with its lifetime, which `Expires` announces, and belongs to the client that started it", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const ehr = yield* SandboxEhr.SandboxEhr
      const started = yield* BulkExport.start(fhir, { types: ["Patient"] })
      yield* BulkExport.poll(fhir, started)
      const status = yield* BulkExport.poll(fhir, started)
      const job = status._tag === "Manifest" ? status.job : assert.fail("no manifest")
      assert.strictEqual(job.expiresAt, 3_600_000)
      const app = (yield* ehr.clients).find(({ clientId }) => clientId === "sandbox-backend")
      yield* ehr.register({ ...app!, clientId: "other" })
      const client = yield* HttpClient.HttpClient
      const other = yield* HttpClientRequest.post(ehr.endpoints.token).pipe(
        HttpClientRequest.basicAuth("other", SandboxEhr.defaultClientSecret),
        HttpClientRequest.bodyUrlParams({ grant_type: "client_credentials", scope: "system/*.rs" }),
        client.execute,
        Effect.flatMap(({ json }) => json)
      )
      const foreign = yield* HttpClientRequest.get(job.statusUrl).pipe(
        HttpClientRequest.bearerToken(String((other as { readonly access_token?: string }).access_token)),
        client.execute
      )
      assert.strictEqual(foreign.status, 404)
      yield* TestClock.adjust("61 minutes")
      const error = yield* Effect.flip(Stream.runDrain(BulkExport.readFile(fhir, job, 0)))
      assert.include(error._tag === "FhirError" ? error.message : "", "the server announced to remove the files")
    }).pipe(Effect.provide(backend({ resources, bulkData: { exportLifetime: "1 hour" } }))))

  it.effect("returns a file from a byte on", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      let job = yield* BulkExport.start(fhir, { types: ["Patient"] })
      while (!job.isComplete) {
        const status = yield* BulkExport.poll(fhir, job)
        if (status._tag === "Manifest") job = status.job
      }
      const read = (from?: BulkExport.Position) =>
        Effect.map(Stream.runCollect(BulkExport.readFile(fhir, job, 0, { from })), (items) => Array.from(items))
      const [first] = yield* read()
      const rest = yield* read(first?.position)
      assert.deepStrictEqual(rest.map(({ line, resource }) => [line, resource["id"]]), [[2, "b"]])
      const past = yield* Effect.flip(
        fhir.request({ interaction: "file", url: job.files[0]?.url ?? "", headers: { range: "bytes=9999-" } })
      )
      assert.strictEqual(past._tag === "FhirError" ? past.status : undefined, 416)
    }).pipe(Effect.provide(backend({ resources }))))
})
