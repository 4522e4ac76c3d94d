/**
 * Waits for the manifests of an export, and lists their files (Bulk Data Access 3.0, "Status Request").
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Authorized } from "../FhirClient.js"
import { errorsAt, type FhirError } from "../FhirError.js"
import type { Job } from "./bulkCheckpoint.js"
import { poll, type SizeOptions } from "./bulkJob.js"
import type { ManifestFile } from "./bulkManifest.js"
import type { CurrentJob } from "./bulkRefresh.js"
import { boundRetryAfter, makePatience, type RetryOptions, type Wait, waiting } from "./bulkRetry.js"

/**
 * How an export waits for the manifests.
 *
 * @since 0.1.0
 * @category models
 */
export interface PollOptions extends RetryOptions, SizeOptions {
  /** The first delay between status requests without a `Retry-After`; it grows to a minute. Default 2 seconds. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** How long the server may take for all manifests. Default 1 day. */
  readonly timeout?: Duration.DurationInput | undefined
}

const MAX_POLL_MILLIS = 60_000

/** A file and its index in the job. */
export interface ListedFile {
  readonly index: number
  readonly file: ManifestFile
}

/** The files of the job, as its manifests arrive. Each manifest is added to the job before its files are listed. */
export const files = <E, R>(
  fhir: Authorized<E, R>,
  current: CurrentJob<E, R>,
  options: PollOptions,
  onWait: (wait: Wait) => Effect.Effect<void>
): Stream.Stream<ListedFile, FhirError | E, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const { pollInterval = "2 seconds", timeout = "1 day" } = options
    const fail = errorsAt(yield* fhir.fhirBaseUrl, "export status")
    // The time in which the program reads the files of a manifest does not count.
    let left = Duration.toMillis(timeout)
    const timedOut = () =>
      fail({
        reason: "TimedOut",
        detail: `the server did not complete the export within the \`timeout\` of ${Duration.format(timeout)}`
      })

    /** Adds the next manifest to the job. */
    const advance: Effect.Effect<Job, FhirError | E, R> = Effect.gen(function*() {
      const patience = makePatience(options, Duration.infinity)
      let interval = Duration.toMillis(pollInterval)
      while (true) {
        const job = current.get()
        const status = yield* poll(fhir, job, options)
        if (status._tag === "Manifest") {
          current.advance(job, status.job)
          return current.get()
        }
        const { error, message, retryAfter } = status
        let delay: Duration.Duration
        if (error === undefined) {
          patience.reset()
          delay = boundRetryAfter(retryAfter, Duration.millis(interval), options)
          interval = Math.min(interval * 1.5, Math.max(MAX_POLL_MILLIS, interval))
        } else {
          delay = yield* Effect.mapError(patience.next(error), (error) => error as FhirError | E)
        }
        yield* onWait(waiting(delay, { error, message, retryAfter }))
        yield* Effect.sleep(delay)
      }
    }).pipe((self) =>
      Effect.flatMap(Clock.currentTimeMillis, (begin) =>
        Effect.timeoutFail(self, { duration: Math.max(1, left), onTimeout: timedOut }).pipe(
          Effect.zipLeft(Effect.map(Clock.currentTimeMillis, (end) => {
            left -= end - begin
          }))
        ))
    )

    const filesFrom = (job: Job, index: number) =>
      Chunk.fromIterable(job.files.slice(index).map((file, offset): ListedFile => ({ index: index + offset, file })))
    const first = current.get()
    return Stream.concat(
      Stream.fromChunk(filesFrom(first, 0)),
      Stream.unfoldChunkEffect(first, (job) =>
        job.isComplete
          ? Effect.succeedNone
          : Effect.map(advance, (next) =>
            Option.some([filesFrom(next, job.files.length), next] as const)))
    )
  }))
