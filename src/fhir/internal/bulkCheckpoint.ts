/**
 * How far an export is: the job at the server, and the position of the reader in its files. Both are data that a
 * program stores where it likes, and that another process resumes from.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { ManifestFile } from "./bulkManifest.js"

/**
 * An export at the server. It contains no token, but URLs that may be signed: protect it like the data.
 *
 * @since 0.1.0
 * @category models
 */
export class Job extends Schema.Class<Job>("effect-safire/BulkExport/Job")({
  version: Schema.Literal(1),
  /** The URL for status requests and for the deletion. */
  statusUrl: Schema.String,
  /** The URL of the manifest that was not read yet; absent when all files are known. */
  nextManifest: Schema.optional(Schema.String),
  /** The URLs of the manifests that were read. */
  manifests: Schema.Array(Schema.String),
  /** The instant of the export, for `since` of the next one. */
  transactionTime: Schema.optional(Schema.String),
  /** When the server removes the files, in milliseconds since 1970. */
  expiresAt: Schema.optional(Schema.Number),
  /** The files of all manifests that were read. */
  files: Schema.Array(ManifestFile)
}) {
  /** Whether all files are known. */
  get isComplete(): boolean {
    return this.nextManifest === undefined
  }
}

/**
 * The position in one file, after a line.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Position = Schema.Struct({
  /** The number of lines before the position. */
  line: Schema.Number,
  /** The number of bytes before the position, without compression. */
  offset: Schema.Number,
  /** The number of resources before the position. */
  resources: Schema.Number,
  /** The strong ETag of the file, for a range request. */
  etag: Schema.optional(Schema.String),
  /** The reference of the latest header, in a file that is organized by a resource type. */
  organizer: Schema.optional(Schema.String)
})

/**
 * How far a file has been processed.
 *
 * @since 0.1.0
 * @category models
 */
export type Position = typeof Position.Type

/** The beginning of a file. */
export const start: Position = { line: 0, offset: 0, resources: 0 }

/**
 * The positions in all files of an export. Its size depends on the number of open files, not of all files.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Positions = Schema.Struct({
  /** The positions in the files that are being read, by the index of the file in `Job.files`. */
  open: Schema.Record({ key: Schema.String, value: Position }),
  /** The indexes of the completely processed files, as inclusive ranges in ascending order. */
  done: Schema.Array(Schema.Tuple(Schema.Number, Schema.Number))
})

/**
 * How far each file has been processed.
 *
 * @since 0.1.0
 * @category models
 */
export type Positions = typeof Positions.Type

/**
 * The position in an export. Encode and decode it with `Schema.parseJson(BulkExport.Checkpoint)`. For exports of many
 * thousand files, store `job` and `positions` apart: `job` is large and changes with each manifest only.
 *
 * @since 0.1.0
 * @category models
 */
export class Checkpoint extends Schema.Class<Checkpoint>("effect-safire/BulkExport/Checkpoint")({
  job: Job,
  positions: Positions
}) {}

/** The positions of an export of which nothing was read. */
export const noPositions: Positions = { open: {}, done: [] }

type Ranges = Positions["done"]

/** Adds an index to ascending ranges. */
export const addToRanges = (ranges: Ranges, index: number): Ranges => {
  const at = ranges.findIndex(([from]) => from > index)
  const position = at < 0 ? ranges.length : at
  const before = ranges[position - 1]
  const after = ranges[position]
  if (before !== undefined && index <= before[1]) return ranges
  const joinsBefore = before?.[1] === index - 1
  const joinsAfter = after?.[0] === index + 1
  return [
    ...ranges.slice(0, joinsBefore ? position - 1 : position),
    [joinsBefore ? before[0] : index, joinsAfter ? after[1] : index],
    ...ranges.slice(joinsAfter ? position + 1 : position)
  ]
}

/** Whether an index is in ascending ranges. */
export const isInRanges = (ranges: Ranges, index: number): boolean =>
  ranges.some(([from, to]) => from <= index && index <= to)

/** The number of indexes in the ranges. */
export const sizeOfRanges = (ranges: Ranges): number => ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)

/**
 * How far an export is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** `Waiting`: the next request follows after `delay`. */
  readonly phase: "Waiting" | "Reading" | "Done"
  /** The `X-Progress` of the server, during `Waiting`. */
  readonly message: string | undefined
  /** The time until the next request, during `Waiting`. */
  readonly delay: Duration.Duration | undefined
  /** The `Retry-After` of the server, during `Waiting`; it may be longer than `delay`. */
  readonly retryAfter: Duration.Duration | undefined
  /** The temporary failure that is the reason of the wait. */
  readonly error: { readonly _tag: string; readonly message: string } | undefined
  /** The number of files in the manifests so far. */
  readonly files: number
  readonly filesDone: number
  /** The number of resources in this run. */
  readonly resources: number
  /** The number of bytes in this run, without compression. */
  readonly bytes: number
  /** The total number of resources, if all files are known and have a count. */
  readonly expected: number | undefined
  /** When the server removes the files, in milliseconds since 1970. */
  readonly expiresAt: number | undefined
}
