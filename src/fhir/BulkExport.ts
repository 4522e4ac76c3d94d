/**
 * Bulk Data export as a stream of resources (Bulk Data Access 3.0; FHIR R4, "Asynchronous Request Pattern"): asked for, waited for, read file by file,
 * and gone on with in another process without losing or repeating a resource. An export in several manifests is read as one.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Authorized } from "./FhirClient.js"
import type { Fields } from "./FhirError.js"
import { FhirError } from "./FhirError.js"
import * as BulkFiles from "./internal/bulkFiles.js"
import * as BulkJob from "./internal/bulkJob.js"
import type { ManifestFile } from "./internal/bulkManifest.js"
import { Checkpoint } from "./internal/bulkManifest.js"
import type { Params } from "./internal/params.js"
import type { Resource } from "./internal/resource.js"

export { Checkpoint, type Manifest, type ManifestFile } from "./internal/bulkManifest.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly phase: "Waiting" | "Reading" | "Done"
  /** The server's own words, while it is waited for. */
  readonly message: string | undefined
  readonly files: number
  readonly filesDone: number
  /** Resources of this run. */
  readonly resources: number
  /** How many there are in all, where the manifest says so for every file. */
  readonly expected: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Whose data: everything (the default), all patients, or a group. */
  readonly of?: "system" | "patients" | { readonly group: string } | undefined
  readonly types?: ReadonlyArray<string> | undefined
  /** An instant, such as the `transactionTime` of the export before. */
  readonly since?: string | undefined
  /** Each a search, such as `Observation?category=vital-signs`. */
  readonly typeFilters?: ReadonlyArray<string> | undefined
  /** Asks the server to spread the files over several manifests, where it can. All are followed either way. Default: not asked. */
  readonly allowPartialManifests?: boolean | undefined
  /** Other parameters of the kick-off. */
  readonly params?: Params | undefined
  /** Goes on from there instead of asking for a new export. */
  readonly from?: Checkpoint | undefined
  /** Called before the first resource: when the server has taken the job, and when it has finished it. */
  readonly onCheckpoint?: ((checkpoint: Checkpoint) => Effect.Effect<void>) | undefined
  /** Called as often as there is something to tell, at most once in a thousand resources. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** Whether the server is told to forget the export when the stream is interrupted or left before its end. Default `cancel`. */
  readonly onInterrupt?: "cancel" | "keep" | undefined
  /** How many files are read at once. Default 3. */
  readonly concurrency?: number | undefined
  /** How long to wait between two questions where the server does not say; it grows to a minute. Default 2 seconds. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** How long the server may take for all manifests. Default 1 day. */
  readonly timeout?: Duration.DurationInput | undefined
  /** Default 8 MiB. */
  readonly maxLineBytes?: number | undefined
  /** How many manifests are followed at most; more is an error, not a short result. Default 10,000. */
  readonly maxManifests?: number | undefined
  /** How many files the manifests may list in all; more is an error. Default 100,000. */
  readonly maxFiles?: number | undefined
}

/**
 * One line of one file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Item {
  readonly kind: ManifestFile["kind"]
  /** As the manifest says. */
  readonly type: string
  readonly resource: Resource
  /** The place of its file in the manifest. */
  readonly file: number
  readonly line: number
  /** To be kept when this item and all before it have been dealt with, best together with what was made of them. */
  readonly checkpoint: Checkpoint
}

/**
 * The resources of an export. Nothing is asked for before the stream is run.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = <E, R>(fhir: Authorized<E, R>, options: Options = {}): Stream.Stream<Item, FhirError | E, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const fhirBaseUrl = yield* fhir.fhirBaseUrl
    const fail = (fields: Fields) => new FhirError({ issues: [], ...fields, fhirBaseUrl, interaction: "export" })
    const { onCheckpoint = () => Effect.void } = options
    const job: BulkJob.Job = { isFinished: false }
    const from = options.from ?? (yield* BulkJob.kickOff(fhir, options, job, fail))
    yield* options.from === undefined
      ? onCheckpoint(from)
      : BulkJob.cancelUnlessFinished(fhir, from.statusUrl, job, options)
    const manifest = from.manifest ?? (yield* BulkJob.wait(fhir, from.statusUrl, options, fail))
    const known = new Checkpoint({ ...from, manifest })
    if (from.manifest === undefined) yield* onCheckpoint(known)
    const finished = Effect.sync(() => {
      job.isFinished = true
    })
    return Stream.concat(BulkFiles.read(fhir, known, manifest, options, fail), Stream.execute(finished))
  }))
