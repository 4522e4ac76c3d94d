/**
 * The sandbox as an `HttpClient`: no port, no socket, and everything in the caller's fiber, so that `TestClock` drives it and an interruption
 * reaches it.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Dropped } from "./faults.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"

/** What a socket error looks like to who looks at the cause. */
const transportError = (request: HttpClientRequest.HttpClientRequest, code: string, message: string) =>
  new HttpClientError.RequestError({
    request,
    reason: "Transport",
    cause: Object.assign(new Error(message), { code })
  })

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<BodyInit | undefined, HttpClientError.RequestError> => {
  const { body } = request
  switch (body._tag) {
    case "Empty":
      return Effect.succeed(undefined)
    case "Uint8Array":
      return Effect.succeed(new Uint8Array(body.body))
    case "FormData":
      return Effect.succeed(body.formData)
    case "Stream":
      return Stream.runFold(body.stream, new Blob([]), (blob, chunk) => new Blob([blob, new Uint8Array(chunk)])).pipe(
        Effect.mapError((cause) => new HttpClientError.RequestError({ request, reason: "Encode", cause }))
      )
    case "Raw":
      return typeof body.body === "string" || body.body instanceof Blob || body.body instanceof URLSearchParams ||
          body.body instanceof ReadableStream
        ? Effect.succeed(body.body)
        : new HttpClientError.RequestError({
          request,
          reason: "Encode",
          description: "a raw body the sandbox cannot read"
        })
  }
}

const webRequest = (
  request: HttpClientRequest.HttpClientRequest,
  url: URL
): Effect.Effect<Request, HttpClientError.RequestError> =>
  Effect.flatMap(bodyOf(request), (body) =>
    Effect.try({
      try: () => {
        const headers = new Headers(request.headers)
        // Set by the transport; a fragment never leaves.
        headers.delete("content-length")
        return new Request(url, {
          method: request.method,
          headers,
          redirect: "manual",
          ...(body === undefined ? {} : { body, duplex: "half" })
        })
      },
      catch: (cause) => new HttpClientError.RequestError({ request, reason: "Encode", cause })
    }))

/** A client for which the sandbox is the whole internet: any other origin cannot be resolved. */
export const make = (
  origin: string,
  handle: (request: SandboxRequest) => Effect.Effect<Reply, Dropped>
): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function*() {
      if (url.origin !== origin) {
        return yield* transportError(request, "ENOTFOUND", `getaddrinfo ENOTFOUND ${url.hostname}`)
      }
      const serverRequest = HttpServerRequest.fromWeb(yield* webRequest(request, url))
      const reply = yield* Message.fromServerRequest.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, serverRequest),
        Effect.flatMap(handle),
        Effect.catchTag("Dropped", () => transportError(request, "ECONNRESET", "read ECONNRESET"))
      )
      const runtime = yield* Effect.runtime<never>()
      return HttpClientResponse.fromWeb(
        request,
        HttpServerResponse.toWeb(Message.toServerResponse(reply), {
          withoutBody: request.method === "HEAD",
          runtime
        })
      )
    })
  )
