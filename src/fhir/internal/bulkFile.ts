/**
 * Reads one file of an export (Bulk Data Access 3.0, "File Request"). After a broken connection it continues at the
 * next line: by a range request if the server supports it, else by skipping the lines that were read.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ConformanceWarning, ConformanceWarnings, reportSafely } from "../../base/ConformanceWarning.js"
import type { Authorized } from "../FhirClient.js"
import { FhirError, isFhirError } from "../FhirError.js"
import type { Position } from "./bulkCheckpoint.js"
import type { FileContext, Opened } from "./bulkDownload.js"
import { openAt, withExpiry } from "./bulkDownload.js"
import { positionAfter, PositionedLines } from "./bulkLines.js"
import type { ManifestFile } from "./bulkManifest.js"
import { isUrlRefused } from "./bulkRefresh.js"
import { isTemporary, makePatience } from "./bulkRetry.js"
import type { Lines, Parsed } from "./ndjson.js"
import { linesOf, NdjsonError, NdjsonReader, splitAt } from "./ndjson.js"

/** The resources of one chunk, in order. */
export interface Part {
  readonly lines: ReadonlyArray<PositionedLines>
  readonly bytes: number
}

const DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024
const NEWLINE = 10

/** The first one may find a URL that another file has requested some time ago. */
const MAX_REFRESHES_WITHOUT_PROGRESS = 2

const DETAILS: Record<NdjsonError["reason"], string> = {
  MalformedLine: "a line is not a JSON resource",
  LineTooLong: "a line is longer than allowed",
  Truncated: "the file ends within a line",
  FileChanged: "the lines that were read before now have another length"
}

/** The reference in a header of a file that is organized by a resource type. */
const headerOf = (line: Lines): string | undefined => {
  const parameter = linesOf(line)[0]?.resource["parameter"]
  if (!Array.isArray(parameter)) return undefined
  for (const one of parameter as ReadonlyArray<Record<string, unknown> | null>) {
    const reference = one?.["name"] === "header" ? one["valueReference"] : undefined
    const text = typeof reference === "object" && reference !== null && "reference" in reference && reference.reference
    if (typeof text === "string") return text
  }
  return undefined
}

const eachLine = (lines: Lines): ReadonlyArray<Lines> => {
  const each: Array<Lines> = []
  for (let rest: Lines | undefined = lines; rest !== undefined;) {
    const [first, others] = splitAt(rest, 1)
    each.push(first)
    rest = others
  }
  return each
}

/** A mutable position: one file is read by one fiber at a time. */
class Cursor {
  position: Position
  constructor(private readonly file: ManifestFile, position: Position) {
    this.position = position
  }

  /** Adds the position to lines; headers are left out. */
  advance(parts: ReadonlyArray<Lines>, etag: string | undefined): ReadonlyArray<PositionedLines> {
    const advanced: Array<PositionedLines> = []
    let { organizer, resources } = this.position
    for (const part of parts.flatMap((lines) => this.mayHaveHeaders(lines) ? eachLine(lines) : [lines])) {
      const header = this.mayHaveHeaders(part) ? headerOf(part) : undefined
      if (header === undefined) {
        advanced.push(new PositionedLines(part, resources, etag, organizer))
        resources += part.count
      } else organizer = header
      this.position = positionAfter(part.first + part.count - 1, part.end, resources, etag, organizer)
    }
    return advanced
  }

  private mayHaveHeaders({ resourceType }: Lines): boolean {
    return this.file.organizedBy !== undefined && resourceType === "Parameters"
  }
}

/** How an attempt to read the rest of a file ended. */
type Ended<E> =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Invalid"; readonly error: NdjsonError }
  | { readonly _tag: "Failed"; readonly error: FhirError | E }
  /** The range does not begin after a newline. */
  | { readonly _tag: "NotALine" }

/** Parses a body from the position of the cursor on. It does not fail: `onEnd` gets the end. */
const parse = <E>(
  { body, etag, isRange, length }: Opened,
  cursor: Cursor,
  maxLineBytes: number,
  onEnd: (ended: Ended<E>) => void
): Stream.Stream<Part> => {
  const { position } = cursor
  const reader = new NdjsonReader({
    from: isRange ? position : { line: 0, offset: 0 },
    skipTo: position,
    maxLineBytes
  })
  let received = 0
  let unreported = 0
  let isEnded = false
  const end = (ended: Ended<E>) => {
    if (!isEnded) onEnd(ended)
    isEnded = true
  }
  const partOf = ({ error, parts }: Parsed): Part => {
    if (error !== undefined) end({ _tag: "Invalid", error })
    const bytes = unreported
    unreported = 0
    return { lines: cursor.advance(parts, etag), bytes }
  }
  /** Most chunks of a long line end no line: they are no part. */
  const parseChunk = (chunk: Uint8Array): Option.Option<Part> => {
    const isFirst = isRange && received === 0 && chunk.byteLength > 0
    received += chunk.byteLength
    unreported += chunk.byteLength
    if (isFirst && chunk[0] !== NEWLINE) {
      end({ _tag: "NotALine" })
      return Option.some(NOTHING)
    }
    const parsed = reader.push(isFirst ? chunk.subarray(1) : chunk)
    return parsed.parts.length === 0 && parsed.error === undefined ? Option.none() : Option.some(partOf(parsed))
  }
  const last = (): Part => {
    if (length === undefined || received >= length) return partOf(reader.end())
    end({ _tag: "Invalid", error: new NdjsonError({ reason: "Truncated", line: cursor.position.line + 1 }) })
    return NOTHING
  }
  return body.pipe(
    Stream.mapChunks(Chunk.filterMap((chunk) => isEnded ? Option.none() : parseChunk(chunk))),
    Stream.takeUntil(() => isEnded),
    Stream.catchAll((error) => {
      end({ _tag: "Failed", error })
      return Stream.empty
    }),
    Stream.concat(Stream.suspend(() => {
      const part = isEnded ? NOTHING : last()
      end({ _tag: "Complete" })
      return Stream.succeed(part)
    }))
  )
}

const NOTHING: Part = { lines: [], bytes: 0 }

/** The parts of a file after a position. */
export const read = <E, R>(
  fhir: Authorized<E, R>,
  context: FileContext<E, R>,
  from: Position
): Stream.Stream<Part, FhirError | E, R> =>
  Stream.suspend(() => {
    const { fail, index, job, onWait, options } = context
    let { file } = context
    const cursor = new Cursor(file, from)
    const patience = makePatience(options)
    const { maxLineBytes = DEFAULT_MAX_LINE_BYTES } = options
    let isRangeUsable = true
    let refreshesWithoutProgress = 0
    let ended: Ended<E> | undefined
    let before = from

    const attempt = Stream.suspend(() => {
      before = cursor.position
      ended = undefined
      const isRange = isRangeUsable && before.offset > 0
      return Stream.unwrapScoped(Effect.match(openAt(fhir, context, file, before, isRange), {
        onFailure: (error): Stream.Stream<Part> => {
          ended = { _tag: "Failed", error }
          return Stream.empty
        },
        onSuccess: (opened) =>
          parse<E>(opened, cursor, maxLineBytes, (how) => {
            ended = how
          })
      }))
    })

    const invalid = ({ line, reason }: NdjsonError) =>
      Effect.fail(Option.some(fail({ reason, detail: DETAILS[reason], line })))

    const next: Effect.Effect<typeof attempt, Option.Option<FhirError | E>, R> = Effect.suspend(() => {
      if (ended === undefined) return Effect.succeed(attempt)
      const hasProgress = cursor.position.line > before.line
      if (hasProgress) {
        patience.reset()
        refreshesWithoutProgress = 0
      }
      switch (ended._tag) {
        case "Complete":
          // A connection that ends early at the end of a line looks like the end of the file.
          return hasProgress && file.count !== undefined && cursor.position.resources < file.count
            ? Effect.succeed(attempt)
            : Effect.zipRight(Effect.mapError(checkCount(context, cursor.position), Option.some), DONE)
        case "NotALine":
          isRangeUsable = false
          return Effect.succeed(attempt)
        case "Invalid":
          return ended.error.reason === "Truncated" && hasProgress ? Effect.succeed(attempt) : invalid(ended.error)
        case "Failed": {
          const { error } = ended
          const failed = (reason: FhirError | E) =>
            Effect.flatMap(withExpiry(atLine(reason, cursor.position), job.get()), (explained) =>
              Effect.fail(Option.some(explained)))
          if (isTemporary(error)) {
            return Effect.flatMap(patience.next(error), (delay) =>
              delay === undefined
                ? failed(error)
                : Effect.as(Effect.zipRight(onWait(delay, error), Effect.sleep(delay)), attempt))
          }
          refreshesWithoutProgress += 1
          return !isUrlRefused(error) || refreshesWithoutProgress > MAX_REFRESHES_WITHOUT_PROGRESS
            ? failed(error)
            : Effect.matchEffect(job.refresh(index, file, error, onWait), {
              onFailure: failed,
              onSuccess: (renewed) => {
                file = renewed
                return Effect.succeed(attempt)
              }
            })
        }
      }
    })
    return Stream.flatten(Stream.repeatEffectOption(next))
  })

/** The error names the line that was not read, if the file has lines that were. */
const atLine = <E>(error: FhirError | E, { line }: Position): FhirError | E =>
  isFhirError(error) && line > 0 ? new FhirError({ ...error, line: line + 1 }) : error

const DONE = Effect.fail(Option.none())

/** Compares the number of resources with the manifest. Servers disagree whether headers count. */
const checkCount = <E, R>(
  { fail, fhirBaseUrl, file, index, options }: FileContext<E, R>,
  { line, resources }: Position
): Effect.Effect<void, FhirError> => {
  const { count, kind, organizedBy } = file
  const isRight = count === undefined || count === resources ||
    (organizedBy !== undefined && count > resources && count <= line)
  if (isRight) return Effect.void
  const detail = `the file has ${resources} resources, but the manifest counts ${count}`
  if (kind !== "error" && options.wrongCount !== "warn") {
    return fail({ reason: resources < count ? "Truncated" : "WrongCount", detail, line: line + 1 })
  }
  return Effect.flatMap(ConformanceWarnings, (warnings) =>
    reportSafely(
      warnings,
      new ConformanceWarning({
        code: "ExportCountWrong",
        server: fhirBaseUrl,
        detail: `bulk export, file ${index + 1} (${file.type}): ${detail}`
      })
    ))
}
