/**
 * Checks newline-delimited JSON (Bulk Data Access 3.0, "File Request"). At most one line and one chunk are in memory.
 *
 * @internal
 */
import * as Data from "effect/Data"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import { lineParser } from "../../base/JsonReader.js"
import { endOfResource, skipSpace } from "./jsonLine.js"
import type { Resource } from "./resource.js"
import { isResource } from "./resource.js"

/** Consecutive lines that are resources of one type. */
export interface Lines {
  /** Each line ends with a newline. */
  readonly bytes: Uint8Array
  readonly resourceType: string
  readonly count: number
  /** The number of the first line. Starts at 1; blank lines count. */
  readonly first: number
  /** The number of bytes of the file up to the beginning of the first line, and up to the end of the last one. */
  readonly start: number
  readonly end: number
}

/** One line. */
export interface Line {
  readonly number: number
  readonly end: number
  readonly text: string
  /** Parsed on access. */
  readonly resource: Resource
}

/** A malformed file. The lines before `line` were valid. */
export class NdjsonError extends Data.TaggedError("NdjsonError")<{
  readonly reason: "MalformedLine" | "LineTooLong" | "Truncated" | "FileChanged"
  readonly line: number
}> {}

export interface Parsed {
  readonly parts: ReadonlyArray<Lines>
  readonly error: NdjsonError | undefined
}

export interface Options {
  /** Where the bytes begin: the number of lines and bytes before them. */
  readonly from: { readonly line: number; readonly offset: number }
  /** Lines up to this position are counted, not checked. */
  readonly skipTo: { readonly line: number; readonly offset: number }
  readonly maxLineBytes: number
}

const NEWLINE = 10
const NEWLINE_BYTES = Uint8Array.of(NEWLINE)
const OPENING_BRACE = 123
const BYTE_ORDER_MARK = 0xfeff
const BYTE_ORDER_MARK_BYTES = 3

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text of bytes; `undefined` if they are not UTF-8. A byte order mark is part of it. */
const decode = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** The part of Node's global `process` that is used: its function takes a tenth of the time, and makes no text. */
interface Process {
  readonly getBuiltinModule?: (name: "node:buffer") => { readonly isUtf8: (bytes: Uint8Array) => boolean } | undefined
}

const { process } = globalThis as { readonly process?: Process }
const isUtf8 = process?.getBuiltinModule?.("node:buffer")?.isUtf8 ??
  ((bytes: Uint8Array): boolean => decode(bytes) !== undefined)

const isBlank = (text: string): boolean => text.charCodeAt(0) !== OPENING_BRACE && text.trim() === ""

/** A class, because its resource is parsed on access only. */
class ParsedLine implements Line {
  private parsed: unknown

  constructor(
    readonly number: number,
    readonly end: number,
    readonly text: string,
    private readonly parse: (line: string) => unknown
  ) {}

  get resource(): Resource {
    this.parsed ??= this.parse(this.text)
    // The reader has checked it.
    return this.parsed as Resource
  }
}

/** The lines one by one. */
export const linesOf = ({ bytes, count, end, first, start }: Lines): ReadonlyArray<Line> => {
  const text = decode(bytes) ?? ""
  let parser: ((line: string) => unknown) | undefined
  const parse = (line: string) => (parser ??= lineParser(text))(line)
  const lines: Array<Line> = []
  let to = -1
  let toCharacter = -1
  for (let index = 0; index < count; index++) {
    const from = toCharacter + 1
    to = bytes.indexOf(NEWLINE, to + 1)
    toCharacter = text.indexOf("\n", from)
    // The last line of a file may lack the newline that its bytes have here.
    lines.push(
      new ParsedLine(first + index, Math.min(start + to + 1, end), text.slice(from, toCharacter), parse)
    )
  }
  return lines
}

/** The first lines, at most `count`, and the others. */
export const splitAt = (lines: Lines, count: number): readonly [Lines, Lines | undefined] => {
  if (count >= lines.count) return [lines, undefined]
  let to = 0
  for (let index = 0; index < count; index++) to = lines.bytes.indexOf(NEWLINE, to) + 1
  const at = lines.start + to
  return [
    { ...lines, bytes: lines.bytes.subarray(0, to), count, end: at },
    { ...lines, bytes: lines.bytes.subarray(to), count: lines.count - count, first: lines.first + count, start: at }
  ]
}

/** Collects the lines of a block into parts. */
class Block {
  readonly parts: Array<Lines> = []
  private readonly open = { from: 0, count: 0, first: 0, start: 0, typeFrom: 0, typeTo: 0 }

  constructor(private readonly bytes: Uint8Array) {}

  /** Adds a line of the block, whose type is at these indexes. */
  add(from: number, number: number, start: number, typeFrom: number, typeTo: number): void {
    const { bytes, open } = this
    if (open.count > 0 && open.typeTo - open.typeFrom === typeTo - typeFrom) {
      let index = typeFrom
      while (index < typeTo && bytes[index] === bytes[open.typeFrom + index - typeFrom]) index += 1
      if (index === typeTo) {
        open.count += 1
        return
      }
    }
    this.close(from)
    Object.assign(open, { from, count: 1, first: number, start, typeFrom, typeTo })
  }

  /** Ends the part before an index. */
  close(to: number): void {
    const { bytes, open: { count, first, from, start, typeFrom, typeTo } } = this
    if (count === 0) return
    this.open.count = 0
    this.parts.push({
      bytes: bytes.subarray(from, to),
      resourceType: decoder.decode(bytes.subarray(typeFrom, typeTo)),
      count,
      first,
      start,
      end: start + to - from
    })
  }
}

const NOTHING: Parsed = { parts: [], error: undefined }

/** Splits chunks into lines and checks them; keeps the bytes of an incomplete line. */
export class NdjsonReader {
  private readonly pending = new ByteBuffer()
  private readonly type = { from: 0, to: 0 }
  private size = 0
  private number: number
  /** The offset of the beginning of the current line. */
  private offset: number

  constructor(private readonly options: Options) {
    this.number = options.from.line + 1
    this.offset = options.from.offset
  }

  /** The parts may refer to the memory of the chunk. */
  push(bytes: Uint8Array): Parsed {
    const end = bytes.lastIndexOf(NEWLINE) + 1
    const block = bytes.subarray(0, end)
    const { error, parts } = end === 0 ? NOTHING : this.size === 0 ? this.endLines(block) : this.endBegun(block)
    return { parts, error: error ?? this.keep(bytes.subarray(end)) }
  }

  /** Whole lines after the beginning of the first, which was in earlier chunks. Only the first is copied. */
  private endBegun(bytes: Uint8Array): Parsed {
    const end = bytes.indexOf(NEWLINE) + 1
    const first = bytes.subarray(0, end)
    const begun = this.pending.size > 0 ? this.endPending(first) : this.endLine(first, "MalformedLine")
    if (begun.error !== undefined || end === bytes.byteLength) return begun
    const { error, parts } = this.endLines(bytes.subarray(end))
    return { parts: [...begun.parts, ...parts], error }
  }

  private endPending(rest: Uint8Array): Parsed {
    this.size = 0
    this.pending.push(rest)
    return this.endLines(this.pending.take())
  }

  /** The last line may lack its newline. If it is not a resource, the file is truncated. */
  end(): Parsed {
    const { error, parts } = this.size === 0 ? NOTHING : this.endLine(new Uint8Array(), "Truncated")
    return { parts, error: error ?? (this.number <= this.options.skipTo.line ? this.failed("FileChanged") : undefined) }
  }

  /** Whole lines. Their UTF-8 is checked at once: for each line by itself, that takes longer than its JSON. */
  private endLines(bytes: Uint8Array): Parsed {
    const isChecked = this.number > this.options.skipTo.line && isUtf8(bytes)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const block = new Block(bytes)
    let from = 0
    while (from < bytes.byteLength) {
      const to = isChecked ? endOfResource(bytes, view, from, this.type) : -1
      if (to >= 0 && to - from - 1 <= this.options.maxLineBytes) {
        block.add(from, this.number, this.offset, this.type.from, this.type.to)
        this.number += 1
        this.offset += to - from
        from = to
        continue
      }
      block.close(from)
      // Most blank lines: a compressed file may have millions of them.
      const blank = isChecked ? skipSpace(bytes, from) : from
      if (isChecked && bytes[blank] === NEWLINE && blank - from <= this.options.maxLineBytes) {
        this.number += 1
        this.offset += blank + 1 - from
        from = blank + 1
        continue
      }
      const end = bytes.indexOf(NEWLINE, from) + 1
      const { error, parts } = this.endLine(bytes.subarray(from, end), "MalformedLine")
      block.parts.push(...parts)
      if (error !== undefined) return { parts: block.parts, error }
      from = end
    }
    block.close(from)
    return { parts: block.parts, error: undefined }
  }

  private failed(reason: NdjsonError["reason"]): NdjsonError {
    return new NdjsonError({ reason, line: this.number })
  }

  private keep(bytes: Uint8Array): NdjsonError | undefined {
    this.size += bytes.byteLength
    if (this.size > this.options.maxLineBytes) return this.failed("LineTooLong")
    // A skipped line is counted, not kept. The first chunk is copied, because a transport may reuse its memory.
    if (this.number > this.options.skipTo.line && bytes.byteLength > 0) {
      this.pending.push(this.pending.size === 0 ? bytes.slice() : bytes)
    }
    return undefined
  }

  /** A line that may have begun in an earlier chunk, with its newline if it has one. */
  private endLine(rest: Uint8Array, reason: NdjsonError["reason"]): Parsed {
    const { number, offset, options: { maxLineBytes, skipTo } } = this
    const newline = rest.byteLength > 0 ? 1 : 0
    const size = this.size + rest.byteLength
    if (size - newline > maxLineBytes) return { parts: [], error: this.failed("LineTooLong") }
    this.size = 0
    this.offset += size
    this.number += 1
    if (number <= skipTo.line) {
      // The last line of a file may have got its newline since.
      return number < skipTo.line || this.offset === skipTo.offset || this.offset === skipTo.offset + newline
        ? NOTHING
        : { parts: [], error: new NdjsonError({ reason: "FileChanged", line: number }) }
    }
    if (this.pending.size > 0) this.pending.push(newline === 1 ? rest : NEWLINE_BYTES)
    const bytes = this.pending.size > 0 ? this.pending.take() : rest
    const decoded = decode(bytes)
    const mark = decoded?.charCodeAt(0) === BYTE_ORDER_MARK ? 1 : 0
    const text = decoded?.slice(mark, -1)
    if (text !== undefined && isBlank(text)) return NOTHING
    const resource = text === undefined ? undefined : lineParser(text)(text)
    return isResource(resource)
      ? {
        parts: [{
          bytes: bytes.subarray(mark * BYTE_ORDER_MARK_BYTES),
          resourceType: resource.resourceType,
          count: 1,
          first: number,
          start: offset + mark * BYTE_ORDER_MARK_BYTES,
          end: this.offset
        }],
        error: undefined
      }
      : { parts: [], error: new NdjsonError({ reason, line: number }) }
  }
}
