/**
 * Parses newline-delimited JSON (Bulk Data Access 3.0, "File Request"). At most one line and one chunk are in memory.
 *
 * @internal
 */
import * as Data from "effect/Data"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import { lineParser } from "../../base/JsonReader.js"
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
const BYTE_ORDER_MARK = 0xfeff

/** The text of bytes; `undefined` if they are not UTF-8. The byte order mark of a line is part of its text. */
const decode = (decoder: TextDecoder, bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const isBlank = (text: string): boolean => text.charCodeAt(0) !== OPENING_BRACE && text.trim() === ""

/** Splits chunks into lines; keeps the bytes of an incomplete line. */
export class NdjsonReader {
  private readonly pending = new ByteBuffer()
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
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
    const block = bytes.lastIndexOf(NEWLINE) + 1
    // The first line may have begun in an earlier chunk.
    const first = block === 0 ? 0 : bytes.indexOf(NEWLINE) + 1
    if (first > 0) {
      const error = this.endLine(bytes.subarray(0, first - 1), lines, "MalformedLine", 1)
      if (error !== undefined) return { lines, error }
    }
    const error = this.endLines(bytes.subarray(first, block), lines)
    return { lines, error: error ?? this.keep(bytes.subarray(block)) }
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

  /** Whole lines. They are decoded and searched at once: for each line by itself, that takes longer than its JSON. */
  private endLines(bytes: Uint8Array, lines: Array<Line>): NdjsonError | undefined {
    const text = this.number > this.options.skipTo.line ? decode(this.decoder, bytes) : undefined
    const parse = text === undefined ? undefined : lineParser(text)
    let from = 0
    let fromCharacter = 0
    while (from < bytes.byteLength) {
      const end = bytes.indexOf(NEWLINE, from)
      let error: NdjsonError | undefined
      if (text === undefined || parse === undefined) {
        error = this.endLine(bytes.subarray(from, end), lines, "MalformedLine", 1)
      } else {
        const endCharacter = text.indexOf("\n", fromCharacter)
        error = end - from > this.options.maxLineBytes
          ? this.tooLong()
          : this.add(text.slice(fromCharacter, endCharacter), end - from + 1, lines, "MalformedLine", parse)
        fromCharacter = endCharacter + 1
      }
      if (error !== undefined) return error
      from = end + 1
    }
    return undefined
  }

  /** A line that is not skipped, of as many bytes with its newline. */
  private add(
    line: string,
    bytes: number,
    lines: Array<Line>,
    reason: NdjsonError["reason"],
    parse: (line: string) => unknown
  ): NdjsonError | undefined {
    const { number } = this
    this.offset += bytes
    this.number += 1
    const text = line.charCodeAt(0) === BYTE_ORDER_MARK ? line.slice(1) : line
    if (isBlank(text)) return undefined
    const resource = parse(text)
    if (!isResource(resource)) return new NdjsonError({ reason, line: number })
    lines.push({ number, end: this.offset, text, resource })
    return undefined
  }

  private tooLong(): NdjsonError {
    return new NdjsonError({ reason: "LineTooLong", line: this.number })
  }

  private count(bytes: Uint8Array): NdjsonError | undefined {
    this.size += bytes.byteLength
    return this.size > this.options.maxLineBytes ? this.tooLong() : undefined
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
    const { number, options: { skipTo }, size } = this
    this.size = 0
    if (number <= skipTo.line) {
      this.offset += size + newline
      this.number += 1
      // The last line of a file may have got its newline since.
      return number < skipTo.line || this.offset === skipTo.offset || this.offset === skipTo.offset + newline
        ? undefined
        : new NdjsonError({ reason: "FileChanged", line: number })
    }
    if (this.pending.size > 0) this.pending.push(rest)
    const bytes = this.pending.size > 0 ? this.pending.take() : rest
    const text = decode(this.decoder, bytes)
    return text === undefined
      ? new NdjsonError({ reason, line: number })
      : this.add(text, size + newline, lines, reason, lineParser(text))
  }
}
