/**
 * Undoes gzip (RFC 1952) for transports that leave it to their callers.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The first byte of gzip, which NDJSON cannot begin with. A first part may have one byte only. */
const isGzip = ([first]: Uint8Array): boolean => first === 0x1f

/** The error of the source, or `invalid` for bytes that are not gzip. */
const gunzip = <E extends Error>(
  bytes: Stream.Stream<Uint8Array, E>,
  isSourceError: (error: unknown) => error is E,
  invalid: () => E
): Stream.Stream<Uint8Array, E> =>
  Stream.unwrap(Effect.map(Effect.runtime<never>(), (runtime) =>
    Stream.fromReadableStream({
      evaluate: () =>
        Stream.toReadableStreamRuntime(bytes, runtime).pipeThrough(
          // The DOM library and the streams of Effect disagree about the memory below a Uint8Array.
          new DecompressionStream("gzip") as unknown as ReadableWritablePair<Uint8Array, Uint8Array>
        ),
      onError: (error) => isSourceError(error) ? error : invalid()
    })))

/** Receives the next bytes; fails with `None` at the end. */
export type Pull<E> = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<E>>

/** The bytes without compression. A transport that undoes gzip itself may keep the `Content-Encoding` header. */
export const gunzipIfCompressed = <E extends Error>(
  bytes: Stream.Stream<Uint8Array, E>,
  isSourceError: (error: unknown) => error is E,
  invalid: () => E
): Effect.Effect<Pull<E>, never, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) =>
    Effect.map(Stream.toPull(bytes), (received) => {
      const first: Pull<E> = Effect.flatMap(received, (chunks) => {
        const begin = Chunk.findFirst(chunks, ({ byteLength }) => byteLength > 0)
        if (Option.isNone(begin)) return first
        if (!isGzip(begin.value)) {
          next = received
          return Effect.succeed(chunks)
        }
        const all = Stream.concat(Stream.fromChunk(chunks), Stream.repeatEffectChunkOption(received))
        return Effect.flatMap(Scope.extend(Stream.toPull(gunzip(all, isSourceError, invalid)), scope), (decoded) => {
          next = decoded
          return decoded
        })
      })
      let next = first
      return Effect.suspend(() => next)
    }))
