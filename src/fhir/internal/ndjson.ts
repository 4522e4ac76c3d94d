/**
 * Newline-delimited JSON as it comes over the wire: bytes in, resources out, never more than one line and one piece of the body in memory
 * (Bulk Data Access 2.0, "File Request").
 *
 * @since 0.1.0
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
  /** From 1 on; blank lines count. */
  readonly number: number
  readonly resource: Resource
}

/** What is wrong with a file; the lines before `line` are good. */
export class NdjsonError extends Data.TaggedError("NdjsonError")<{
  readonly reason: "MalformedLine" | "LineTooLong" | "Truncated"
  readonly line: number
}> {}

interface Step {
  readonly lines: ReadonlyArray<Line>
  readonly error: NdjsonError | undefined
}

const NEWLINE = 10

/** Bytes that do not end a line yet, and which line they belong to. */
class Reader {
  private readonly pending = new ByteBuffer()
  private readonly decoder = new TextDecoder("utf-8", { fatal: true })
  private size = 0
  private number = 1

  constructor(private readonly skip: number, private readonly maxLineBytes: number) {}

  push(bytes: Uint8Array): Step {
    const lines: Array<Line> = []
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      const error = this.endLine(bytes.subarray(from, end), lines, "MalformedLine")
      if (error !== undefined) return { lines, error }
      from = end + 1
    }
    return { lines, error: this.keep(bytes.subarray(from)) }
  }

  /** The last line may lack its newline; if it is no resource, the file was cut off in it. */
  end(): Step {
    const lines: Array<Line> = []
    return { lines, error: this.size === 0 ? undefined : this.endLine(new Uint8Array(), lines, "Truncated") }
  }

  private count(bytes: Uint8Array): NdjsonError | undefined {
    this.size += bytes.byteLength
    return this.size > this.maxLineBytes ? new NdjsonError({ reason: "LineTooLong", line: this.number }) : undefined
  }

  private keep(bytes: Uint8Array): NdjsonError | undefined {
    const error = this.count(bytes)
    // A line that was delivered before is counted, not kept. The buffer keeps a first chunk itself, and a transport may use its chunk again.
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

const emit = ({ error, lines }: Step): Stream.Stream<Line, NdjsonError> =>
  error === undefined ? Stream.fromIterable(lines) : Stream.concat(Stream.fromIterable(lines), Stream.fail(error))

/** The resources of a file, without those of its first `skip` lines. */
export const parse = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options: { readonly skip: number; readonly maxLineBytes: number }
): Stream.Stream<Line, E | NdjsonError, R> =>
  Stream.suspend(() => {
    const reader = new Reader(options.skip, options.maxLineBytes)
    return Stream.concat(
      bytes.pipe(
        Stream.map((chunk) => reader.push(chunk)),
        // Most chunks end no line: only for the others is it worth to build a stream.
        Stream.filter(({ error, lines }) => lines.length > 0 || error !== undefined),
        Stream.flatMap(emit)
      ),
      Stream.suspend(() => emit(reader.end()))
    )
  })
