/**
 * Undoes gzip (RFC 1952) for transports that leave it to their callers.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** The first two bytes of gzip, which no NDJSON begins with. */
const isGzip = ([first, second]: Uint8Array): boolean => first === 0x1f && second === 0x8b

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

/** The bytes without compression. A transport that undoes gzip itself may keep the `Content-Encoding` header. */
export const gunzipIfCompressed = <E extends Error>(
  bytes: Stream.Stream<Uint8Array, E>,
  isSourceError: (error: unknown) => error is E,
  invalid: () => E
): Stream.Stream<Uint8Array, E> =>
  Stream.unwrapScoped(Effect.map(
    Stream.toPull(Stream.filter(bytes, ({ byteLength }) => byteLength > 0)),
    (pull) =>
      Stream.unwrap(Effect.match(pull, {
        onFailure: Option.match({ onNone: () => Stream.empty, onSome: (error: E) => Stream.fail(error) }),
        onSuccess: (first) => {
          const all = Stream.concat(Stream.fromChunk(first), Stream.fromPull(Effect.succeed(pull)))
          const [bytes] = first
          return bytes !== undefined && isGzip(bytes) ? gunzip(all, isSourceError, invalid) : all
        }
      }))
  ))
