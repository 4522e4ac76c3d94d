/**
 * Reads an export as one stream: it polls for the manifests and reads their files, several at the same time.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Stream from "effect/Stream"
import * as Url from "../../base/Url.js"
import type { Authorized } from "../FhirClient.js"
import type { FhirError } from "../FhirError.js"
import { errorsAt } from "../FhirError.js"
import {
  addToRanges,
  type Checkpoint,
  isInRanges,
  type Job,
  type Position,
  type Progress,
  sizeOfRanges,
  start
} from "./bulkCheckpoint.js"
import type { FileOptions } from "./bulkDownload.js"
import * as BulkFile from "./bulkFile.js"
import type { FileLines, PositionedLines, Snapshot } from "./bulkLines.js"
import { LinesOfExport, LinesOfFile } from "./bulkLines.js"
import type { ListedFile, PollOptions } from "./bulkPolling.js"
import { files } from "./bulkPolling.js"
import type { CurrentJob } from "./bulkRefresh.js"
import { makeCurrentJob } from "./bulkRefresh.js"
import type { Temporary, Wait } from "./bulkRetry.js"
import { waiting } from "./bulkRetry.js"

/**
 * How an export is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions extends FileOptions, PollOptions {
  /** Called when the progress changes: at each wait, each end of a file, and once per thousand resources. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** How many files are read at the same time. Default 3. */
  readonly concurrency?: number | undefined
}

const PROGRESS_EVERY = 1_000

const READING: Wait = {
  phase: "Reading",
  message: undefined,
  delay: undefined,
  retryAfter: undefined,
  error: undefined
}

type Event =
  | {
    readonly _tag: "Lines"
    readonly at: ListedFile
    readonly lines: ReadonlyArray<PositionedLines>
    readonly bytes: number
  }
  | { readonly _tag: "End"; readonly at: ListedFile }

const events = <E, R>(
  fhir: Authorized<E, R>,
  job: CurrentJob<E, R>,
  { index, ...listed }: ListedFile,
  from: Position,
  options: FileOptions,
  onWait: (wait: Wait) => Effect.Effect<void>
): Stream.Stream<Event, FhirError | E, R> =>
  Stream.unwrap(Effect.map(fhir.fhirBaseUrl, (fhirBaseUrl) => {
    // The URL may be newer than that of the list.
    const file = job.get().files[index] ?? listed.file
    const at: ListedFile = { index, file }
    const errors = errorsAt(fhirBaseUrl, "export file")
    const about = { index, type: file.type, url: Url.forDisplay(file.url) }
    const parts = BulkFile.read(fhir, {
      job,
      index,
      file,
      fhirBaseUrl,
      fail: (fields) => errors({ file: about, ...fields }),
      options,
      onWait: (delay, error: Temporary) => onWait(waiting(delay, { error }))
    }, from)
    return Stream.concat(
      Stream.map(parts, ({ bytes, lines }): Event => ({ _tag: "Lines", at, lines, bytes })),
      Stream.succeed<Event>({ _tag: "End", at })
    )
  }))

/** The lines of one file after a position. */
export const readFile = <E, R>(
  fhir: Authorized<E, R>,
  job: Job,
  index: number,
  from: Position,
  options: FileOptions & Pick<ReadOptions, "onProgress">
): Stream.Stream<FileLines, FhirError | E, R> => {
  const file = job.files[index]
  const { onProgress = () => Effect.void } = options
  return file === undefined
    ? Stream.unwrap(Effect.map(fhir.fhirBaseUrl, (fhirBaseUrl) =>
      Stream.fail(
        errorsAt(fhirBaseUrl, "export file")({
          reason: "InvalidRequest",
          detail: `the export has ${job.files.length} files; none has the index ${index}`,
          processed: "no"
        })
      )))
    : events(fhir, makeCurrentJob(fhir, job, options), { file, index }, from, options, (wait) =>
      onProgress({
        ...wait,
        files: 1,
        filesDone: 0,
        resources: 0,
        bytes: 0,
        expected: file.count,
        expiresAt: job.expiresAt
      })).pipe(
        Stream.mapConcat((event): ReadonlyArray<FileLines> =>
          event._tag === "End" ? [] : event.lines.map((lines) => new LinesOfFile(event.at, lines))
        )
      )
}

const expectedOf = ({ files, isComplete }: Job): number | undefined =>
  isComplete && files.every(({ count }) => count !== undefined)
    ? files.reduce((sum, { count = 0 }) => sum + count, 0)
    : undefined

/** The lines of an export after a checkpoint. `onCheckpoint` is called when the program reads another one. */
export const read = <E, R>(
  fhir: Authorized<E, R>,
  from: Checkpoint,
  options: ReadOptions,
  onCheckpoint: () => void
): Stream.Stream<LinesOfExport, FhirError | E, R> =>
  Stream.suspend(() => {
    const { concurrency = 3, onProgress } = options
    let job = from.job
    let expected = expectedOf(job)
    let open = HashMap.fromIterable(
      Object.entries(from.positions.open).map(([index, position]) => [Number(index), position] as const)
    )
    let done = from.positions.done
    let resources = 0
    let bytes = 0
    const report = (wait: Wait): Effect.Effect<void> =>
      onProgress === undefined ? Effect.void : Effect.suspend(() => {
        const filesDone = sizeOfRanges(done)
        const isDone = job.isComplete && filesDone === job.files.length
        return onProgress({
          ...wait,
          ...(isDone ? { phase: "Done" as const } : {}),
          files: job.files.length,
          filesDone,
          resources,
          bytes,
          expected,
          expiresAt: job.expiresAt
        })
      })
    const current = makeCurrentJob(fhir, from.job, options, (next) => {
      job = next
      expected = expectedOf(next)
    })
    const unread = files(fhir, current, options, report).pipe(
      Stream.filter(({ index }) => !isInRanges(from.positions.done, index))
    )
    const all = Stream.flatMap(unread, (at) => {
      const position = from.positions.open[String(at.index)] ?? start
      return events(fhir, current, at, position, options, report)
    }, { concurrency, bufferSize: 2 })

    const linesOf = (event: Event): ReadonlyArray<LinesOfExport> => {
      const { at } = event
      if (event._tag === "End") {
        open = HashMap.remove(open, at.index)
        done = addToRanges(done, at.index)
        return []
      }
      const { lines } = event
      const last = lines.at(-1)
      bytes += event.bytes
      for (const one of lines) resources += one.lines.count
      if (last === undefined) return []
      const snapshot: Snapshot = { job, open, done, onUse: onCheckpoint }
      open = HashMap.set(open, at.index, last.position)
      return lines.map((one) => new LinesOfExport(at, one, snapshot))
    }
    if (onProgress === undefined) return Stream.mapConcat(all, linesOf)
    return Stream.mapConcatEffect(all, (event) =>
      Effect.suspend(() => {
        const before = Math.floor(resources / PROGRESS_EVERY)
        const lines = linesOf(event)
        return event._tag === "End" || Math.floor(resources / PROGRESS_EVERY) > before
          ? Effect.as(report(READING), lines)
          : Effect.succeed(lines)
      }))
  })
