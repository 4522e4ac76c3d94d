/** The interactions at a FHIR server of other authors (Medplum) with 10,000 resources, over sockets. */
import { assert, describe, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { BackendServices, FhirClient, FhirError } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { birthDate } from "../../examples/fhir/graphql.js"
import { counts, type MedplumFhirServer, medplumFhirServer } from "../support/medplumFhirServer.js"
import { over, token } from "./fixtures.js"

class Medplum extends Context.Tag("Medplum")<Medplum, MedplumFhirServer>() {}

const client = Effect.flatMap(Medplum, ({ fhirBaseUrl }) => over(NodeTransport.layer(), { fhirBaseUrl }))

const failure = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.flip(self),
    (error) => error instanceof FhirError ? [error.reason, error.status, error.processed] : []
  )

const heartRate = {
  resourceType: "Observation",
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "8867-4" }] }
} as const

describe("FhirClient at Medplum's server", () => {
  layer(Layer.scoped(Medplum, medplumFhirServer), { timeout: "60 seconds" })((it) => {
    it.scoped("[SMART-93] `read` and `vread` return typed resources", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const patient = yield* fhir.read("Patient", "patient-0007")
        assert.strictEqual(patient.name?.[0]?.family, "Family0007")
        const schema = Schema.Struct({ gender: Schema.Literal("male", "female") })
        assert.strictEqual((yield* fhir.read("Patient", "patient-0007", { schema })).gender, "male")
        const { versionId = "" } = yield* fhir.readStored("Patient", "patient-0007")
        assert.deepStrictEqual(yield* fhir.vread("Patient", "patient-0007", versionId), patient)
        assert.deepStrictEqual(yield* failure(fhir.read("Patient", "absent")), ["NotFound", 404, "no"])
        const { requests } = yield* Medplum
        assert.strictEqual(requests.at(-1)?.headers["authorization"], `Bearer ${token}`)
      }))

    it.scoped("`conditionalRead` returns the value `NotModified` for 304", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const { etag } = yield* fhir.readStored("Patient", "patient-0001")
        const unchanged = yield* fhir.conditionalRead("Patient", "patient-0001", { ifNoneMatch: etag })
        assert.deepStrictEqual(
          unchanged,
          new FhirClient.NotModified({ etag, lastModified: unchanged.lastModified })
        )
        const changed = yield* fhir.conditionalRead("Patient", "patient-0001", { ifNoneMatch: "W/\"0\"" })
        assert.strictEqual(changed instanceof FhirClient.NotModified ? undefined : changed.resource.id, "patient-0001")
      }))

    it.scoped("a resource is created, updated, patched and deleted; a stale `ifMatch` is `PreconditionFailed`", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const created = yield* fhir.create({ ...heartRate, subject: { reference: "Patient/patient-0002" } })
        assert.strictEqual(created.status, 201)
        const { id = "" } = created.resource ?? {}
        const updated = yield* fhir.update({ ...heartRate, id, status: "amended" }, { ifMatch: created.etag })
        assert.strictEqual(updated.resource?.status, "amended")
        const stale = fhir.update({ ...heartRate, id }, { ifMatch: created.etag })
        assert.deepStrictEqual(yield* failure(stale), ["PreconditionFailed", 412, "no"])
        const patched = yield* fhir.patch("Observation", id, [
          { op: "test", path: "/status", value: "amended" },
          { op: "replace", path: "/status", value: "corrected" }
        ])
        assert.strictEqual(patched.resource?.status, "corrected")
        const versions = yield* Stream.runCollect(fhir.history({ resourceType: "Observation", id }))
        assert.deepStrictEqual(Chunk.toReadonlyArray(versions).map(({ resource }) => resource?.status), [
          "corrected",
          "amended",
          "final"
        ])
        yield* fhir.delete("Observation", id)
        assert.deepStrictEqual(yield* failure(fhir.read("Observation", id)), ["NotFound", 404, "no"])
      }))

    it.scoped("conditional interactions act on the resource that matches", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const criteria = { identifier: "https://app.example/ids|conditional" }
        const identifier = [{ system: "https://app.example/ids", value: "conditional" }]
        const first = yield* fhir.create({ resourceType: "Patient", identifier }, { ifNoneExist: criteria })
        const second = yield* fhir.create({ resourceType: "Patient", identifier }, { ifNoneExist: criteria })
        assert.deepStrictEqual([first.status, second.status, second.resource?.id], [201, 200, first.resource?.id])
        const updated = yield* fhir.conditionalUpdate(criteria, {
          resourceType: "Patient",
          identifier,
          gender: "other"
        })
        assert.deepStrictEqual([updated.resource?.id, updated.resource?.gender], [first.resource?.id, "other"])
        const patched = yield* fhir.conditionalPatch("Patient", criteria, [
          { op: "replace", path: "/gender", value: "unknown" }
        ])
        assert.strictEqual(patched.resource?.gender, "unknown")
        const several = fhir.conditionalUpdate({ gender: "male" }, { resourceType: "Patient", active: true })
        assert.deepStrictEqual(yield* failure(several), ["PreconditionFailed", 412, "no"])
        yield* fhir.conditionalDelete("Patient", criteria)
        assert.strictEqual(yield* Stream.runCount(fhir.search("Patient", criteria)), 0)
      }))

    it.scoped("`search` reads all pages, by GET and by POST", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        assert.strictEqual(yield* Stream.runCount(fhir.search("Observation", { _count: 1000 })), counts.Observation)
        const found = yield* Stream.runCollect(
          fhir.search("Observation", { subject: "Patient/patient-0003", _count: 50 }, { method: "POST" })
        )
        assert.deepStrictEqual(
          new Set(Chunk.toReadonlyArray(found).map(({ subject }) => subject?.reference)),
          new Set(["Patient/patient-0003"])
        )
      }))

    it.scoped("a batch has a result for each request", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const results = yield* fhir.batch([
          { method: "GET", url: "Patient/patient-0004" },
          { method: "GET", url: "Patient/absent" },
          { method: "POST", url: "Observation", resource: heartRate }
        ])
        assert.deepStrictEqual(
          results.map(Either.match({
            onLeft: ({ index, reason }) => [index, reason],
            onRight: ({ index, resource, status }) => [index, status, resource?.resourceType]
          })),
          [[0, 200, "Patient"], [1, "NotFound"], [2, 201, "Observation"]]
        )
      }))

    it.scoped("a transaction of 500 entries returns each entry's index and resource, with resolved references", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const entries = yield* fhir.transaction([
          {
            method: "POST",
            url: "Patient",
            fullUrl: "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
            resource: { resourceType: "Patient" }
          },
          ...Array.from({ length: 499 }, () => ({
            method: "POST" as const,
            url: "Observation",
            resource: { ...heartRate, subject: { reference: "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0" } }
          }))
        ])
        assert.deepStrictEqual(entries.map(({ index }) => index), Array.from({ length: 500 }, (_, index) => index))
        const [patient, observation] = entries.map(({ resource }) => resource)
        assert.deepStrictEqual(
          observation?.resourceType === "Observation" ? observation.subject?.reference : undefined,
          `Patient/${patient?.id}`
        )
      }))

    it.scoped("a transaction of which the server processed a part has the result of each entry", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const identifier = [{ system: "https://app.example/ids", value: "transaction" }]
        const error = yield* Effect.flip(fhir.transaction([
          { method: "POST", url: "Patient", resource: { resourceType: "Patient", identifier } },
          { method: "GET", url: "Patient/absent" }
        ]))
        const stored = yield* Stream.runCount(
          fhir.search("Patient", { identifier: "https://app.example/ids|transaction" })
        )
        assert.deepStrictEqual([
          error.reason,
          error.processed,
          error.entries?.map(({ processed }) => processed),
          stored
        ], ["NotFound", "partly", ["yes", "no"], 1])
      }))

    it.scoped("`graphql` returns the data and the errors of a query", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const schema = Schema.Struct({ Patient: Schema.Struct({ id: Schema.String, gender: Schema.String }) })
        const { data, errors } = yield* fhir.graphql("query($id: ID!) { Patient(id: $id) { id gender } }", {
          variables: { id: "patient-0005" },
          schema
        })
        assert.deepStrictEqual([data.Patient, errors], [{ id: "patient-0005", gender: "male" }, []])
        assert.strictEqual(
          yield* birthDate("patient-0005").pipe(
            Effect.provideService(FhirClient.FhirClient, { forBackend: () => fhir } as unknown as FhirClient.Service),
            Effect.provideService(BackendServices.BackendServices, {} as BackendServices.Service)
          ),
          "1955-01-01"
        )
      }))
  })
})
