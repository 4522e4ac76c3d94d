/**
 * The resources of an export in batches of a number of resources.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"
import type { Checkpoint } from "./bulkCheckpoint.js"
import type { Item, Lines, LinesOfExport } from "./bulkLines.js"

/**
 * Some resources in order, and the checkpoint after the last of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  /** The resources one by one. */
  readonly items: ReadonlyArray<Item>
  /** The same resources as lines, for a program that stores what the server wrote. */
  readonly lines: ReadonlyArray<Lines>
  readonly checkpoint: Checkpoint
}

class BatchOfLines implements Batch {
  private all: ReadonlyArray<Item> | undefined
  constructor(readonly lines: ReadonlyArray<Lines>, private readonly last: Lines) {}

  get items(): ReadonlyArray<Item> {
    this.all ??= this.lines.flatMap(({ items }) => items)
    return this.all
  }
  get checkpoint(): Checkpoint {
    return this.last.checkpoint
  }
}

/** Batches of `size` resources. The last resources before the end or a failure are a smaller batch. */
export const inBatches =
  (size: number) => <E, R>(self: Stream.Stream<LinesOfExport, E, R>): Stream.Stream<Batch, E, R> =>
    Stream.suspend(() => {
      // A size that is not a number would never be reached.
      const limit = Math.max(1, Math.floor(size)) || 1
      let open: Array<Lines> = []
      let count = 0
      const take = (): ReadonlyArray<Batch> => {
        const lines = open
        const last = lines.at(-1)
        open = []
        count = 0
        return last === undefined ? [] : [new BatchOfLines(lines, last)]
      }
      /** The batches that the lines fill. */
      const add = (lines: LinesOfExport): ReadonlyArray<Batch> => {
        const full: Array<Batch> = []
        for (let rest: LinesOfExport | undefined = lines; rest !== undefined;) {
          const [first, others]: ReturnType<LinesOfExport["splitAt"]> = rest.splitAt(limit - count)
          open.push(first)
          count += first.count
          if (count >= limit) full.push(...take())
          rest = others
        }
        return full
      }
      type Batching = Channel.Channel<Chunk.Chunk<Batch>, Chunk.Chunk<LinesOfExport>, E, E, unknown, unknown>
      const rest: Channel.Channel<Chunk.Chunk<Batch>> = Channel.suspend(() =>
        Channel.write(Chunk.unsafeFromArray(take()))
      )
      const batching: Batching = Channel.readWithCause({
        onInput: (chunk: Chunk.Chunk<LinesOfExport>) =>
          Channel.zipRight(
            Channel.write(Chunk.unsafeFromArray(Chunk.toReadonlyArray(chunk).flatMap(add))),
            batching
          ),
        onFailure: (cause: Cause.Cause<E>) => Channel.zipRight(rest, Channel.failCause(cause)),
        onDone: () => rest
      })
      return Stream.pipeThroughChannel(self, batching)
    })
