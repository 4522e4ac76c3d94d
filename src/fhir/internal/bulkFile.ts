/**
 * Reads one file of an export (Bulk Data Access 3.0, "File Request"). After a broken connection it continues at the
 * next line: by a range request if the server supports it, else by skipping the lines that were read.
 *
 * @since 0.1.0
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
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
import { issueCodesOf } from "./resource.js"

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
  constructor(readonly file: ManifestFile, position: Position) {
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

/** A server may report a failure with the status of a success. */
const isOutcome = ({ kind, type }: ManifestFile, { resourceType }: Lines): boolean =>
  kind === "output" && resourceType === "OperationOutcome" && type !== resourceType && type !== "Resource"

/** How an attempt to read the rest of a file ended. */
type Ended<E> =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Invalid"; readonly error: NdjsonError }
  | { readonly _tag: "Failed"; readonly error: FhirError | E }
  /** The range does not begin at the position, or not after a newline. */
  | { readonly _tag: "NotTheRange" }

/** A response that is being read. */
class Attempt<E> {
  /** How it ended; its lines before are valid. */
  ended: Ended<E> | undefined
  readonly before: Position
  private readonly reader: NdjsonReader
  private received = 0
  private unreported = 0

  constructor(
    private readonly opened: Opened,
    private readonly cursor: Cursor,
    private readonly fail: FileContext<E, never>["fail"],
    maxLineBytes: number
  ) {
    this.before = cursor.position
    this.reader = new NdjsonReader({
      from: opened.isRange ? this.before : { line: 0, offset: 0 },
      skipTo: this.before,
      maxLineBytes
    })
  }

  /** Most chunks of a long line end no line: they are no part. */
  add(chunks: Chunk.Chunk<Uint8Array>): Part | undefined {
    const lines: Array<PositionedLines> = []
    for (const chunk of chunks) {
      const isFirst = this.opened.isRange && this.received === 0 && chunk.byteLength > 0
      this.received += chunk.byteLength
      this.unreported += chunk.byteLength
      if (isFirst && chunk[0] !== NEWLINE) this.ended = { _tag: "NotTheRange" }
      else {
        for (const one of this.advance(this.reader.push(isFirst ? chunk.subarray(1) : chunk))) lines.push(one)
      }
      if (this.ended !== undefined) break
    }
    return this.partOf(lines)
  }

  /** The body is complete: its last line may lack a newline. */
  end(): Part | undefined {
    const { length } = this.opened
    const isComplete = length === undefined || this.received >= length
    const lines = isComplete ? this.advance(this.reader.end()) : []
    this.ended ??= isComplete
      ? { _tag: "Complete" }
      : { _tag: "Invalid", error: new NdjsonError({ reason: "Truncated", line: this.cursor.position.line + 1 }) }
    return this.partOf(lines)
  }

  private advance({ error, parts }: Parsed): ReadonlyArray<PositionedLines> {
    const { file, position } = this.cursor
    const [first] = parts
    if (first !== undefined && position.resources === 0 && isOutcome(file, first)) {
      const issues = linesOf(first).flatMap(({ resource }) => issueCodesOf(resource))
      const detail = "the server responded with an OperationOutcome instead of the file"
      this.ended = { _tag: "Failed", error: this.fail({ reason: "Refused", detail, issues, line: first.first }) }
      return []
    }
    if (error !== undefined) this.ended = { _tag: "Invalid", error }
    return this.cursor.advance(parts, this.opened.etag)
  }

  private partOf(lines: ReadonlyArray<PositionedLines>): Part | undefined {
    if (lines.length === 0 && this.ended === undefined) return undefined
    const bytes = this.unreported
    this.unreported = 0
    return { lines, bytes }
  }
}

/** The next part; fails with `None` after the last. */
export type Pull<E, R> = Effect.Effect<Part, Option.Option<FhirError | E>, R>

/** The parts of a file after a position. The scope closes its response. */
export const open = <E, R>(
  fhir: Authorized<E, R>,
  context: FileContext<E, R>,
  from: Position
): Effect.Effect<Pull<E, R>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const { fail, index, job, onWait, options } = context
    let { file } = context
    const cursor = new Cursor(file, from)
    const patience = makePatience(options)
    const { maxLineBytes = DEFAULT_MAX_LINE_BYTES } = options
    let isRangeUsable = true
    let isRange = false
    let refreshesWithoutProgress = 0

    const begin: Pull<E, R> = Effect.suspend(() => {
      const before = cursor.position
      isRange = isRangeUsable && before.offset > 0
      return Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (current) => {
        const close = Scope.close(current, Exit.void)
        const ended = (how: Ended<E>) => Effect.zipRight(close, afterwards(how, false))
        return openAt(fhir, context, file, before, isRange).pipe(
          Scope.extend(current),
          Effect.matchEffect({
            onFailure: (error) => ended({ _tag: "Failed", error }),
            onSuccess: (opened) => {
              if (opened === undefined) return ended({ _tag: "NotTheRange" })
              isRange = opened.isRange
              rest = receive(opened, close)
              return rest
            }
          })
        )
      })
    })
    let rest = begin
    const restart: Pull<E, R> = Effect.suspend(() => {
      rest = begin
      return begin
    })

    /** The parts of a response, and what follows its end. */
    const receive = (opened: Opened, close: Effect.Effect<void>): Pull<E, R> => {
      const attempt = new Attempt<E>(opened, cursor, fail, maxLineBytes)
      const parts: Pull<E, R> = Effect.suspend(() => {
        const { ended } = attempt
        if (ended !== undefined) {
          return Effect.zipRight(close, afterwards(ended, cursor.position.line > attempt.before.line))
        }
        return Effect.matchEffect(opened.body, { onFailure, onSuccess })
      })
      const emit = (part: Part | undefined): Pull<E, R> => part === undefined ? parts : Effect.succeed(part)
      const onSuccess = (chunks: Chunk.Chunk<Uint8Array>) => emit(attempt.add(chunks))
      const onFailure = (end: Option.Option<FhirError>) => {
        if (Option.isNone(end)) return emit(attempt.end())
        attempt.ended = { _tag: "Failed", error: end.value }
        return parts
      }
      return parts
    }

    const failed = (error: FhirError | E) => Effect.fail(Option.some(error))
    const failedAtLine = (error: FhirError | E) =>
      Effect.flatMap(withExpiry(atLine(error, cursor.position), job.get()), failed)
    const invalid = ({ line, reason }: NdjsonError) => failed(fail({ reason, detail: DETAILS[reason], line }))

    /** What follows the end of a response: another request, the error, or the end of the file. */
    const afterwards = (ended: Ended<E>, hasProgress: boolean): Pull<E, R> => {
      if (hasProgress) {
        patience.reset()
        refreshesWithoutProgress = 0
      }
      const isRangeWrong = isRange && !hasProgress && isAboutRange(ended)
      isRangeUsable = !isRangeWrong
      switch (ended._tag) {
        case "Complete":
          // A connection that ends early at the end of a line looks like the end of the file.
          return hasProgress && file.count !== undefined && cursor.position.resources < file.count
            ? restart
            : Effect.zipRight(Effect.mapError(checkCount(context, cursor.position), Option.some), DONE)
        case "NotTheRange":
          return restart
        case "Invalid":
          return isRangeWrong || (hasProgress && ended.error.reason === "Truncated") ? restart : invalid(ended.error)
        case "Failed": {
          const { error } = ended
          if (isTemporary(error)) {
            return Effect.matchEffect(patience.next(error), {
              onFailure: failedAtLine,
              onSuccess: (delay) => Effect.zipRight(Effect.zipRight(onWait(delay, error), Effect.sleep(delay)), restart)
            })
          }
          if (!isUrlRefused(error)) {
            const mayContinue = isRangeWrong || (hasProgress && isFhirError(error) && error.reason === "Truncated")
            return mayContinue ? restart : failedAtLine(error)
          }
          refreshesWithoutProgress += 1
          return refreshesWithoutProgress > MAX_REFRESHES_WITHOUT_PROGRESS
            ? failedAtLine(error)
            : Effect.matchEffect(job.refresh(index, file, error, onWait), {
              onFailure: failedAtLine,
              onSuccess: (renewed) => {
                file = renewed
                return restart
              }
            })
        }
      }
    }
    return Effect.suspend(() => rest)
  })

/**
 * Whether a response to a range request, without a line, may be about ranges instead of the file: the file is then
 * requested without one. Some servers refuse ranges; others send ranges of a compressed file.
 */
const isAboutRange = <E>(ended: Ended<E>): boolean => {
  if (ended._tag !== "Failed") return ended._tag !== "Complete"
  const { error } = ended
  return isFhirError(error) && error.status !== undefined && (error.status < 300 || !isTemporary(error)) &&
    !isUrlRefused(error)
}

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
