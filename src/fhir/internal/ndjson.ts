/**
 * Parses newline-delimited JSON (Bulk Data Access 3.0, "File Request"). At most one line and one chunk are in memory.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import { parseJson } from "../../base/JsonReader.js"
import type { Resource } from "./resource.js"
import { isResource } from "./resource.js"

/** One line that is a resource. */
export interface Line {
  /** Starts at 1; blank lines count. */
  readonly number: number
  /** The number of bytes of the file up to the end of the line. */
  readonly end: number
  readonly text: string
  readonly resource: Resource
}

/** A malformed file. The lines before `line` were valid. */
export class NdjsonError extends Data.TaggedError("NdjsonError")<{
  readonly reason: "MalformedLine" | "LineTooLong" | "Truncated" | "FileChanged"
  readonly line: number
}> {}

export interface Parsed {
  readonly lines: ReadonlyArray<Line>
  readonly error: NdjsonError | undefined
}

export interface Options {
  /** Where the bytes begin: the number of lines and bytes before them. */
  readonly from: { readonly line: number; readonly offset: number }
  /** Lines up to this position are counted, not parsed. */
  readonly skipTo: { readonly line: number; readonly offset: number }
  readonly maxLineBytes: number
}

const NEWLINE = 10
const OPENING_BRACE = 123

const isBlank = (text: string): boolean => text.charCodeAt(0) !== OPENING_BRACE && text.trim() === ""

/** Splits chunks into lines; keeps the bytes of an incomplete line. */
export class NdjsonReader {
  private readonly pending = new ByteBuffer()
  private readonly decoder = new TextDecoder("utf-8", { fatal: true })
  private size = 0
  private number: number
  /** The offset of the beginning of the current line. */
  private offset: number

  constructor(private readonly options: Options) {
    this.number = options.from.line + 1
    this.offset = options.from.offset
  }

  push(bytes: Uint8Array): Parsed {
    const lines: Array<Line> = []
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      const error = this.endLine(bytes.subarray(from, end), lines, "MalformedLine", 1)
      if (error !== undefined) return { lines, error }
      from = end + 1
    }
    return { lines, error: this.keep(bytes.subarray(from)) }
  }

  /** The last line may lack its newline. If it is not a resource, the file is truncated. */
  end(): Parsed {
    const lines: Array<Line> = []
    const error = this.size === 0 ? undefined : this.endLine(new Uint8Array(), lines, "Truncated", 0)
    const { skipTo } = this.options
    return {
      lines,
      error: error ?? (this.number <= skipTo.line
        ? new NdjsonError({ reason: "FileChanged", line: this.number })
        : undefined)
    }
  }

  private count(bytes: Uint8Array): NdjsonError | undefined {
    this.size += bytes.byteLength
    return this.size > this.options.maxLineBytes
      ? new NdjsonError({ reason: "LineTooLong", line: this.number })
      : undefined
  }

  private keep(bytes: Uint8Array): NdjsonError | undefined {
    const error = this.count(bytes)
    // A skipped line is counted, not kept. The first chunk is copied, because a transport may reuse its memory.
    if (error === undefined && this.number > this.options.skipTo.line && bytes.byteLength > 0) {
      this.pending.push(this.pending.size === 0 ? bytes.slice() : bytes)
    }
    return error
  }

  private endLine(
    rest: Uint8Array,
    lines: Array<Line>,
    reason: NdjsonError["reason"],
    newline: 0 | 1
  ): NdjsonError | undefined {
    const tooLong = this.count(rest)
    if (tooLong !== undefined) return tooLong
    const { number, options: { skipTo } } = this
    this.offset += this.size + newline
    this.size = 0
    this.number += 1
    if (number <= skipTo.line) {
      // The last line of a file may have got its newline since.
      return number < skipTo.line || this.offset === skipTo.offset || this.offset === skipTo.offset + newline
        ? undefined
        : new NdjsonError({ reason: "FileChanged", line: number })
    }
    if (this.pending.size > 0) this.pending.push(rest)
    const bytes = this.pending.size > 0 ? this.pending.take() : rest
    const text = Option.getOrUndefined(Option.liftThrowable(() => this.decoder.decode(bytes))())
    if (text !== undefined && isBlank(text)) return undefined
    const value = text === undefined ? undefined : parseJson(text)?.value
    if (text === undefined || !isResource(value)) return new NdjsonError({ reason, line: number })
    lines.push({ number, end: this.offset, text, resource: value })
    return undefined
  }
}
