/**
 * Parses a stream of newline-delimited JSON (Bulk Data Access 3.0, "File Request"). At most one line and one chunk are
 * in memory.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import { parseJson } from "../../base/JsonReader.js"
import type { Resource } from "./resource.js"
import { isResource } from "./resource.js"

/** One line that is a resource. */
export interface Line {
  /** Starts at 1; blank lines count. */
  readonly number: number
  readonly resource: Resource
}

/** A malformed file. The lines before `line` were valid. */
export class NdjsonError extends Data.TaggedError("NdjsonError")<{
  readonly reason: "MalformedLine" | "LineTooLong" | "Truncated"
  readonly line: number
}> {}

interface Parsed {
  readonly lines: ReadonlyArray<Line>
  readonly error: NdjsonError | undefined
}

const NEWLINE = 10

/** Splits chunks into lines; keeps the bytes of an incomplete line. */
class Reader {
  private readonly pending = new ByteBuffer()
  private readonly decoder = new TextDecoder("utf-8", { fatal: true })
  private size = 0
  private number = 1

  constructor(private readonly skip: number, private readonly maxLineBytes: number) {}

  push(bytes: Uint8Array): Parsed {
    const lines: Array<Line> = []
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      const error = this.endLine(bytes.subarray(from, end), lines, "MalformedLine")
      if (error !== undefined) return { lines, error }
      from = end + 1
    }
    return { lines, error: this.keep(bytes.subarray(from)) }
  }

  /** The last line may lack its newline. If it is not a resource, the file is truncated. */
  end(): Parsed {
    const lines: Array<Line> = []
    return { lines, error: this.size === 0 ? undefined : this.endLine(new Uint8Array(), lines, "Truncated") }
  }

  private count(bytes: Uint8Array): NdjsonError | undefined {
    this.size += bytes.byteLength
    return this.size > this.maxLineBytes ? new NdjsonError({ reason: "LineTooLong", line: this.number }) : undefined
  }

  private keep(bytes: Uint8Array): NdjsonError | undefined {
    const error = this.count(bytes)
    // A skipped line is counted, not kept. The first chunk is copied, because a transport may reuse its memory.
    if (error === undefined && this.number > this.skip && bytes.byteLength > 0) {
      this.pending.push(this.pending.size === 0 ? bytes.slice() : bytes)
    }
    return error
  }

  private endLine(rest: Uint8Array, lines: Array<Line>, reason: NdjsonError["reason"]): NdjsonError | undefined {
    const tooLong = this.count(rest)
    if (tooLong !== undefined) return tooLong
    const { number } = this
    this.size = 0
    this.number += 1
    if (number <= this.skip) return undefined
    if (this.pending.size > 0) this.pending.push(rest)
    const bytes = this.pending.size > 0 ? this.pending.take() : rest
    const text = Either.try(() => this.decoder.decode(bytes))
    if (Either.isRight(text) && text.right.trim() === "") return undefined
    const value = Either.isRight(text) ? parseJson(text.right)?.value : undefined
    if (!isResource(value)) return new NdjsonError({ reason, line: number })
    lines.push({ number, resource: value })
    return undefined
  }
}

const emit = ({ error, lines }: Parsed): Stream.Stream<Line, NdjsonError> =>
  error === undefined ? Stream.fromIterable(lines) : Stream.concat(Stream.fromIterable(lines), Stream.fail(error))

/** The resources of a file after its first `skip` lines. */
export const parse = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options: { readonly skip: number; readonly maxLineBytes: number }
): Stream.Stream<Line, E | NdjsonError, R> =>
  Stream.suspend(() => {
    const reader = new Reader(options.skip, options.maxLineBytes)
    return Stream.concat(
      bytes.pipe(
        Stream.map((chunk) => reader.push(chunk)),
        // Most chunks end no line: they need no stream.
        Stream.filter(({ error, lines }) => lines.length > 0 || error !== undefined),
        Stream.flatMap(emit)
      ),
      Stream.suspend(() => emit(reader.end()))
    )
  })
