/**
 * Collects chunks of bytes in one buffer that doubles when it is full: work and memory depend on the number of bytes,
 * not of chunks.
 */

const MIN_CAPACITY = 1024

/** A server may declare more than it sends. */
const MAX_EXPECTED = 1024 * 1024

/** @internal */
export class ByteBuffer {
  private buffer: Uint8Array | undefined
  private length = 0
  private expected = 0

  /** The number of bytes. */
  get size(): number {
    return this.length
  }

  /** How many bytes will follow, if all that is declared comes: up to 1 MiB are then allocated at once. */
  expect(bytes: number): void {
    this.expected = bytes <= MAX_EXPECTED ? bytes : 0
  }

  /** The first chunk is not copied until a second one follows. */
  push(chunk: Uint8Array): void {
    const { buffer, length } = this
    const needed = length + chunk.byteLength
    if (buffer === undefined || length === 0) {
      this.buffer = chunk
    } else if (needed <= buffer.byteLength) {
      buffer.set(chunk, length)
    } else {
      const grown = new Uint8Array(needed <= this.expected ? this.expected : Math.max(MIN_CAPACITY, needed, 2 * length))
      grown.set(buffer.subarray(0, length))
      grown.set(chunk, length)
      this.buffer = grown
    }
    this.length = needed
  }

  /** Removes and returns all bytes. */
  take(): Uint8Array {
    const bytes = this.buffer?.subarray(0, this.length) ?? new Uint8Array()
    this.buffer = undefined
    this.length = 0
    this.expected = 0
    return bytes
  }
}
