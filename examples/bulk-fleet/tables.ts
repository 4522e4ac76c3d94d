/**
 * The tables of the fleet. The cluster stores payloads, results and errors of workflows as plain text. Jobs have URLs
 * that may be signed, so they are here, and workflows refer to them by server and run.
 */
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "@effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { BulkExport } from "effect-safire"

export interface Run {
  readonly server: string
  readonly run: string
}

const JobJson = Schema.parseJson(BulkExport.Job)
const PositionJson = Schema.parseJson(BulkExport.Position)

/** Only one program at a time runs it. */
const exclusively = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* sql.reserve
    yield* Effect.acquireRelease(
      connection.executeRaw("SELECT pg_advisory_lock(7230961)", []),
      () => Effect.ignoreLogged(connection.executeRaw("SELECT pg_advisory_unlock(7230961)", []))
    )
    return yield* self
  }))

/** The cluster creates its tables when its storage is built, and fails if two programs do so at the same time. */
const clusterTables = Effect.scoped(
  Layer.build(
    Layer.provide(Layer.merge(SqlMessageStorage.layer, SqlRunnerStorage.layer), ShardingConfig.layerDefaults)
  )
)

const ownTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS fleet_jobs (
    server text, run text, job text NOT NULL, state text NOT NULL, PRIMARY KEY (server, run))`
  yield* sql`CREATE TABLE IF NOT EXISTS fleet_files (
    server text, run text, file integer, type text NOT NULL, expected integer, position text NOT NULL,
    resources integer NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false, runner text,
    PRIMARY KEY (server, run, file))`
  // Without a unique key, so that a resource that arrives twice is visible.
  yield* sql`CREATE TABLE IF NOT EXISTS fleet_resources (
    server text, run text, type text, id text, body jsonb)`
})

/** Programs that start together create the tables once. Provide it to the cluster. */
export const create = exclusively(Effect.zipRight(ownTables, clusterTables))

export const findJob = ({ run, server }: Run) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly job: string }>`
      SELECT job FROM fleet_jobs WHERE server = ${server} AND run = ${run}`
    return row === undefined ? undefined : yield* Effect.orDie(Schema.decode(JobJson)(row.job))
  })

/** Stores the job and the files that it has more than before. */
export const saveJob = ({ run, server }: Run, job: BulkExport.Job, state: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const json = yield* Effect.orDie(Schema.encode(JobJson)(job))
    const start = yield* Effect.orDie(Schema.encode(PositionJson)({ line: 0, offset: 0, resources: 0 }))
    const files = job.files.map(({ count = null, type }, file) => ({
      server,
      run,
      file,
      type,
      expected: count,
      position: start
    }))
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* sql`INSERT INTO fleet_jobs ${sql.insert({ server, run, job: json, state })}
        ON CONFLICT (server, run) DO UPDATE SET job = EXCLUDED.job, state = EXCLUDED.state`
      // A statement has 65,535 parameters at most.
      yield* Effect.forEach(Arr.chunksOf(files, 1_000), (some) =>
        sql`INSERT INTO fleet_files ${sql.insert(some)} ON CONFLICT DO NOTHING`)
    }))
  })

export const saveState = ({ run, server }: Run, state: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE fleet_jobs SET state = ${state} WHERE server = ${server} AND run = ${run}`
  )

export const findPosition = ({ run, server }: Run, file: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly position: string }>`
      SELECT position FROM fleet_files WHERE server = ${server} AND run = ${run} AND file = ${file}`
    return row === undefined ? undefined : yield* Effect.orDie(Schema.decode(PositionJson)(row.position))
  })

/**
 * Stores resources and the position after them in one transaction. Fails if the position before is not the stored one:
 * another runner has taken the file over.
 */
export const saveBatch = (
  { run, server }: Run,
  file: number,
  runner: string,
  before: BulkExport.Position,
  items: ReadonlyArray<BulkExport.FileItem>
): Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const last = items.at(-1)
    if (last === undefined) return true
    const encode = (position: BulkExport.Position) => Effect.orDie(Schema.encode(PositionJson)(position))
    const [from, to] = [yield* encode(before), yield* encode(last.position)]
    return yield* sql.withTransaction(Effect.gen(function*() {
      const updated = yield* sql`UPDATE fleet_files
        SET position = ${to}, resources = ${last.position.resources}, runner = ${runner}
        WHERE server = ${server} AND run = ${run} AND file = ${file} AND position = ${from} RETURNING file`
      if (updated.length === 0) return false
      yield* sql`INSERT INTO fleet_resources ${
        sql.insert(items.map(({ resource, text }) => ({
          server,
          run,
          type: resource.resourceType,
          id: String(resource["id"]),
          body: text
        })))
      }`
      return true
    }))
  })

export const saveDone = ({ run, server }: Run, file: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE fleet_files SET done = true WHERE server = ${server} AND run = ${run} AND file = ${file}`
  )

/** The files that a workflow has begun and not ended. */
export const unfinished = ({ run, server }: Run) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql<{ readonly file: number }>`SELECT file FROM fleet_files
      WHERE server = ${server} AND run = ${run} AND runner IS NOT NULL AND NOT done`)

export interface ServerRow {
  readonly server: string
  readonly state: string
  readonly files: number
  readonly filesDone: number
  readonly resources: number
  /** 0 if a file has no count. */
  readonly expected: number
  /** The types of the files that are being read. */
  readonly reading: string | null
}

/** One row for each server of a run. */
export const overview = (run: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql<ServerRow>`
      SELECT job.server, job.state, count(file.file)::int AS files,
        count(*) FILTER (WHERE file.done)::int AS "filesDone",
        coalesce(sum(file.resources), 0)::int AS resources,
        coalesce(CASE WHEN bool_and(file.expected IS NOT NULL) THEN sum(file.expected) END, 0)::int AS expected,
        string_agg(DISTINCT file.type, ',') FILTER (WHERE NOT file.done AND file.runner IS NOT NULL) AS reading
      FROM fleet_jobs job LEFT JOIN fleet_files file ON file.server = job.server AND file.run = job.run
      WHERE job.run = ${run} GROUP BY job.server, job.state ORDER BY job.server`)
