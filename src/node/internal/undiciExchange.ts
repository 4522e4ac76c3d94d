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

/** Unread bytes after which the connection is paused. */
const HIGH_WATER = 256 * 1024

/** Unread parts of a stream after which the connection is paused: a server may send each byte as a part. */
const MAX_UNREAD_PARTS = 64

/** The longest timer of Node: 24 days. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1

const error = (reason: TransportError.Reason, code: string, wasSent: boolean) =>
  new TransportError.TransportError({ reason, code, processed: wasSent ? "unknown" : "no" })

/** Exchanges whose response the program dropped without reading it. */
const collected = new FinalizationRegistry<Exchange>((exchange) => exchange.cancel())

export class Exchange implements Dispatcher.DispatchHandler {
  status = 0
  headers: IncomingHttpHeaders = {}
  failure: TransportError.TransportError | undefined
  /** The response is complete. */
  ended = false
  /** The body is read as a stream. */
  isStreamed = false
  /** How long a reader waits for the next part of a stream. */
  stallMillis: number | undefined

  private wasSent = false
  private hasResponse = false
  private controller: Dispatcher.DispatchController | undefined
  private decoder: Decoder.Decoder | undefined
  private readonly unread = new ByteBuffer()
  /** The unread parts of a stream, which are not joined: that would be another copy of the body. */
  private parts: Array<Buffer> = []
  private partsSize = 0
  private received = 0
  private decoded = 0
  private isPaused = false
  /** The decoder accepts no more input. */
  private isBlocked = false
  private hasConnectionEnded = false
  private buffersWhole = false
  private timer: NodeJS.Timeout | undefined
  private stallTimer: NodeJS.Timeout | undefined
  private isRegistered = false
  private isWaking = false
  private readonly waiting = new Set<() => void>()

  constructor(
    private readonly head: boolean,
    private maxBytes: number,
    /** Called once: when the response begins or has failed. */
    private onResponse: (() => void) | undefined
  ) {}

  /** No limit for 0 and for a duration that a timer cannot hold. */
  startTimer(millis: number): void {
    if (millis <= 0 || millis > MAX_TIMER_MILLIS) return
    // Effect.timeout for every request costs several times as much, and undici uses the same clock.
    // @effect-diagnostics-next-line globalTimers:off
    this.timer = Timers.setTimeout(() => this.close(error("TotalTimeout", "ERR_TOTAL_TIMEOUT", this.wasSent)), millis)
    this.timer.unref()
  }

  // What undici reports

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.failure !== undefined) return controller.abort(this.failure)
    this.controller = controller
    this.wasSent = true
    ConnectionEnd.watch(this)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Interim responses are ignored.
    if (status < 200 || this.failure !== undefined) return
    this.controller = controller
    this.status = status
    this.headers = headers
    this.hasResponse = true
    const empty = this.head || status === 204 || status === 304
    const coding = empty ? undefined : Decoder.codingOf(headers["content-encoding"])
    if (coding !== undefined) {
      const { "content-encoding": _coding, "content-length": _length, ...rest } = headers
      this.headers = rest
      this.decoder = Decoder.make(coding, this)
    }
    this.notify()
    // Content-Length here is that of another response: no body follows (RFC 9110, section 8.6).
    if (empty) this.end()
    else if (coding === undefined) {
      const declared = Number(headers["content-length"])
      if (declared > this.maxBytes) this.tooLarge()
      else this.unread.expect(declared)
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.failure !== undefined || this.ended) return
    this.received += chunk.byteLength
    if (this.received > this.maxBytes) return this.tooLarge()
    if (this.decoder === undefined) return this.accept(chunk)
    if (!this.decoder.write(chunk)) {
      this.isBlocked = true
      this.pauseConnection()
    }
  }

  onResponseEnd(): void {
    // It refers to the request of undici, which has no more use for it.
    this.controller = undefined
    if (this.decoder === undefined) this.end()
    else this.decoder.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.fail(TransportError.from(cause, this.wasSent))
  }

  /** undici must not be paused when it handles the end. Its remaining bytes are limited by the buffer of the socket. */
  connectionEnded(): void {
    this.hasConnectionEnded = true
    if (this.isPaused || this.isBlocked) this.controller?.resume()
  }

  // What the decoder reports

  accept(chunk: Buffer): void {
    if (this.failure !== undefined) return
    this.decoded += chunk.byteLength
    if (this.decoded > this.maxBytes) return this.tooLarge()
    if (this.isStreamed) {
      this.parts.push(chunk)
      this.partsSize += chunk.byteLength
    } else this.unread.push(chunk)
    const isFull = this.unread.size + this.partsSize > HIGH_WATER || this.parts.length >= MAX_UNREAD_PARTS
    if (isFull && !this.buffersWhole && !this.isPaused) {
      this.isPaused = true
      this.decoder?.pause()
      this.pauseConnection()
    }
    if (this.isStreamed) this.wakeSoon()
  }

  drained(): void {
    this.isBlocked = false
    if (!this.isPaused && this.failure === undefined) this.controller?.resume()
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

  /** Calls back at the end, at a failure and, for a stream, at a chunk. */
  wait(callback: () => void): () => void {
    this.waiting.add(callback)
    this.startStallTimer()
    return () => {
      this.waiting.delete(callback)
      // The last reader was interrupted.
      if (this.waiting.size === 0) this.cancel()
    }
  }

  /** Bytes of the body so far, after decompression. */
  get size(): number {
    return this.decoded
  }

  /** Whether the whole body is buffered. */
  get isBuffered(): boolean {
    return this.buffersWhole
  }

  /** Buffers the whole body. */
  readAll(): void {
    this.buffersWhole = true
    this.resume()
  }

  /** Closes the connection when the response is garbage-collected before its end. */
  closeWhenCollected(response: object): void {
    if (this.ended || this.failure !== undefined) return
    this.isRegistered = true
    collected.register(response, this, this)
  }

  /** A stricter limit than that of the request. */
  limit(maxBytes: number): void {
    if (maxBytes >= this.maxBytes) return
    this.maxBytes = maxBytes
    if (this.decoded <= maxBytes) return
    // Even if the body is complete.
    this.ended = false
    this.tooLarge()
  }

  /** The whole body. Call it after the end. */
  readBuffered(): Buffer {
    const all = this.takeUnread()
    this.unread.push(all)
    return all
  }

  /** The parts since the last call, for a stream. Resumes the connection. */
  readParts(): Array<Buffer> {
    const parts = this.unread.size === 0 ? this.parts : [this.takeUnread(), ...this.parts]
    this.parts = []
    this.partsSize = 0
    if (!this.ended) this.resume()
    return parts
  }

  /** Cancels the request and closes its connection, unless it is complete. */
  cancel(): void {
    // Most are complete, and creating an error is slow.
    if (this.ended || this.failure !== undefined) return
    this.close(error("Closed", "UND_ERR_ABORTED", this.wasSent))
  }

  /** The dispatcher did not accept the request. */
  failToSend(cause: unknown): void {
    this.fail(TransportError.from(cause, this.wasSent))
  }

  /** One timer for all waits, because a new one for each part costs as much as reading the part. */
  private startStallTimer(): void {
    const millis = this.stallMillis
    if (millis === undefined || millis > MAX_TIMER_MILLIS) return
    if (this.stallTimer !== undefined) return void this.stallTimer.refresh()
    // @effect-diagnostics-next-line globalTimers:off
    this.stallTimer = Timers.setTimeout(() => {
      if (this.waiting.size > 0) this.close(error("BodyTimeout", "UND_ERR_BODY_TIMEOUT", true))
    }, millis)
    this.stallTimer.unref()
  }

  private takeUnread(): Buffer {
    const { buffer, byteLength, byteOffset } = this.unread.take()
    return Buffer.from(buffer, byteOffset, byteLength)
  }

  private close(failure: TransportError.TransportError): void {
    if (this.failure !== undefined || this.ended) return
    this.fail(failure)
    this.controller?.abort(failure)
  }

  private pauseConnection(): void {
    if (!this.hasConnectionEnded) this.controller?.pause()
  }

  private tooLarge(): void {
    this.close(error("BodyTooLarge", "UND_ERR_RES_EXCEEDED_MAX_SIZE", true))
  }

  private fail(failure: TransportError.TransportError): void {
    if (this.failure !== undefined || this.ended) return
    this.failure = failure
    this.unread.take()
    this.parts = []
    this.decoder?.destroy()
    this.settle()
    if (!this.hasResponse) this.notify()
  }

  /** Drops the callback: it refers to the response, which otherwise could not be garbage-collected. */
  private notify(): void {
    const callback = this.onResponse
    this.onResponse = undefined
    callback?.()
  }

  private settle(): void {
    Timers.clearTimeout(this.timer)
    Timers.clearTimeout(this.stallTimer)
    if (this.isRegistered) collected.unregister(this)
    this.wake()
  }

  private resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.decoder?.resume()
    if (!this.isBlocked) this.controller?.resume()
  }

  /** A waiting reader gets all parts that have arrived by then: to run a fiber for each costs more than a part. */
  private wakeSoon(): void {
    if (this.isWaking || this.waiting.size === 0) return
    this.isWaking = true
    Timers.setImmediate(() => {
      this.isWaking = false
      this.wake()
    })
  }

  private wake(): void {
    if (this.waiting.size === 0) return
    const callbacks = [...this.waiting]
    this.waiting.clear()
    for (const callback of callbacks) callback()
  }
}
