/**
 * The exports of many servers as durable workflows. Each export is a workflow, and each of its files a child workflow,
 * which may run on another machine. An activity may run more than once: a kill can come after its effect and before
 * its result is stored.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Activity from "@effect/workflow/Activity"
import * as DurableClock from "@effect/workflow/DurableClock"
import * as Workflow from "@effect/workflow/Workflow"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { BulkExport, FhirClient } from "effect-safire"
import * as Tables from "./tables.js"
import { startAgain } from "./watchdog.js"

/**
 * The failure of a workflow, which the cluster stores as plain text: it has no message of a server and no URL.
 */
export class FleetError extends Schema.TaggedError<FleetError>()("FleetError", {
  server: Schema.String,
  step: Schema.String,
  reason: Schema.String,
  file: Schema.optional(Schema.Number),
  line: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    const file = this.file === undefined ? "" : `, file ${this.file + 1}`
    const line = this.line === undefined ? "" : ` line ${this.line}`
    return `export of ${this.server}${file}${line} failed at ${this.step} (${this.reason})`
  }
}

const run = { server: Schema.String, run: Schema.String }

export const ExportServer = Workflow.make({
  name: "ExportServer",
  payload: run,
  // The same key returns the same result for ever, so each run has its own.
  idempotencyKey: ({ run, server }) => `${server}/${run}`,
  success: Schema.Struct({ files: Schema.Number, resources: Schema.Number }),
  error: FleetError
})

export const LoadFile = Workflow.make({
  name: "LoadFile",
  payload: { ...run, file: Schema.Number },
  idempotencyKey: ({ file, run, server }) => `${server}/${run}/${file}`,
  success: Schema.Number,
  error: FleetError
})

/** Which runner this is, for the tables. */
const runnerName = Config.withDefault(Config.string("FLEET_RUNNER"), "runner")

/** The number of resources of one transaction. */
const batchSize = Config.withDefault(Config.integer("FLEET_BATCH"), 500)

const fhirOf = ({ server }: Tables.Run) => Effect.map(FhirClient.FhirClient, (fhir) => fhir.forBackend({ server }))

interface Failure {
  readonly _tag: string
  readonly reason?: string
  readonly line?: number | undefined
}

/** Also a defect becomes a clean error. */
const clean = (at: Tables.Run, step: string, file?: number) => <A, R>(self: Effect.Effect<A, Failure | SqlError, R>) =>
  self.pipe(
    Effect.mapError((error) =>
      error instanceof FleetError ? error : new FleetError({
        server: at.server,
        step,
        reason: "reason" in error ? `${error._tag}: ${error.reason}` : error._tag,
        file,
        line: "line" in error ? error.line : undefined
      })
    ),
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("an activity died", defect),
        new FleetError({ server: at.server, step, reason: "Defect", file })
      )
    )
  )

/** Starts the export once: if the job was stored, an earlier run of this activity has started it. */
const kickOff = (at: Tables.Run) =>
  Activity.make({
    name: "kickOff",
    error: FleetError,
    execute: Effect.gen(function*() {
      if ((yield* Tables.findJob(at)) !== undefined) return
      const job = yield* BulkExport.start(yield* fhirOf(at))
      yield* Tables.saveJob(at, job, "waiting")
    }).pipe(clean(at, "kick-off"))
  })

const Polled = Schema.Struct({ isComplete: Schema.Boolean, waitMillis: Schema.Number, files: Schema.Number })

/** One status request for each part of the wait: the names of activities must be unique and deterministic. */
const poll = (at: Tables.Run, index: number) =>
  Activity.make({
    name: `poll/${index}`,
    success: Polled,
    error: FleetError,
    execute: Effect.gen(function*() {
      const job = yield* Tables.findJob(at)
      if (job === undefined) return yield* new FleetError({ server: at.server, step: "status", reason: "NoJob" })
      const status = yield* BulkExport.poll(yield* fhirOf(at), job)
      if (status._tag === "Manifest") {
        yield* Tables.saveJob(at, status.job, "reading")
        return { isComplete: status.job.isComplete, waitMillis: 0, files: status.job.files.length }
      }
      yield* Tables.saveState(at, status.error === undefined ? status.message ?? "waiting" : "the server is busy")
      const wait = Duration.min(status.retryAfter ?? "10 seconds", "15 minutes")
      return { isComplete: false, waitMillis: Math.max(100, Duration.toMillis(wait)), files: 0 }
    }).pipe(clean(at, "status"))
  })

const remove = (at: Tables.Run) =>
  Activity.make({
    name: "delete",
    error: FleetError,
    execute: Effect.gen(function*() {
      const job = yield* Tables.findJob(at)
      if (job !== undefined) {
        // All resources are stored. Not all servers can delete an export.
        yield* Effect.catchAll(BulkExport.remove(yield* fhirOf(at), job), ({ message }) =>
          Effect.logWarning(`the export was not deleted at the server: ${message}`))
      }
      yield* Tables.saveState(at, "done")
    }).pipe(clean(at, "delete"))
  })

const MAX_POLLS = 10_000

export const ExportServerLive = ExportServer.toLayer(Effect.fn(function*(at) {
  yield* kickOff(at)
  let files = 0
  for (let index = 0;; index++) {
    const polled = yield* poll(at, index)
    files = polled.files
    if (polled.isComplete) break
    if (index === MAX_POLLS) return yield* new FleetError({ server: at.server, step: "status", reason: "TooManyPolls" })
    if (polled.waitMillis > 0) {
      // By default, sleeps of less than a minute are not durable.
      yield* DurableClock.sleep({
        name: `wait/${index}`,
        duration: polled.waitMillis,
        inMemoryThreshold: "1 second"
      })
    }
  }
  const counts = yield* Effect.forEach(
    Array.from({ length: files }, (_, file) => file),
    (file) => startAgain(LoadFile.execute({ ...at, file })),
    { concurrency: 4 }
  )
  yield* remove(at)
  return { files, resources: counts.reduce((sum, count) => sum + count, 0) }
}))

/** Reads one file from its stored position on; a second run of the activity continues where the first was killed. */
const load = (at: Tables.Run, file: number) =>
  Effect.gen(function*() {
    const runner = yield* runnerName
    const fail = (reason: string) => new FleetError({ server: at.server, step: "file", reason, file })
    const job = yield* Tables.findJob(at)
    const from = yield* Tables.findPosition(at, file)
    if (job === undefined || from === undefined) return yield* fail("NoJob")
    let position = from
    const sql = yield* SqlClient.SqlClient
    // Other files then use the new URLs, too.
    const onRefresh = (refreshed: BulkExport.Job) =>
      Tables.saveJob(at, refreshed, "reading").pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.orDie)
    yield* BulkExport.readFile(yield* fhirOf(at), job, file, { from, onRefresh }).pipe(
      Stream.rechunk(yield* batchSize),
      Stream.runForEachChunk((chunk) =>
        Effect.gen(function*() {
          const items = Chunk.toReadonlyArray(chunk)
          if (!(yield* Tables.saveBatch(at, file, runner, position, items))) return yield* fail("TakenOver")
          position = items.at(-1)?.position ?? position
        })
      )
    )
    yield* Tables.saveDone(at, file)
    return position.resources
  })

const TAKEN_OVER_RETRIES = 5

export const LoadFileLive = LoadFile.toLayer(({ file, ...at }) =>
  Activity.make({
    name: "load",
    success: Schema.Number,
    error: FleetError,
    execute: load(at, file).pipe(
      clean(at, "file", file),
      // It continues after what the other runner has stored.
      Effect.retry({ times: TAKEN_OVER_RETRIES, while: ({ reason }) => reason === "TakenOver" })
    )
  })
)

/** Every runner needs both: a child resumes its parent by name. */
export const WorkflowsLive = Layer.mergeAll(ExportServerLive, LoadFileLive)
