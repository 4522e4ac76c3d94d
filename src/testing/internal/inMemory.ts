/**
 * The sandbox as an `HttpClient` without a port. It runs in the caller's fiber, so that `TestClock` and interruption
 * work.
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
import type { ConnectionReset } from "./faults.js"
import * as Http from "./http.js"
import type { Options } from "./sandbox.js"
import { defaultFhirBaseUrl, type Extension, type ExtensionContext, makeSandbox } from "./service.js"

/** An error whose cause looks like a Node socket error. */
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
        // The transport sets it.
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

/** A client that sends requests for `origin` to the sandbox; a request to another origin fails with `ENOTFOUND`. */
const makeClient = (
  origin: string,
  handle: (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse, ConnectionReset>
): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function*() {
      if (url.origin !== origin) {
        return yield* transportError(request, "ENOTFOUND", `getaddrinfo ENOTFOUND ${url.hostname}`)
      }
      const serverRequest = HttpServerRequest.fromWeb(yield* webRequest(request, url))
      const response = yield* Http.fromServerRequest.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, serverRequest),
        Effect.flatMap(handle),
        Effect.catchTag("ConnectionReset", () => transportError(request, "ECONNRESET", "read ECONNRESET"))
      )
      const runtime = yield* Effect.runtime<never>()
      return HttpClientResponse.fromWeb(
        request,
        HttpServerResponse.toWeb(Http.toServerResponse(response), {
          withoutBody: request.method === "HEAD",
          runtime
        })
      )
    })
  )

/** A sandbox and the client for it. */
export const sandbox = (options: Options, extend?: (context: ExtensionContext) => Extension) =>
  Effect.map(
    makeSandbox(options.fhirBaseUrl ?? defaultFhirBaseUrl, options, { autoApprove: false }, extend),
    ({ handle, service }) => ({ service, client: makeClient(new URL(service.fhirBaseUrl).origin, handle) })
  )
