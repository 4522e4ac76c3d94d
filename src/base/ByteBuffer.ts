/**
 * Bytes that arrive in chunks, in one buffer that doubles when it is full: the work and the memory follow the number of bytes, however small the
 * chunks are. A list of chunks would keep an object for each of them.
 */

const MIN_CAPACITY = 1024

/** @internal */
export class ByteBuffer {
  private buffer: Uint8Array | undefined
  private length = 0

  /** How many bytes it holds. */
  get size(): number {
    return this.length
  }

  /** A first chunk is kept as it is, without a copy, until a second one follows. */
  push(chunk: Uint8Array): void {
    const { buffer, length } = this
    const needed = length + chunk.byteLength
    if (buffer === undefined || length === 0) {
      this.buffer = chunk
    } else if (needed <= buffer.byteLength) {
      buffer.set(chunk, length)
    } else {
      const grown = new Uint8Array(Math.max(MIN_CAPACITY, needed, 2 * length))
      grown.set(buffer.subarray(0, length))
      grown.set(chunk, length)
      this.buffer = grown
    }
    this.length = needed
  }

  /** All bytes; from now on they are the caller's. */
  take(): Uint8Array {
    const bytes = this.buffer?.subarray(0, this.length) ?? new Uint8Array()
    this.buffer = undefined
    this.length = 0
    return bytes
  }
}
