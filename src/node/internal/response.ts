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
import * as FastTransport from "../../http/FastTransport.js"
import { TransportError } from "../TransportError.js"
import type { Exchange } from "./undiciExchange.js"

const BYTE_ORDER_MARK = 0xfeff

const decode = (bytes: Buffer): string => {
  const text = bytes.toString("utf8")
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
}

export class Response extends Inspectable.Class implements FastTransport.FastResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly [FastTransport.TypeId]: typeof FastTransport.TypeId = FastTransport.TypeId
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
    return Effect.sync(() => this.#exchange.abandon())
  }

  bufferedBody(maxBytes: number): string | undefined {
    const exchange = this.#exchange
    return exchange.ended && !exchange.taken && exchange.size <= maxBytes
      ? this.#text ??= decode(exchange.whole())
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
        // Not the parser's own error: it quotes what it could not read.
        catch: () => this.#failed(undefined, "it is not JSON")
      }))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.ResponseError> {
    // A copy: what Node hands out may share its memory with other answers.
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
    return Stream.fromPull(Effect.suspend(() => {
      const exchange = this.#exchange
      if (exchange.taken) return Effect.succeed(Effect.fail(Option.some(this.#used)))
      // What has been read whole can be had again and again.
      if (exchange.kept) {
        return Effect.sync(() => {
          let over = false
          return Effect.suspend(() => {
            if (over) return Effect.fail(Option.none())
            over = true
            return Effect.mapBoth(this.#bytes, {
              onFailure: Option.some,
              onSuccess: (bytes) => bytes.byteLength === 0 ? Chunk.empty<Uint8Array>() : Chunk.of<Uint8Array>(bytes)
            })
          })
        })
      }
      exchange.taken = true
      const pull: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<HttpClientError.ResponseError>> = Effect
        .suspend(() => {
          if (exchange.failure !== undefined) return Effect.fail(Option.some(this.#failed(exchange.failure)))
          const bytes = exchange.next()
          if (bytes.byteLength > 0) return Effect.succeed(Chunk.of<Uint8Array>(bytes))
          if (exchange.failure === undefined && exchange.ended) return Effect.fail(Option.none())
          return this.#waited(pull)
        })
      return Effect.acquireRelease(Effect.succeed(pull), () => Effect.sync(() => exchange.abandon()))
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
      if (exchange.taken) return Effect.fail(this.#used)
      if (exchange.failure !== undefined) return Effect.fail(this.#failed(exchange.failure))
      exchange.readAll()
      return exchange.ended ? Effect.succeed(exchange.whole()) : this.#waited(this.#bytes)
    })
  }

  /** Waits for news, then does `next`. */
  #waited<A, E>(next: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.async<A, E>((resume) => {
      const forget = this.#exchange.wait(() => resume(next))
      return Effect.sync(forget)
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
