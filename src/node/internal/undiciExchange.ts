/**
 * One request and its response as undici reports them, event by event: counts and buffers the body, pauses the
 * connection, and cancels. It uses callbacks instead of effects, because it runs for every chunk.
 *
 * @internal
 */
import type { IncomingHttpHeaders } from "node:http"
import * as Timers from "node:timers"
import type { Dispatcher } from "undici"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import * as TransportError from "../TransportError.js"
import * as ConnectionEnd from "./connectionEnd.js"
import * as Decoder from "./decoder.js"

/** What may lie unread before the connection is paused. */
const HIGH_WATER = 64 * 1024

/** What a timer of Node can hold: 24 days. */
const LONGEST = 2 ** 31 - 1

const error = (reason: TransportError.Reason, code: string, left: boolean) =>
  new TransportError.TransportError({ reason, code, processed: left ? "unknown" : "no" })

const forgotten = new FinalizationRegistry<Exchange>((exchange) => exchange.abandon())

export class Exchange implements Dispatcher.DispatchHandler {
  status = 0
  headers: IncomingHttpHeaders = {}
  failure: TransportError.TransportError | undefined
  /** The answer has come to its end. */
  ended = false
  /** A stream has the body. */
  taken = false

  private left = false
  private answered = false
  private controller: Dispatcher.DispatchController | undefined
  private decoder: Decoder.Decoder | undefined
  private readonly unread = new ByteBuffer()
  private received = 0
  private decoded = 0
  private paused = false
  private blocked = false
  private connectionOver = false
  private greedy = false
  private timer: NodeJS.Timeout | undefined
  private remembered = false
  private readonly waiting = new Set<() => void>()

  constructor(
    private readonly head: boolean,
    private maxBytes: number,
    /** Called once: when the response begins or has failed. */
    private onAnswer: (() => void) | undefined
  ) {}

  /** No limit for 0 and for a duration that a timer cannot hold. */
  startTimer(millis: number): void {
    if (millis <= 0 || millis > LONGEST) return
    // Effect.timeout on every request costs several times as much, and the rest of the clock here is undici's.
    // @effect-diagnostics-next-line globalTimers:off
    this.timer = Timers.setTimeout(() => this.close(error("TotalTimeout", "ERR_TOTAL_TIMEOUT", this.left)), millis)
    this.timer.unref()
  }

  // What undici reports

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.failure !== undefined) return controller.abort(this.failure)
    this.controller = controller
    this.left = true
    ConnectionEnd.watch(this)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Interim answers say nothing that is wanted here.
    if (status < 200 || this.failure !== undefined) return
    this.controller = controller
    this.status = status
    this.headers = headers
    this.answered = true
    const empty = this.head || status === 204 || status === 304
    const coding = empty ? undefined : Decoder.codingOf(headers["content-encoding"])
    if (coding !== undefined) {
      const { "content-encoding": _coding, "content-length": _length, ...rest } = headers
      this.headers = rest
      this.decoder = Decoder.make(coding, this)
    }
    this.answer()
    // Content-Length here is that of another response: no body follows (RFC 9110, section 8.6).
    if (empty) this.end()
    else if (coding === undefined && Number(headers["content-length"]) > this.maxBytes) this.tooLarge()
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.failure !== undefined || this.ended) return
    this.received += chunk.byteLength
    if (this.received > this.maxBytes) return this.tooLarge()
    if (this.decoder === undefined) return this.accept(chunk)
    if (!this.decoder.write(chunk)) {
      this.blocked = true
      this.pauseConnection()
    }
  }

  onResponseEnd(): void {
    if (this.decoder === undefined) this.end()
    else this.decoder.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.fail(TransportError.from(cause, this.left))
  }

  /** undici must not be paused when it handles the end. What it still has is bounded by the buffer of the socket. */
  connectionEnded(): void {
    this.connectionOver = true
    if (this.paused || this.blocked) this.controller?.resume()
  }

  // What the decoder reports

  accept(chunk: Buffer): void {
    if (this.failure !== undefined) return
    this.decoded += chunk.byteLength
    if (this.decoded > this.maxBytes) return this.tooLarge()
    this.unread.push(chunk)
    if (!this.greedy && this.unread.size > HIGH_WATER && !this.paused) {
      this.paused = true
      this.decoder?.pause()
      this.pauseConnection()
    }
    if (this.taken) this.wake()
  }

  drained(): void {
    this.blocked = false
    if (!this.paused && this.failure === undefined) this.controller?.resume()
  }

  end(): void {
    if (this.failure !== undefined || this.ended) return
    this.ended = true
    this.settle()
  }

  malformed(cause: Error): void {
    this.close(TransportError.from(cause, true))
  }

  // What readers do

  /** Calls back when there is something new to be seen: the end, a failure, or, for a stream, a chunk. */
  wait(callback: () => void): () => void {
    this.waiting.add(callback)
    return () => {
      this.waiting.delete(callback)
      // No reader is left.
      if (this.waiting.size === 0) this.abandon()
    }
  }

  /** Bytes of the body that have come, after decompression. */
  get size(): number {
    return this.decoded
  }

  /** Whether the body is, or will be, kept whole. */
  get kept(): boolean {
    return this.greedy
  }

  /** Everything is wanted at once. */
  readAll(): void {
    this.greedy = true
    this.resume()
  }

  /** Closes the connection when the response is garbage-collected before its end. */
  remember(response: object): void {
    if (this.ended || this.failure !== undefined) return
    this.remembered = true
    forgotten.register(response, this, this)
  }

  /** A stricter limit than that of the request. */
  limit(maxBytes: number): void {
    if (maxBytes >= this.maxBytes) return
    this.maxBytes = maxBytes
    if (this.decoded <= maxBytes) return
    // Even if it has all come meanwhile.
    this.ended = false
    this.tooLarge()
  }

  /** All that came, as one; to be asked for after the end. */
  whole(): Buffer {
    const all = this.taking()
    this.unread.push(all)
    return all
  }

  /** What came since, for a stream; the connection goes on. */
  next(): Buffer {
    const bytes = this.taking()
    if (!this.ended) this.resume()
    return bytes
  }

  /** Gives the request up, unless it is over; the connection is closed. */
  abandon(): void {
    // Most were read to their end, and an error takes its stack with it.
    if (this.ended || this.failure !== undefined) return
    this.close(error("Closed", "UND_ERR_ABORTED", this.left))
  }

  /** What the dispatcher would not take. */
  refuse(cause: unknown): void {
    this.fail(TransportError.from(cause, this.left))
  }

  private taking(): Buffer {
    const { buffer, byteLength, byteOffset } = this.unread.take()
    return Buffer.from(buffer, byteOffset, byteLength)
  }

  private close(failure: TransportError.TransportError): void {
    if (this.failure !== undefined || this.ended) return
    this.fail(failure)
    this.controller?.abort(failure)
  }

  private pauseConnection(): void {
    if (!this.connectionOver) this.controller?.pause()
  }

  private tooLarge(): void {
    this.close(error("BodyTooLarge", "UND_ERR_RES_EXCEEDED_MAX_SIZE", true))
  }

  private fail(failure: TransportError.TransportError): void {
    if (this.failure !== undefined || this.ended) return
    this.failure = failure
    this.unread.take()
    this.decoder?.destroy()
    this.settle()
    if (!this.answered) this.answer()
  }

  /** Drops the callback: it refers to the response, which otherwise could not be garbage-collected. */
  private answer(): void {
    const tell = this.onAnswer
    this.onAnswer = undefined
    tell?.()
  }

  private settle(): void {
    if (this.timer !== undefined) Timers.clearTimeout(this.timer)
    if (this.remembered) forgotten.unregister(this)
    this.wake()
  }

  private resume(): void {
    if (!this.paused) return
    this.paused = false
    this.decoder?.resume()
    if (!this.blocked) this.controller?.resume()
  }

  private wake(): void {
    if (this.waiting.size === 0) return
    const callbacks = [...this.waiting]
    this.waiting.clear()
    for (const callback of callbacks) callback()
  }
}
