/**
 * An `HttpClient` directly over a dispatcher of undici: without abort controller, span and promise unless a caller
 * needs them.
 *
 * @internal
 */
import { Readable } from "node:stream"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Dispatcher } from "undici"
import { asyncOnce } from "../../base/AsyncOnce.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import { scopedRequests } from "../../http/ScopedRequests.js"
import type * as TransportError from "../TransportError.js"
import * as Decoder from "./decoder.js"
import { Response } from "./response.js"
import { Exchange } from "./undiciExchange.js"

export interface Settings {
  readonly headersTimeout: number
  readonly bodyTimeout: number
  /** 0: none. */
  readonly totalTimeout: number
  readonly maxResponseBytes: number
  readonly decompress: boolean
  readonly tracing: boolean
}

const failed = (
  request: HttpClientRequest.HttpClientRequest,
  reason: HttpClientError.RequestError["reason"],
  cause?: TransportError.TransportError,
  description?: string
) =>
  new HttpClientError.RequestError({
    request,
    reason,
    ...(cause === undefined ? {} : { cause }),
    ...(description === undefined ? {} : { description })
  })

type Body = Exclude<Dispatcher.DispatchOptions["body"], undefined>

interface Sendable {
  readonly body: Body
  readonly contentType?: string | undefined
}

const NO_BODY: Sendable = { body: null }

/** A body that needs no preparation, if the request has one. */
const plain = ({ body }: HttpClientRequest.HttpClientRequest): Sendable | undefined => {
  switch (body._tag) {
    case "Empty":
      return NO_BODY
    case "Uint8Array":
      return { body: body.body }
    case "Raw":
      // undici checks the type of the body before it sends.
      return { body: body.body as Body }
    case "FormData":
    case "Stream":
      return undefined
  }
}

/** Encodes a form, or reads a stream. */
const prepared = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Sendable, HttpClientError.RequestError> => {
  const { body } = request
  if (body._tag === "FormData") {
    const encoded = new globalThis.Response(body.formData)
    return Effect.map(
      Effect.tryPromise({
        try: () => encoded.arrayBuffer(),
        catch: () => failed(request, "Encode", undefined, "the form cannot be read")
      }),
      (bytes) => ({ body: new Uint8Array(bytes), contentType: encoded.headers.get("content-type") ?? undefined })
    )
  }
  if (body._tag === "Stream") {
    return Effect.map(Effect.runtime<never>(), (runtime) => ({
      body: Readable.from(Stream.toAsyncIterableRuntime(body.stream, runtime), {
        objectMode: false
      })
    }))
  }
  return Effect.succeed(NO_BODY)
}

const dispatch = (
  dispatcher: Dispatcher,
  settings: Settings,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  sendable: Sendable,
  maxBytes: number,
  timeoutMillis: number,
  signal: AbortSignal | undefined
): Effect.Effect<Response, HttpClientError.RequestError> =>
  asyncOnce((resume) => {
    const exchange: Exchange = new Exchange(request.method === "HEAD", maxBytes, () => {
      const { failure } = exchange
      if (failure !== undefined) return resume(() => failed(request, "Transport", failure))
      const response = new Response(request, exchange)
      resume(() => {
        // A short response is complete by the time this runs, and needs no cleanup.
        exchange.closeWhenCollected(response)
        return Effect.succeed(response)
      })
    })
    exchange.startTimer(timeoutMillis)
    const headers: Record<string, string> = settings.decompress
      ? { "accept-encoding": Decoder.ACCEPTED, ...request.headers }
      : { ...request.headers }
    if (sendable.contentType !== undefined) headers["content-type"] ??= sendable.contentType
    try {
      dispatcher.dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: request.method,
          headers,
          body: sendable.body,
          headersTimeout: settings.headersTimeout,
          bodyTimeout: settings.bodyTimeout
        },
        exchange
      )
    } catch (cause) {
      exchange.failToSend(cause)
    }
    if (signal !== undefined) {
      if (signal.aborted) exchange.cancel()
      else signal.addEventListener("abort", () => exchange.cancel(), { once: true })
    }
    return Effect.sync(() => {
      exchange.cancel()
      if (sendable.body instanceof Readable) sendable.body.destroy()
    })
  })

const send = (
  dispatcher: Dispatcher,
  settings: Settings,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  timeoutMillis: number,
  signal: AbortSignal | undefined
): Effect.Effect<Response, HttpClientError.RequestError> => {
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return failed(request, "InvalidUrl", undefined, "neither https nor http")
  }
  const maxBodySize = Context.get(fiber.currentContext, HttpIncomingMessage.MaxBodySize)
  const maxBytes = Option.isSome(maxBodySize) ? Number(maxBodySize.value) : settings.maxResponseBytes
  const sendBody = (sendable: Sendable) =>
    dispatch(dispatcher, settings, request, url, sendable, maxBytes, timeoutMillis, signal)
  const body = plain(request)
  return body === undefined ? Effect.flatMap(prepared(request), sendBody) : sendBody(body)
}

/** The shorter of two time limits; 0 means no limit. */
const shorter = (one: number, other: number): number => one > 0 && other > 0 ? Math.min(one, other) : one + other

const withoutTracing = (dispatcher: Dispatcher, settings: Settings): HttpClient.HttpClient => {
  const client = HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
    Effect.flatMap((request) =>
      Effect.withFiberRuntime<Response, HttpClientError.RequestError>((fiber) => {
        const url = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
        if (url._tag === "Left") return failed(request, "InvalidUrl", undefined, "not a URL")
        const signal = scopedRequests.get(request)?.signal
        return send(dispatcher, settings, request, url.right, fiber, settings.totalTimeout, signal)
      })
    ),
    Effect.succeed
  )
  const fast: OutgoingRequest.FastTransport = {
    [OutgoingRequest.TypeId]: (request, url, timeoutMillis) =>
      Effect.withFiberRuntime((fiber) =>
        send(dispatcher, settings, request, url, fiber, shorter(settings.totalTimeout, timeoutMillis), undefined)
      )
  }
  return Object.assign(client, fast)
}

export const make = (dispatcher: Dispatcher, settings: Settings): HttpClient.HttpClient =>
  settings.tracing
    ? HttpClient.make((request, url, signal, fiber) =>
      send(dispatcher, settings, request, url, fiber, settings.totalTimeout, signal)
    )
    : withoutTracing(dispatcher, settings)
