/**
 * An `HttpClientResponse` over an exchange with undici. The body is read once, by the first reader, and stored if it
 * is complete.
 *
 * @internal
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { asyncOnce } from "../../base/AsyncOnce.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import { TransportError } from "../TransportError.js"
import type { Exchange } from "./undiciExchange.js"

const BYTE_ORDER_MARK = 0xfeff

const decode = (bytes: Buffer): string => {
  const text = bytes.toString("utf8")
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
}

export class Response extends Inspectable.Class implements OutgoingRequest.FastResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly [OutgoingRequest.TypeId]: typeof OutgoingRequest.TypeId = OutgoingRequest.TypeId
  readonly #exchange: Exchange
  #headers: Headers.Headers | undefined
  #cookies: Cookies.Cookies | undefined
  #text: string | undefined

  constructor(readonly request: HttpClientRequest.HttpClientRequest, exchange: Exchange) {
    super()
    this.#exchange = exchange
  }

  get status(): number {
    return this.#exchange.status
  }

  get headers(): Headers.Headers {
    return this.#headers ??= Headers.fromInput(this.#exchange.headers)
  }

  get cookies(): Cookies.Cookies {
    return this.#cookies ??= Cookies.fromSetCookie(this.#exchange.headers["set-cookie"] ?? [])
  }

  get remoteAddress(): Option.Option<string> {
    return Option.none()
  }

  get text(): Effect.Effect<string, HttpClientError.ResponseError> {
    return Effect.map(this.#bytes, (bytes) => this.#text ??= decode(bytes))
  }

  get discard(): Effect.Effect<void> {
    return Effect.sync(() => this.#exchange.cancel())
  }

  bufferedBody(maxBytes: number): string | undefined {
    const exchange = this.#exchange
    return exchange.ended && !exchange.isStreamed && exchange.size <= maxBytes
      ? this.#text ??= decode(exchange.readBuffered())
      : undefined
  }

  textUpTo(maxBytes: number): Effect.Effect<string, HttpClientError.ResponseError> {
    return Effect.suspend(() => {
      this.#exchange.limit(maxBytes)
      return this.text
    })
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: (): unknown => text === "" ? null : JSON.parse(text),
        // The parser's own error quotes the text.
        catch: () => this.#failed(undefined, "it is not JSON")
      }))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.ResponseError> {
    // A copy: Node may share the memory of a buffer with other responses.
    return Effect.map(this.#bytes, (bytes) => new Uint8Array(bytes).buffer)
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.flatMap(this.#bytes, (bytes) =>
      Effect.tryPromise({
        try: () =>
          new globalThis.Response(new Uint8Array(bytes), {
            headers: { "content-type": this.headers["content-type"] ?? "" }
          }).formData(),
        catch: () => this.#failed(undefined, "the body is not a form")
      }))
  }

  get stream(): Stream.Stream<Uint8Array, HttpClientError.ResponseError> {
    return this.streamWithin(undefined)
  }

  streamWithin(stallMillis: number | undefined): Stream.Stream<Uint8Array, HttpClientError.ResponseError> {
    return Stream.fromPull(Effect.suspend(() => {
      const exchange = this.#exchange
      if (exchange.isStreamed) return Effect.succeed(Effect.fail(Option.some(this.#used)))
      // A buffered body can be read several times.
      if (exchange.isBuffered) {
        return Effect.sync(() => {
          let isRead = false
          return Effect.suspend(() => {
            if (isRead) return Effect.fail(Option.none())
            isRead = true
            return Effect.mapBoth(this.#bytes, {
              onFailure: Option.some,
              onSuccess: (bytes) => bytes.byteLength === 0 ? Chunk.empty<Uint8Array>() : Chunk.of<Uint8Array>(bytes)
            })
          })
        })
      }
      exchange.isStreamed = true
      exchange.stallMillis = stallMillis
      const pull: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<HttpClientError.ResponseError>> = Effect
        .suspend(() => {
          if (exchange.failure !== undefined) return Effect.fail(Option.some(this.#failed(exchange.failure)))
          const parts = exchange.readParts()
          if (parts.length > 0) return Effect.succeed(Chunk.unsafeFromArray<Uint8Array>(parts))
          if (exchange.failure === undefined && exchange.ended) return Effect.fail(Option.none())
          return this.#waitFor(pull)
        })
      return Effect.acquireRelease(Effect.succeed(pull), () => Effect.sync(() => exchange.cancel()))
    }))
  }

  /** Without the body, so that a logged response contains no token. */
  toJSON(): unknown {
    return {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status,
      headers: Inspectable.redact(this.headers),
      remoteAddress: this.remoteAddress.toJSON()
    }
  }

  get #bytes(): Effect.Effect<Buffer, HttpClientError.ResponseError> {
    return Effect.suspend(() => {
      const exchange = this.#exchange
      if (exchange.isStreamed) return Effect.fail(this.#used)
      if (exchange.failure !== undefined) return Effect.fail(this.#failed(exchange.failure))
      exchange.readAll()
      return exchange.ended ? Effect.succeed(exchange.readBuffered()) : this.#waitFor(this.#bytes)
    })
  }

  /** Waits for a change of the exchange, then runs `next`. */
  #waitFor<A, E>(next: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return asyncOnce<A, E>((resume) => {
      const stopWaiting = this.#exchange.wait(() => resume(() => next))
      return Effect.sync(stopWaiting)
    })
  }

  get #used(): HttpClientError.ResponseError {
    return this.#failed(new TransportError({ reason: "BodyUsed", code: "ERR_BODY_USED", processed: "unknown" }))
  }

  #failed(cause: TransportError | undefined, description?: string): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({
      request: this.request,
      response: this,
      reason: "Decode",
      ...(cause === undefined ? {} : { cause }),
      ...(description === undefined ? {} : { description })
    })
  }
}
