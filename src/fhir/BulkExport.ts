/**
 * Bulk Data export as a stream of resources (Bulk Data Access 2.0 and 3.0; FHIR R4, "Asynchronous Request Pattern"). It
 * starts the export, waits for the manifests and reads their files. Another process can resume it without loss or
 * repetition.
 *
 * `run` and `runForEachBatch` do all of it; `start`, `poll`, `readFile` and `remove` are the steps, for programs that
 * distribute them.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Authorized } from "./FhirClient.js"
import type { FhirError } from "./FhirError.js"
import type { Batch } from "./internal/bulkBatches.js"
import * as BulkBatches from "./internal/bulkBatches.js"
import { Checkpoint, type Job, noPositions, type Position, start as startOfFile } from "./internal/bulkCheckpoint.js"
import type { FileOptions } from "./internal/bulkDownload.js"
import type { ReadOptions } from "./internal/bulkFiles.js"
import * as BulkFiles from "./internal/bulkFiles.js"
import type { SizeOptions, Status } from "./internal/bulkJob.js"
import * as BulkJob from "./internal/bulkJob.js"
import type { KickOffOptions } from "./internal/bulkKickOff.js"
import type { FileItem, FileLines, Item, Lines, LinesOfExport } from "./internal/bulkLines.js"

export type { Batch } from "./internal/bulkBatches.js"
export { Checkpoint, Job, Position, Positions, type Progress } from "./internal/bulkCheckpoint.js"
export type { FileOptions } from "./internal/bulkDownload.js"
export type { ReadOptions } from "./internal/bulkFiles.js"
export type { SizeOptions, Status } from "./internal/bulkJob.js"
export type { KickOffOptions } from "./internal/bulkKickOff.js"
export type { FileItem, FileLines, Item, Lines } from "./internal/bulkLines.js"
export type { ManifestFile } from "./internal/bulkManifest.js"
export type { PollOptions } from "./internal/bulkPolling.js"
export type { RefreshOptions } from "./internal/bulkRefresh.js"
export type { RetryOptions, Temporary } from "./internal/bulkRetry.js"

/**
 * Options of an export and of the reading of its files.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends KickOffOptions, ReadOptions {
  /** Resumes from a checkpoint instead of starting an export. */
  readonly from?: Checkpoint | undefined
  /** Called when the server has accepted the export, before the first status request. */
  readonly onStart?: ((checkpoint: Checkpoint) => Effect.Effect<void>) | undefined
  /**
   * Whether the export is deleted at the server when the stream is interrupted or left before its end. The default is
   * `keep` if the program uses checkpoints (`from`, `onStart`, `Item.checkpoint`), because it may resume. Else it is
   * `delete`.
   */
  readonly onInterrupt?: "delete" | "keep" | undefined
  /**
   * Whether the export is deleted at the end of the stream. The default of `run` is `keep` if the program uses
   * checkpoints, because it may not have stored the last items: call `remove` after the last commit. Else it is
   * `delete`. `runForEachBatch` deletes the export after the last batch. A failure never deletes it.
   */
  readonly onFinish?: "delete" | "keep" | undefined
}

/**
 * Starts an export (kick-off). An interruption deletes it at the server.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start: <E, R>(
  fhir: Authorized<E, R>,
  options?: KickOffOptions
) => Effect.Effect<Job, FhirError | E, R> = (fhir, options = {}) => BulkJob.start(fhir, options)

/**
 * Sends one status request. Temporary failures are a `Waiting`, not an error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const poll: <E, R>(
  fhir: Authorized<E, R>,
  job: Job,
  options?: SizeOptions
) => Effect.Effect<Status, FhirError | E, R> = (fhir, job, options = {}) => BulkJob.poll(fhir, job, options)

/**
 * The resources of one file as lines, by its index in `Job.files`; after a position, if one is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readFileLines: <E, R>(
  fhir: Authorized<E, R>,
  job: Job,
  index: number,
  options?: FileOptions & Pick<ReadOptions, "onProgress"> & { readonly from?: Position | undefined }
) => Stream.Stream<FileLines, FhirError | E, R> = (fhir, job, index, options = {}) =>
  BulkFiles.readFile(fhir, job, index, options.from ?? startOfFile, options)

const itemsOf = <A>(lines: Chunk.Chunk<{ readonly items: ReadonlyArray<A> }>): Chunk.Chunk<A> =>
  Chunk.unsafeFromArray(Chunk.toReadonlyArray(lines).flatMap(({ items }) => items))

/**
 * The resources of one file, by its index in `Job.files`; after a position, if one is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readFile: <E, R>(
  fhir: Authorized<E, R>,
  job: Job,
  index: number,
  options?: FileOptions & Pick<ReadOptions, "onProgress"> & { readonly from?: Position | undefined }
) => Stream.Stream<FileItem, FhirError | E, R> = (fhir, job, index, options) =>
  Stream.mapChunks(readFileLines(fhir, job, index, options), itemsOf)

/**
 * Deletes the export and its files at the server. Succeeds if the server does not know the export.
 *
 * @since 0.1.0
 * @category constructors
 */
export const remove: <E, R>(fhir: Authorized<E, R>, job: Job) => Effect.Effect<void, FhirError | E, R> = (fhir, job) =>
  BulkJob.remove(fhir, job)

/** Starts or resumes an export. The end of the scope deletes it as the options say. */
const open = <E, R>(
  fhir: Authorized<E, R>,
  options: Options
): Effect.Effect<BulkFiles.Pull<LinesOfExport, FhirError | E>, FhirError | E, R | Scope.Scope> =>
  Effect.gen(function*() {
    const { from, onFinish, onInterrupt, onStart } = options
    let isFinished = false
    let isCheckpointUsed = from !== undefined || onStart !== undefined
    const checkpoint = yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const current = from ??
          new Checkpoint({ job: yield* restore(BulkJob.start(fhir, options)), positions: noPositions })
        yield* Effect.addFinalizer((exit) => {
          const isInterrupted = Exit.isInterrupted(exit)
          const isFailure = Exit.isFailure(exit) && !isInterrupted
          // After an interruption, the program may not have processed the last items.
          const action = (isFinished && !isInterrupted ? onFinish : onInterrupt) ??
            (isCheckpointUsed ? "keep" : "delete")
          return action === "keep" || isFailure
            ? Effect.void
            : BulkJob.atShutdown(BulkJob.removeAtEnd(fhir, current.job))
        })
        return current
      })
    )
    if (from === undefined && onStart !== undefined) yield* onStart(checkpoint)
    const lines = yield* BulkFiles.open(fhir, checkpoint, options, () => {
      isCheckpointUsed = true
    })
    return Effect.tapError(lines, (end) =>
      Effect.sync(() => {
        isFinished = Option.isNone(end)
      }))
  })

/**
 * The resources of an export as lines, for a program that stores what the server wrote. The export starts when the
 * stream runs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const runLines: <E, R>(
  fhir: Authorized<E, R>,
  options?: Options
) => Stream.Stream<Lines, FhirError | E, R> = (fhir, options = {}) =>
  Stream.unwrapScoped(Effect.map(open(fhir, options), Stream.repeatEffectChunkOption))

/**
 * The resources of an export. The export starts when the stream runs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = <E, R>(fhir: Authorized<E, R>, options: Options = {}): Stream.Stream<Item, FhirError | E, R> =>
  Stream.mapChunks(runLines(fhir, options), itemsOf)

/**
 * How many resources are in a batch.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchOptions extends Options {
  /** The maximum number of resources of a batch. Default 1,000. */
  readonly batchSize?: number | undefined
}

/**
 * Runs an export and stores it batch by batch. `store` should write the resources and the checkpoint in one
 * transaction. The next batch follows when it has succeeded. After the last batch, the export is deleted at the server;
 * a failure of this deletion is a warning in the log, because all is stored.
 *
 * @since 0.1.0
 * @category constructors
 */
export const runForEachBatch = <E, R, E2, R2>(
  fhir: Authorized<E, R>,
  store: (batch: Batch) => Effect.Effect<void, E2, R2>,
  options: BatchOptions = {}
): Effect.Effect<void, FhirError | E | E2, R | R2> => {
  const { batchSize = 1_000, onFinish = "delete" } = options
  return Effect.scoped(
    Effect.flatMap(
      open(fhir, { ...options, onFinish }),
      (lines) => Stream.repeatEffectChunkOption(lines).pipe(BulkBatches.inBatches(batchSize), Stream.runForEach(store))
    )
  )
}
