/**
 * Reads an export as one stream: it polls for the manifests and reads their files, several at the same time.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
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
import type { FileLines, Snapshot } from "./bulkLines.js"
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

/** The next lines; fails with `None` after the last. */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

/** A part of a file, or its end. */
interface Event {
  readonly at: ListedFile
  readonly part: BulkFile.Part | undefined
}

interface OpenFile<E, R> {
  readonly at: ListedFile
  readonly parts: BulkFile.Pull<E, R>
}

const openFile = <E, R>(
  fhir: Authorized<E, R>,
  job: CurrentJob<E, R>,
  { index, ...listed }: ListedFile,
  from: Position,
  options: FileOptions,
  onWait: (wait: Wait) => Effect.Effect<void>
): Effect.Effect<OpenFile<E, R>, FhirError | E, R | Scope.Scope> =>
  Effect.flatMap(fhir.fhirBaseUrl, (fhirBaseUrl) => {
    // The URL may be newer than that of the list.
    const file = job.get().files[index] ?? listed.file
    const errors = errorsAt(fhirBaseUrl, "export file")
    const about = { index, type: file.type, url: Url.forDisplay(file.url) }
    return Effect.map(
      BulkFile.open(fhir, {
        job,
        index,
        file,
        fhirBaseUrl,
        fail: (fields) => errors({ file: about, ...fields }),
        options,
        onWait: (delay, error: Temporary) => onWait(waiting(delay, { error }))
      }, from),
      (parts): OpenFile<E, R> => ({ at: { index, file }, parts })
    )
  })

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
    : Stream.unwrapScoped(Effect.map(
      openFile(fhir, makeCurrentJob(fhir, job, options), { file, index }, from, options, (wait) =>
        onProgress({
          ...wait,
          files: 1,
          filesDone: 0,
          resources: 0,
          bytes: 0,
          expected: file.count,
          expiresAt: job.expiresAt
        })),
      ({ at, parts }) =>
        Stream.repeatEffectChunkOption(
          Effect.map(parts, ({ lines }) => Chunk.unsafeFromArray(lines.map((one) => new LinesOfFile(at, one))))
        )
    ))
}

const expectedOf = ({ files, isComplete }: Job): number | undefined =>
  isComplete && files.every(({ count }) => count !== undefined)
    ? files.reduce((sum, { count = 0 }) => sum + count, 0)
    : undefined

/** The lines of an export after a checkpoint. `onCheckpoint` is called when the program reads another one. */
export const open = <E, R>(
  fhir: Authorized<E, R>,
  from: Checkpoint,
  options: ReadOptions,
  onCheckpoint: () => void
): Effect.Effect<Pull<LinesOfExport, FhirError | E>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const { concurrency = 3, onProgress } = options
    let job = from.job
    let expected = expectedOf(job)
    let positions = HashMap.fromIterable(
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
    const readInto = (mailbox: Mailbox.Mailbox<Event, FhirError | E>) => (listed: ListedFile) =>
      Effect.scoped(Effect.flatMap(
        openFile(fhir, current, listed, from.positions.open[String(listed.index)] ?? start, options, report),
        ({ at, parts }) => {
          const offer = (part: BulkFile.Part | undefined) => mailbox.offer({ at, part })
          const offerAll: Effect.Effect<unknown, FhirError | E, R> = Effect.matchEffect(parts, {
            onFailure: Option.match({ onNone: () => offer(undefined), onSome: Effect.fail }),
            onSuccess: (part) => Effect.zipRight(offer(part), offerAll)
          })
          return offerAll
        }
      ))

    const linesOf = ({ at, part }: Event): Chunk.Chunk<LinesOfExport> => {
      if (part === undefined) {
        positions = HashMap.remove(positions, at.index)
        done = addToRanges(done, at.index)
        return Chunk.empty()
      }
      bytes += part.bytes
      for (const one of part.lines) resources += one.lines.count
      const last = part.lines.at(-1)
      if (last === undefined) return Chunk.empty()
      const snapshot: Snapshot = { job, open: positions, done, onUse: onCheckpoint }
      positions = HashMap.set(positions, at.index, last.position)
      return Chunk.unsafeFromArray(part.lines.map((one) => new LinesOfExport(at, one, snapshot)))
    }
    const process = (event: Event): Effect.Effect<Chunk.Chunk<LinesOfExport>> => {
      const before = Math.floor(resources / PROGRESS_EVERY)
      const lines = linesOf(event)
      return event.part === undefined || Math.floor(resources / PROGRESS_EVERY) > before
        ? Effect.as(report(READING), lines)
        : Effect.succeed(lines)
    }

    // Without capacity, a file is read at most one part further than the program.
    const mailbox = yield* Mailbox.make<Event, FhirError | E>(0)
    yield* unread.pipe(
      Stream.mapEffect(readInto(mailbox), { concurrency, unordered: true }),
      Stream.runDrain,
      Mailbox.into(mailbox),
      Effect.forkScoped
    )
    return Effect.matchEffect(mailbox.takeAll, {
      onFailure: (error) => Effect.fail(Option.some(error)),
      // Without capacity, it is one event.
      onSuccess: ([[event]]) => event === undefined ? Effect.fail(Option.none()) : process(event)
    })
  })
