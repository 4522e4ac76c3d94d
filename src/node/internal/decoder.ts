/**
 * Decoding of one content coding while reading: gzip, deflate or br (RFC 9110, section 8.4.1). A body with several
 * codings is not decoded: their only use is to hide the size of the content.
 *
 * @internal
 */
import * as Zlib from "node:zlib"

export type Coding = "gzip" | "deflate" | "br"

/** The `Accept-Encoding` of a request. */
export const ACCEPTED = "gzip, deflate, br"

export interface Sink {
  readonly accept: (chunk: Buffer) => void
  /** More may be written. */
  readonly drained: () => void
  readonly end: () => void
  readonly malformed: (cause: Error) => void
}

export interface Decoder {
  /** False if the caller must wait for `drained`. */
  readonly write: (chunk: Buffer) => boolean
  readonly end: () => void
  readonly pause: () => void
  readonly resume: () => void
  readonly destroy: () => void
}

export const codingOf = (header: string | ReadonlyArray<string> | undefined): Coding | undefined => {
  if (typeof header !== "string") return undefined
  const name = header.trim().toLowerCase()
  switch (name) {
    case "gzip":
    case "x-gzip":
      return "gzip"
    case "deflate":
    case "br":
      return name
    default:
      return undefined
  }
}

/** Many servers send raw deflate instead of the zlib format. The first byte distinguishes them. */
const streamFor = (coding: Coding, first: number | undefined) => {
  switch (coding) {
    case "gzip":
      return Zlib.createGunzip()
    case "br":
      return Zlib.createBrotliDecompress()
    case "deflate":
      return ((first ?? 0) & 0x0f) === 0x08 ? Zlib.createInflate() : Zlib.createInflateRaw()
  }
}

export const make = (coding: Coding, sink: Sink): Decoder => {
  let stream: ReturnType<typeof streamFor> | undefined
  let paused = false
  return {
    write: (chunk) => {
      if (stream === undefined) {
        stream = streamFor(coding, chunk[0])
        stream.on("data", (decoded: Buffer) => sink.accept(decoded))
        stream.on("drain", () => sink.drained())
        stream.on("end", () => sink.end())
        stream.on("error", (cause) => sink.malformed(cause))
        if (paused) stream.pause()
      }
      return stream.write(chunk)
    },
    // An empty body has no coding, also if a header names one.
    end: () => {
      if (stream === undefined) sink.end()
      else stream.end()
    },
    pause: () => {
      paused = true
      stream?.pause()
    },
    resume: () => {
      paused = false
      stream?.resume()
    },
    destroy: () => {
      stream?.destroy()
    }
  }
}
