/**
 * Reads the files of an export as one stream, several at the same time (Bulk Data Access 3.0, "File Request"). After a
 * broken connection, a file continues at the next line.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Url from "../../base/Url.js"
import type { Authorized } from "../FhirClient.js"
import type { FhirError, Fields } from "../FhirError.js"
import { isFhirError } from "../FhirError.js"
import type { Manifest, ManifestFile, Progress } from "./bulkManifest.js"
import { Checkpoint } from "./bulkManifest.js"
import * as Ndjson from "./ndjson.js"
import type { Resource } from "./resource.js"

/**
 * One line of one file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Item {
  readonly kind: ManifestFile["kind"]
  /** The type of the file in the manifest. */
  readonly type: string
  readonly resource: Resource
  /** The index of the file in the manifest. */
  readonly file: number
  readonly line: number
  /** Save it once this item and all items before it are processed, best in the same transaction as the results. */
  readonly checkpoint: Checkpoint
}

/**
 * How the files are read.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  /** Called when the progress changes, at most once per thousand resources. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** How many files are read at the same time. Default 3. */
  readonly concurrency?: number | undefined
  /** The maximum size of a line. Default 8 MiB. */
  readonly maxLineBytes?: number | undefined
}

type Fail = (fields: Fields) => FhirError

type Event =
  | { readonly _tag: "Line"; readonly file: number; readonly line: Ndjson.Line }
  | { readonly _tag: "End"; readonly file: number }

/** The number of emitted lines of each file, and the completely emitted files. */
interface Positions {
  readonly lines: HashMap.HashMap<number, number>
  /** Persistent, because each item keeps its own version. */
  readonly done: HashSet.HashSet<number>
  readonly resources: number
}

const DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024
const PROGRESS_EVERY = 1_000

const DETAILS: Record<Ndjson.NdjsonError["reason"], string> = {
  MalformedLine: "a line is not a JSON resource",
  LineTooLong: "a line is longer than allowed",
  Truncated: "the file ends within a line"
}

/**
 * Reads a file from a line on. After a broken connection it continues, if there was progress and the policy allows it.
 */
const readFile = <E, R>(
  fhir: Authorized<E, R>,
  { requiresAccessToken }: Manifest,
  file: ManifestFile,
  index: number,
  skip: number,
  maxLineBytes: number,
  fail: Fail
): Stream.Stream<Event, FhirError | E, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const about = { index, type: file.type, url: Url.forDisplay(file.url) }
    const driver = yield* Schedule.driver(yield* fhir.retryPolicy)
    let delivered = skip
    const readOn = (): Stream.Stream<Event, FhirError | E, R> =>
      Stream.suspend(() => {
        const before = delivered
        return Ndjson.parse(
          fhir.download({
            interaction: "export file",
            url: file.url,
            headers: { accept: "application/fhir+ndjson" },
            omitToken: !requiresAccessToken,
            file: about
          }),
          { skip: delivered, maxLineBytes }
        ).pipe(
          Stream.map((line): Event => {
            delivered = line.number
            return { _tag: "Line", file: index, line }
          }),
          Stream.catchAll((error) => {
            if (error instanceof Ndjson.NdjsonError) {
              const { line, reason } = error
              return Stream.fail(fail({ reason, detail: DETAILS[reason], file: about, line }))
            }
            return isFhirError(error) && error.isRetryable && delivered > before
              ? Stream.unwrap(Effect.match(Effect.zipRight(driver.reset, driver.next(error)), {
                onFailure: () => Stream.fail(error),
                onSuccess: readOn
              }))
              : Stream.fail(error)
          })
        )
      })
    const end = Stream.suspend((): Stream.Stream<Event, FhirError> =>
      file.count !== undefined && delivered < file.count
        ? Stream.fail(fail({
          reason: "Truncated",
          detail: `the file has ${delivered} of ${file.count} lines`,
          file: about,
          line: delivered + 1
        }))
        : Stream.make<[Event]>({ _tag: "End", file: index })
    )
    return Stream.concat(readOn(), end)
  }))

/** A class, because its checkpoint is made only on access. */
class FileItem implements Item {
  readonly kind: ManifestFile["kind"]
  readonly type: string
  readonly line: number
  readonly resource: Item["resource"]

  constructor(
    { kind, type }: ManifestFile,
    readonly file: number,
    { number, resource }: Ndjson.Line,
    private readonly start: Checkpoint,
    private readonly positions: Positions
  ) {
    this.kind = kind
    this.type = type
    this.line = number
    this.resource = resource
  }

  get checkpoint(): Checkpoint {
    const { done, lines } = this.positions
    return new Checkpoint({
      ...this.start,
      lines: Object.fromEntries(Array.from(lines).filter(([file]) => !HashSet.has(done, file))),
      done: Array.from(done).sort((one, other) => one - other)
    })
  }
}

const expectedOf = ({ files }: Manifest): number | undefined =>
  files.every(({ count }) => count !== undefined) ? files.reduce((sum, { count = 0 }) => sum + count, 0) : undefined

/** The items of an export after a checkpoint. */
export const read = <E, R>(
  fhir: Authorized<E, R>,
  start: Checkpoint,
  manifest: Manifest,
  { concurrency = 3, maxLineBytes = DEFAULT_MAX_LINE_BYTES, onProgress }: ReadOptions,
  fail: Fail
): Stream.Stream<Item, FhirError | E, R> => {
  const files = manifest.files.map((file, index) => ({ file, index }))
  const expected = expectedOf(manifest)
  const initial: Positions = {
    lines: HashMap.fromIterable(Object.entries(start.lines).map(([file, line]) => [Number(file), line] as const)),
    done: HashSet.fromIterable(start.done),
    resources: 0
  }
  const open = files.filter(({ index }) => !HashSet.has(initial.done, index))

  const progress = ({ done, resources }: Positions): Progress => ({
    phase: HashSet.size(done) === files.length ? "Done" : "Reading",
    message: undefined,
    files: files.length,
    filesDone: HashSet.size(done),
    resources,
    expected
  })

  const events = Stream.flatMap(
    Stream.fromIterable(open),
    ({ file, index }) => readFile(fhir, manifest, file, index, start.lines[String(index)] ?? 0, maxLineBytes, fail),
    { concurrency, bufferSize: 2 }
  )

  const counted = Stream.mapAccum(events, initial, (before, event) => {
    const positions: Positions = event._tag === "End"
      ? { ...before, done: HashSet.add(before.done, event.file) }
      : {
        lines: HashMap.set(before.lines, event.file, event.line.number),
        done: before.done,
        resources: before.resources + 1
      }
    return [positions, { event, positions }]
  })

  const reported = onProgress === undefined
    ? counted
    : Stream.tap(counted, ({ event, positions }) =>
      event._tag === "End" || positions.resources % PROGRESS_EVERY === 0
        ? onProgress(progress(positions))
        : Effect.void)

  return Stream.filterMap(reported, ({ event, positions }): Option.Option<Item> => {
    const file = manifest.files[event.file]
    return event._tag === "End" || file === undefined
      ? Option.none()
      : Option.some(new FileItem(file, event.file, event.line, start, positions))
  })
}
