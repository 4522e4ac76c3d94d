/**
 * A program that stores every batch of resources together with its checkpoint in one transaction, to be killed at any
 * moment: `exportingProcess.ts <origin>`. `STORE` is the URL of a PostgreSQL database or the path of a SQLite file.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as BulkExport from "../../src/fhir/BulkExport.js"
import { over } from "./fixtures.js"

const CheckpointJson = Schema.parseJson(BulkExport.Checkpoint)

const [, , origin = ""] = process.argv
const store = process.env["STORE"] ?? ""

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS resources (file integer, line integer, id text)`
  yield* sql`CREATE TABLE IF NOT EXISTS checkpoints (id integer PRIMARY KEY, json text)`
  const saved = yield* sql<{ readonly json: string }>`SELECT json FROM checkpoints`
  const from = saved[0] === undefined ? undefined : yield* Schema.decode(CheckpointJson)(saved[0].json)
  const save = (checkpoint: BulkExport.Checkpoint) =>
    Effect.flatMap(
      Schema.encode(CheckpointJson)(checkpoint),
      (json) =>
        sql`INSERT INTO checkpoints (id, json) VALUES (1, ${json}) ON CONFLICT (id) DO UPDATE SET json = ${json}`
    )
  const fhir = yield* over(NodeHttpClient.layerUndici, { fhirBaseUrl: `${origin}/fhir` })
  yield* BulkExport.runForEachBatch(
    fhir,
    ({ checkpoint, items }) =>
      sql.withTransaction(Effect.zipRight(
        sql`INSERT INTO resources ${
          sql.insert(items.map(({ file, line, resource }) => ({ file, line, id: String(resource["id"]) })))
        }`,
        save(checkpoint)
      )),
    { from, onStart: (checkpoint) => Effect.asVoid(Effect.orDie(save(checkpoint))), batchSize: 7 }
  )
})

const database = store.startsWith("postgres")
  ? Effect.map(
    Effect.promise(() => import("@effect/sql-pg/PgClient")),
    (PgClient) => Layer.orDie(PgClient.layer({ url: Redacted.make(store) }))
  )
  : Effect.map(
    Effect.promise(() => import("@effect/sql-sqlite-node/SqliteClient")),
    (SqliteClient) => Layer.orDie(SqliteClient.layer({ filename: store }))
  )

Effect.runPromise(program.pipe(Effect.provide(Layer.unwrapEffect(database)), Effect.scoped)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  }
)
