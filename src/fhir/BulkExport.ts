/**
 * Bulk Data export as a stream of resources (Bulk Data Access 3.0; FHIR R4, "Asynchronous Request Pattern"). It starts
 * the export, waits for the manifests and reads their files. Another process can resume it without loss or repetition.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Authorized } from "./FhirClient.js"
import type { FhirError } from "./FhirError.js"
import { errorsAt } from "./FhirError.js"
import type { Item, ReadOptions } from "./internal/bulkFiles.js"
import * as BulkFiles from "./internal/bulkFiles.js"
import type { JobOptions } from "./internal/bulkJob.js"
import * as BulkJob from "./internal/bulkJob.js"
import { Checkpoint } from "./internal/bulkManifest.js"

export type { Item, ReadOptions } from "./internal/bulkFiles.js"
export type { JobOptions } from "./internal/bulkJob.js"
export { Checkpoint, type Manifest, type ManifestFile, type Progress } from "./internal/bulkManifest.js"

/**
 * Options of an export and of the reading of its files.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends JobOptions, ReadOptions {
  /** Resumes from a checkpoint instead of starting an export. */
  readonly from?: Checkpoint | undefined
  /** Called before the first resource: when the server has accepted the export, and when it has completed it. */
  readonly onCheckpoint?: ((checkpoint: Checkpoint) => Effect.Effect<void>) | undefined
}

/**
 * The resources of an export. The export starts when the stream runs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = <E, R>(fhir: Authorized<E, R>, options: Options = {}): Stream.Stream<Item, FhirError | E, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const fail = errorsAt(yield* fhir.fhirBaseUrl, "export")
    const { onCheckpoint = () => Effect.void } = options
    const job: BulkJob.Job = { isFinished: false }
    const from = options.from ?? (yield* BulkJob.kickOff(fhir, options, job, fail))
    yield* options.from === undefined
      ? onCheckpoint(from)
      : BulkJob.cancelUnlessFinished(fhir, from.statusUrl, job, options)
    const manifest = from.manifest ?? (yield* BulkJob.wait(fhir, from.statusUrl, options, fail))
    const complete = new Checkpoint({ ...from, manifest })
    if (from.manifest === undefined) yield* onCheckpoint(complete)
    const finish = Effect.sync(() => {
      job.isFinished = true
    })
    return Stream.concat(BulkFiles.read(fhir, complete, manifest, options, fail), Stream.execute(finish))
  }))
