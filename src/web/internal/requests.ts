/**
 * The parts of a request that the routes read: method, origin, query and form.
 *
 * @internal
 */
import * as Headers from "@effect/platform/Headers"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import type * as WebApp from "../WebApp.js"

type Request = HttpServerRequest.HttpServerRequest

const SAFE = new Set(["GET", "HEAD", "OPTIONS"])

/** Whether the request may change state. A WebSocket, which a GET opens, may. */
export const isChanging = ({ headers, method }: Request): boolean =>
  !SAFE.has(method) || headers["upgrade"]?.toLowerCase() === "websocket"

/**
 * Whether the request is a navigation in a window or, for an embedded app, in a frame. An image on another site must
 * not start launches, and a prefetch must not use up a code. Old browsers send no such headers: they are accepted.
 */
export const isNavigation = (app: WebApp.Service, { headers, method }: Request): boolean => {
  const mode = headers["sec-fetch-mode"]
  const destination = headers["sec-fetch-dest"]
  return method !== "HEAD" && headers["sec-purpose"] === undefined && headers["purpose"] === undefined &&
    (mode === undefined || mode === "navigate") &&
    (destination === undefined || destination === "document" || (app.isEmbedded && /^i?frame$/.test(destination)))
}

/**
 * The query of the request line. A router may have removed one of two slashes of an `iss`.
 */
export const queryOf = ({ url }: Request): URLSearchParams => {
  const mark = url.indexOf("?")
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1).replace(/#.*/s, ""))
}

/** The fields of a form; empty if it is too large or malformed. The limit applies while reading. */
export const formOf = (request: Request, maxBytes: number): Effect.Effect<URLSearchParams> =>
  !/^application\/x-www-form-urlencoded[ \t]*(?:;|$)/i.test(request.headers["content-type"] ?? "")
    ? Effect.succeed(new URLSearchParams())
    : Effect.suspend(() => {
      const body = new ByteBuffer()
      return request.stream.pipe(
        Stream.runForEachChunk((chunks) => {
          for (const chunk of chunks) {
            if (body.size + chunk.byteLength > maxBytes) return Effect.fail("TooLarge" as const)
            body.push(chunk)
          }
          return Effect.void
        }),
        Effect.map(() => new URLSearchParams(new TextDecoder().decode(body.take()))),
        Effect.orElseSucceed(() => new URLSearchParams())
      )
    })

const HIDDEN = ["url.full", "url.query", "http.request.header.referer"]

/**
 * Removes the URL, which may contain a code or a launch handle, from the span that the HTTP server makes for the
 * request. That is the nearest span of kind `server`; other spans of the app are not changed.
 */
export const hideAddresses: Effect.Effect<void> = Effect.withFiberRuntime(({ currentSpan }) => {
  for (let above = currentSpan; above?._tag === "Span"; above = Option.getOrUndefined(above.parent)) {
    const { attributes, kind } = above
    if (kind !== "server") continue
    for (const name of HIDDEN) if (attributes.has(name)) above.attribute(name, "<redacted>")
    break
  }
  return Effect.void
})

/**
 * The tracer records response headers after the handler has ended. A `Location` contains a state or an id_token, so
 * this layer makes the server redact it like a cookie.
 */
export const layerRedactedHeaders: Layer.Layer<never> = Layer.fiberRefLocallyScopedWith(
  Headers.currentRedactedNames,
  (names) => [...names, "location", "referer"]
)
