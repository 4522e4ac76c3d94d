/**
 * The resources of an export as lines and as items, with their positions.
 *
 * @since 0.1.0
 */
import type * as HashMap from "effect/HashMap"
import type { Job, Position, Positions } from "./bulkCheckpoint.js"
import { Checkpoint } from "./bulkCheckpoint.js"
import type { ManifestFile } from "./bulkManifest.js"
import type { ListedFile } from "./bulkPolling.js"
import * as Ndjson from "./ndjson.js"
import type { Resource } from "./resource.js"

/**
 * One resource of one file.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileItem {
  readonly kind: ManifestFile["kind"]
  /** The type of the file in the manifest; `Resource` if it contains several. */
  readonly type: string
  /** Parsed on access. */
  readonly resource: Resource
  /** The resource as the server wrote it, without the newline. */
  readonly text: string
  /** The index of the file in `Job.files`. */
  readonly file: number
  /** The number of the line in the file, from 1 on. */
  readonly line: number
  /** The reference of the instance whose block this is, with `organizeOutputBy`. */
  readonly organizer: string | undefined
  /** The position after this resource in its file. */
  readonly position: Position
}

/**
 * A resource of an export, with its position.
 *
 * @since 0.1.0
 * @category models
 */
export interface Item extends FileItem {
  /** Save it once this item and all items before it are processed, best in the same transaction as the results. */
  readonly checkpoint: Checkpoint
}

/**
 * Consecutive resources of one type in one file, as bytes: for a program that stores what the server wrote. Each line
 * is checked, but not parsed, which takes a quarter of the time.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileLines {
  readonly kind: ManifestFile["kind"]
  /** The type of the file in the manifest; `Resource` if it contains several. */
  readonly type: string
  /** The `resourceType` of each resource. The server chooses it: check it before it becomes the name of a file. */
  readonly resourceType: string
  /** The lines as the server wrote them, each with its newline. They are not copied: do not change them. */
  readonly bytes: Uint8Array
  /** The number of resources, which is that of the lines. */
  readonly count: number
  /** The index of the file in `Job.files`. */
  readonly file: number
  /** The number of the first line in the file, from 1 on. */
  readonly line: number
  /** The reference of the instance whose block this is, with `organizeOutputBy`. */
  readonly organizer: string | undefined
  /** The position after the last resource in its file. */
  readonly position: Position
  /** The resources one by one. */
  readonly items: ReadonlyArray<FileItem>
}

/**
 * Consecutive resources of an export, with their position.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lines extends FileLines {
  /** Save it once these resources and all before them are processed, best in the same transaction as the results. */
  readonly checkpoint: Checkpoint
  readonly items: ReadonlyArray<Item>
}

export const positionAfter = (
  line: number,
  offset: number,
  resources: number,
  etag: string | undefined,
  organizer: string | undefined
): Position => ({
  line,
  offset,
  resources,
  ...(etag === undefined ? {} : { etag }),
  ...(organizer === undefined ? {} : { organizer })
})

/** Consecutive resources, and their position in the file. */
export class PositionedLines {
  constructor(
    readonly lines: Ndjson.Lines,
    /** The number of resources before them. */
    readonly resources: number,
    readonly etag: string | undefined,
    readonly organizer: string | undefined
  ) {}

  /** The position after the last. */
  get position(): Position {
    const { count, end, first } = this.lines
    return positionAfter(first + count - 1, end, this.resources + count, this.etag, this.organizer)
  }

  /** The position after the resource at an index. */
  positionAt(index: number, { end, number }: Ndjson.Line): Position {
    return positionAfter(number, end, this.resources + index + 1, this.etag, this.organizer)
  }

  /** The first resources, at most `count`, and the others. */
  splitAt(count: number): readonly [PositionedLines, PositionedLines | undefined] {
    const [lines, others] = Ndjson.splitAt(this.lines, count)
    return others === undefined ? [this, undefined] : [
      new PositionedLines(lines, this.resources, this.etag, this.organizer),
      new PositionedLines(others, this.resources + count, this.etag, this.organizer)
    ]
  }
}

/** What all resources of a file share. */
class OfFile {
  constructor(protected readonly at: ListedFile, protected readonly lines: PositionedLines) {}

  get kind(): ManifestFile["kind"] {
    return this.at.file.kind
  }
  get type(): string {
    return this.at.file.type
  }
  get file(): number {
    return this.at.index
  }
  get organizer(): string | undefined {
    return this.lines.organizer
  }
}

/** A class, because its position is made only on access. */
class ItemOfFile extends OfFile implements FileItem {
  constructor(
    at: ListedFile,
    lines: PositionedLines,
    private readonly parsed: Ndjson.Line,
    private readonly index: number
  ) {
    super(at, lines)
  }

  get resource(): Resource {
    return this.parsed.resource
  }
  get text(): string {
    return this.parsed.text
  }
  get line(): number {
    return this.parsed.number
  }
  get position(): Position {
    return this.lines.positionAt(this.index, this.parsed)
  }
}

export class LinesOfFile extends OfFile implements FileLines {
  get resourceType(): string {
    return this.lines.lines.resourceType
  }
  get bytes(): Uint8Array {
    return this.lines.lines.bytes
  }
  get count(): number {
    return this.lines.lines.count
  }
  get line(): number {
    return this.lines.lines.first
  }
  get position(): Position {
    return this.lines.position
  }
  get items(): ReadonlyArray<FileItem> {
    return Ndjson.linesOf(this.lines.lines).map((line, index) => new ItemOfFile(this.at, this.lines, line, index))
  }
}

/** The positions of the other files, shared by the items of one chunk. */
export interface Snapshot {
  readonly job: Job
  readonly open: HashMap.HashMap<number, Position>
  readonly done: Positions["done"]
  /** Called when the program reads a checkpoint. */
  readonly onUse: () => void
}

const checkpointAt = ({ done, job, open }: Snapshot, file: number, position: Position): Checkpoint =>
  new Checkpoint({
    job,
    positions: {
      open: Object.fromEntries([
        ...Array.from(open, ([index, other]) => [String(index), other] as const),
        [String(file), position] as const
      ]),
      done
    }
  }, { disableValidation: true })

/** A class, because its checkpoint is made only on access. */
class ItemOfExport extends ItemOfFile implements Item {
  constructor(
    at: ListedFile,
    lines: PositionedLines,
    parsed: Ndjson.Line,
    index: number,
    private readonly snapshot: Snapshot
  ) {
    super(at, lines, parsed, index)
  }

  get checkpoint(): Checkpoint {
    this.snapshot.onUse()
    return checkpointAt(this.snapshot, this.file, this.position)
  }
}

/** The lines of an export. */
export class LinesOfExport extends LinesOfFile implements Lines {
  constructor(at: ListedFile, lines: PositionedLines, private readonly snapshot: Snapshot) {
    super(at, lines)
  }

  get checkpoint(): Checkpoint {
    this.snapshot.onUse()
    return checkpointAt(this.snapshot, this.file, this.position)
  }
  override get items(): ReadonlyArray<Item> {
    return Ndjson.linesOf(this.lines.lines).map((line, index) =>
      new ItemOfExport(this.at, this.lines, line, index, this.snapshot)
    )
  }

  /** The first resources, at most `count`, and the others. */
  splitAt(count: number): readonly [LinesOfExport, LinesOfExport | undefined] {
    const [first, others] = this.lines.splitAt(count)
    return others === undefined ? [this, undefined] : [
      new LinesOfExport(this.at, first, this.snapshot),
      new LinesOfExport(this.at, others, this.snapshot)
    ]
  }
}
