/** The recipes of `examples/bulk-export`: NDJSON files, PostgreSQL by COPY, Parquet by DuckDB. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { BulkExport } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import pg from "pg"
import * as Bytes from "../../examples/bulk-export/bytes.js"
import * as Ndjson from "../../examples/bulk-export/ndjson.js"
import * as Parquet from "../../examples/bulk-export/parquet.js"
import * as Postgres from "../../examples/bulk-export/postgres.js"
import * as Steps from "../../examples/bulk-export/steps.js"
import * as VitalSigns from "../../examples/bulk-export/stream.js"
import * as Sandbox from "../../examples/support/sandbox.js"
import { base, written } from "../fhir/fixtures.js"
import * as Databases from "../support/databases.js"
import * as Http from "../support/http.js"
import { runExample } from "../support/runExample.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "bulk-sinks-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

/** A server with one file for each type. */
const server = (files: Readonly<Record<string, ReadonlyArray<unknown>>>) =>
  Http.fake(({ method, url }) => {
    if (url.includes("$export")) {
      return Http.text("", { status: 202, headers: { "content-location": `${base}/status/1` } })
    }
    if (method === "DELETE") return Http.text("", { status: 202 })
    if (url.endsWith("/status/1")) {
      return Http.json({
        requiresAccessToken: true,
        output: Object.entries(files).map(([type, lines]) => ({
          type,
          url: `${base}/files/${type}`,
          count: lines.length
        })),
        error: []
      })
    }
    return Http.text((files[url.split("/").at(-1) ?? ""] ?? []).map((one) => `${JSON.stringify(one)}\n`).join(""))
  })

const patients = Array.from({ length: 25 }, (_, index) => ({ resourceType: "Patient", id: `p${index + 1}` }))

const observation = (id: string, patient: string, value: number, effectiveDateTime: string, status = "final") => ({
  resourceType: "Observation",
  id,
  status,
  code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
  subject: { reference: `Patient/${patient}` },
  effectiveDateTime,
  valueQuantity: { value, unit: "mmHg" },
  note: [{ text: "tab\t newline\n backslash\\ quote\" ünïcode 🫀" }]
})

/** The blood pressure of US Core. */
const panel = (id: string, patient: string, value: number, effectiveDateTime: string) => {
  const { valueQuantity, ...rest } = observation(id, patient, value, effectiveDateTime)
  const coded = (code: string) => ({ coding: [{ system: "http://loinc.org", code }] })
  return {
    ...rest,
    code: coded("85354-9"),
    component: [
      { code: coded("8462-4"), valueQuantity: { value: 200, unit: "mmHg" } },
      { code: rest.code, valueQuantity }
    ]
  }
}

const condition = (id: string, patient: string, clinicalStatus: string) => ({
  resourceType: "Condition",
  id,
  clinicalStatus: { coding: [{ code: clinicalStatus }] },
  code: { coding: [{ system: "http://snomed.info/sct", code: "38341003" }] },
  subject: { reference: `Patient/${patient}` }
})

const clinical = {
  Patient: patients,
  Observation: [
    observation("o1", "p1", 150, "2024-05-01T10:00:00Z"),
    observation("o2", "p1", 120, "2024-01-01T10:00:00Z"),
    observation("o3", "p2", 160, "2024-01-01T10:00:00Z"),
    observation("o4", "p2", 118, "2024-05-01T10:00:00+02:00"),
    observation("o5", "p3", 170, "2024-05-01T10:00:00Z"),
    observation("o6", "p4", 145, "2024-05-01T10:00:00Z"),
    observation("o7", "p5", 190, "2024-05-01T10:00:00Z", "entered-in-error"),
    panel("o8", "p6", 155, "2024-05-01T10:00:00Z"),
    panel("o9", "p7", 165, "2024-01-01T10:00:00Z"),
    panel("o10", "p7", 125, "2024-05-01T10:00:00Z"),
    panel("o11", "p8", 175, "2024-05-01T10:00:00Z")
  ],
  Condition: [condition("c1", "p3", "active"), condition("c2", "p4", "resolved"), {
    ...condition("c3", "p8", "active"),
    code: { coding: [{ code: "other" }, { system: "http://hl7.org/fhir/sid/icd-10-cm", code: "I10" }] }
  }]
}

const lines = (path: string, name: string): ReadonlyArray<unknown> =>
  Fs.readFileSync(Path.join(path, `${name}.ndjson`), "utf8").trimEnd().split("\n").map((line): unknown =>
    JSON.parse(line)
  )

describe("examples/bulk-export", () => {
  it.scopedLive("NDJSON: a file for each type, and after a failure each resource once", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const fhir = yield* written(server(clinical))
      let batches = 0
      const interrupted: BulkExport.BatchOptions = {
        batchSize: 4,
        concurrency: 2,
        onProgress: () => ++batches > 1 ? Effect.interrupt : Effect.void
      }
      yield* Effect.exit(Ndjson.toNdjson(fhir, path, interrupted))
      // A kill between the write of a file and that of the checkpoint.
      Fs.appendFileSync(Path.join(path, "Patient.ndjson"), "{\"resourceType\":\"Pat")
      yield* Ndjson.toNdjson(fhir, path, { batchSize: 4 })
      assert.sameDeepMembers([...lines(path, "Patient")], patients)
      assert.sameDeepMembers([...lines(path, "Observation")], clinical.Observation)
      assert.sameDeepMembers([...lines(path, "Condition")], clinical.Condition)
    }))

  it.scopedLive("NDJSON: a kill after the first write of a file, before its length was stored, repeats no resource", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const http = server(clinical)
      const fhir = yield* written(http)
      const job = yield* BulkExport.start(fhir)
      const checkpoint = Schema.encodeSync(BulkExport.Checkpoint)(
        new BulkExport.Checkpoint({ job, positions: { open: {}, done: [] } })
      )
      Fs.writeFileSync(Path.join(path, "state.json"), JSON.stringify({ checkpoint, lengths: {}, isComplete: false }))
      Fs.writeFileSync(Path.join(path, "Patient.ndjson"), `${JSON.stringify(patients[0])}\n`)
      yield* Ndjson.toNdjson(fhir, path)
      assert.deepStrictEqual(lines(path, "Patient"), patients)
      assert.strictEqual(http.requests.filter(({ url }) => url.includes("$export")).length, 1)
    }))

  it.scopedLive("NDJSON: a complete export is deleted at the server, and is not repeated", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const http = server(clinical)
      const fhir = yield* written(http)
      const first = yield* Ndjson.toNdjson(fhir, path)
      assert.strictEqual(http.requests.at(-1)?.method, "DELETE")
      const { length } = http.requests
      assert.deepStrictEqual(yield* Ndjson.toNdjson(fhir, path), first)
      assert.strictEqual(http.requests.length, length)
      assert.strictEqual(lines(path, "Patient").length, patients.length)
    }))

  it.scopedLive("NDJSON: a state that cannot be read does not start another export", () =>
    Effect.gen(function*() {
      const path = yield* directory
      Fs.mkdirSync(Path.join(path, "state.json"))
      const http = server(clinical)
      const error = yield* Effect.flip(Ndjson.toNdjson(yield* written(http), path))
      assert.strictEqual(error._tag, "WriteError")
      assert.strictEqual(http.requests.length, 0)
    }))

  it.scopedLive("one file with the bytes of the server; a path that cannot be written is an error", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* directory, "all.ndjson")
      const fhir = yield* written(server(clinical))
      yield* Bytes.toFile(fhir, path, { concurrency: 1 })
      assert.strictEqual(
        Fs.readFileSync(path, "utf8"),
        Object.values(clinical).flat().map((one) => `${JSON.stringify(one)}\n`).join("")
      )
      const error = yield* Effect.flip(Bytes.toFile(fhir, Path.join(path, "x")))
      assert.strictEqual(error._tag, "FileError")
    }))

  it.scopedLive("NDJSON: a type that is not one of FHIR does not become a path", () =>
    Effect.gen(function*() {
      const path = yield* directory
      yield* Ndjson.toNdjson(
        yield* written(server({ Patient: [{ resourceType: "../x", id: "1" }, ...patients] })),
        path
      )
      assert.sameMembers(Fs.readdirSync(path), ["Patient.ndjson", "Resource.ndjson", "state.json"])
      assert.strictEqual(lines(path, "Resource").length, 1)
    }))

  it.scopedLive(
    "Parquet: DuckDB finds patients with an elevated pressure and without a diagnosis",
    () =>
      Effect.gen(function*() {
        const path = yield* directory
        yield* Ndjson.toNdjson(yield* written(server(clinical)), path)
        yield* Parquet.toParquet(path)
        assert.deepStrictEqual([...yield* Parquet.undiagnosedHypertension(path)], [
          { patient: "p1", systolic: 150 },
          { patient: "p4", systolic: 145 },
          { patient: "p6", systolic: 155 }
        ])
      }),
    60_000
  )

  it.scopedLive(
    "the program of the guide exports a server with the configuration of the environment",
    () =>
      Effect.gen(function*() {
        const path = yield* directory
        const { fhirBaseUrl } = yield* Sandbox.start()
        const { code, output } = yield* runExample("bulk-export/export.ts", {
          args: [path],
          environment: {
            SMART_FHIR_BASE_URL: fhirBaseUrl,
            SMART_CLIENT_ID: "sandbox-backend",
            SMART_CLIENT_SECRET: Redacted.value(SandboxEhr.defaultClientSecret),
            SMART_SCOPES: "system/*.rs",
            SMART_ALLOW_INSECURE_LOCALHOST: "true"
          }
        })
        assert.strictEqual(code, 0, output)
        assert.include(output, "Waiting: half done 0 of ? resources, 0 files done")
        assert.isAtLeast(lines(path, "Observation").length, 10)
        assert.match(output, /^Observation: \d+ bytes$/m)
      }),
    60_000
  )

  it.scopedLive("kick-off, status, files and deletion as separate steps, and the stream of one group", () =>
    Effect.gen(function*() {
      const http = server(clinical)
      const fhir = yield* written(http)
      assert.deepStrictEqual(
        yield* Steps.countByFile(fhir),
        Object.values(clinical).map(({ length }) => length)
      )
      assert.strictEqual(http.requests.filter(({ method }) => method === "DELETE").length, 1)
      assert.strictEqual(yield* Stream.runCount(VitalSigns.vitalSigns(fhir, "2024-01-01T00:00:00Z")), 39)
      assert.isTrue(http.requests.some(({ url }) => url.startsWith(`${base}/Group/diabetes/$export?`)))
    }))

  const postgres = Databases.postgres()
  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "PostgreSQL: COPY and checkpoint in one transaction, and after a failure each resource once",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const url = yield* postgres.url
        const client = yield* Effect.acquireRelease(
          Effect.promise(async () => {
            const client = new pg.Client(Redacted.value(url))
            await client.connect()
            return client
          }),
          (client) => Effect.promise(() => client.end())
        )
        let isBroken = true
        const broken = { resourceType: "Patient", id: "nul\u0000" }
        const fhir = yield* written(Http.fake((seen) => {
          const files = { ...clinical, Condition: isBroken ? [...clinical.Condition, broken] : clinical.Condition }
          const { client: http } = server(files)
          return Effect.orDie(Effect.flatMap(http.execute(seen.request), (response) =>
            Effect.map(response.text, (text) =>
              new Response(text === "" ? null : text, { status: response.status, headers: { ...response.headers } }))))
        }))
        const error = yield* Effect.flip(Postgres.toPostgres(fhir, client, "nightly", { batchSize: 8, concurrency: 1 }))
        assert.strictEqual(error._tag, "CopyError")
        const count = Effect.map(
          Effect.promise(() =>
            client.query<{ readonly count: number }>("SELECT count(*)::int AS count FROM resources")
          ),
          ({ rows: [row] }) => row?.count
        )
        assert.strictEqual(yield* count, 32)
        isBroken = false
        yield* Postgres.toPostgres(fhir, client, "nightly", { batchSize: 8, wrongCount: "warn" })
        assert.strictEqual(yield* count, 39)
        yield* Postgres.toPostgres(fhir, client, "nightly")
        assert.strictEqual(yield* count, 39)
        const { rows } = yield* Effect.promise(() =>
          client.query<{ readonly body: unknown }>("SELECT body FROM resources WHERE kind = 'output' AND id = 'o1'")
        )
        assert.deepStrictEqual(rows.map(({ body }) => body), [clinical.Observation[0]])
      }),
    60_000
  )
})
