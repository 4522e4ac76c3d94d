/**
 * An export into PostgreSQL by COPY. The rows and the checkpoint are written in one transaction: after a kill, the
 * export goes on without loss or repetition.
 */
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BulkExport, type FhirClient } from "effect-safire"
import type { Client } from "pg"
import * as Copy from "pg-copy-streams"

/** A statement failed. */
export class CopyError extends Data.TaggedError("CopyError")<{ readonly cause: unknown }> {
  override get message(): string {
    return "PostgreSQL rejected a statement"
  }
}

const CheckpointJson = Schema.parseJson(BulkExport.Checkpoint)

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new CopyError({ cause }) })

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" }

/** A value in the text format of COPY. */
const escape = (value: string): string => value.replace(/[\\\t\n\r]/g, (character) => ESCAPES[character] ?? "")

const rowOf = ({ kind, resource, text }: BulkExport.Item): string =>
  `${kind}\t${escape(resource.resourceType)}\t${escape(String(resource["id"] ?? ""))}\t${escape(text)}\n`

/**
 * Loads an export into the table `resources`. `name` identifies the export, such as the server and the day: a complete
 * export is not repeated.
 */
export const toPostgres = <E, R>(
  fhir: FhirClient.Authorized<E, R>,
  client: Client,
  name: string,
  options: BulkExport.BatchOptions = {}
) =>
  Effect.gen(function*() {
    const query = (text: string, values: ReadonlyArray<unknown> = []) =>
      attempt(() => client.query<{ readonly checkpoint: string; readonly complete: boolean }>(text, [...values]))
    yield* query(`CREATE TABLE IF NOT EXISTS resources (kind text, type text, id text, body jsonb)`)
    yield* query(`CREATE TABLE IF NOT EXISTS exports (
      name text PRIMARY KEY, checkpoint text NOT NULL, complete boolean NOT NULL DEFAULT false)`)
    const { rows: [row] } = yield* query("SELECT checkpoint, complete FROM exports WHERE name = $1", [name])
    if (row?.complete === true) return
    const from = row === undefined ? undefined : yield* Schema.decode(CheckpointJson)(row.checkpoint)
    let last = from
    const save = (checkpoint: BulkExport.Checkpoint) => {
      last = checkpoint
      return Effect.flatMap(Effect.orDie(Schema.encode(CheckpointJson)(checkpoint)), (json) =>
        query(
          "INSERT INTO exports VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET checkpoint = EXCLUDED.checkpoint",
          [name, json]
        ))
    }
    const copy = (items: ReadonlyArray<BulkExport.Item>) =>
      attempt(() =>
        pipeline(
          Readable.from([items.map(rowOf).join("")]),
          client.query(Copy.from("COPY resources (kind, type, id, body) FROM STDIN"))
        )
      )
    const transaction = <A, E2>(self: Effect.Effect<A, E2>) =>
      Effect.acquireUseRelease(
        query("BEGIN"),
        () => Effect.zipLeft(self, query("COMMIT")),
        // After a COMMIT this has no effect.
        () => Effect.ignore(query("ROLLBACK"))
      )
    yield* BulkExport.runForEachBatch(
      fhir,
      ({ checkpoint, items }) => transaction(Effect.asVoid(Effect.zipRight(copy(items), save(checkpoint)))),
      {
        batchSize: 5_000,
        ...options,
        from,
        onStart: (checkpoint) => Effect.asVoid(Effect.orDie(save(checkpoint))),
        onFinish: "keep"
      }
    )
    // Before the deletion: without the export, the program could not resume.
    yield* query("UPDATE exports SET complete = true WHERE name = $1", [name])
    if (last !== undefined) yield* Effect.ignoreLogged(BulkExport.remove(fhir, last.job))
  })
