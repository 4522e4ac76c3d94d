/** The bulk server of the sandbox. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport } from "effect-safire"
import { backend, sandbox } from "../fhir/fixtures.js"

const resources = [
  { resourceType: "Patient", id: "a" },
  { resourceType: "Patient", id: "b" },
  { resourceType: "Observation", id: "o1", subject: { reference: "Patient/a" } },
  { resourceType: "Observation", id: "o2", subject: { reference: "Patient/b" } }
]

const ids = (options: BulkExport.Options) =>
  Effect.gen(function*() {
    const fhir = yield* sandbox
    const fiber = yield* Effect.fork(Stream.runCollect(BulkExport.run(fhir, options)))
    yield* TestClock.adjust("1 minute")
    return Array.from(yield* Fiber.join(fiber), ({ resource }) => String(resource["id"])).sort()
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
