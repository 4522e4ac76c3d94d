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

/** A socket is opened by a GET, and anything may follow. */
export const isChanging = ({ headers, method }: Request): boolean =>
  !SAFE.has(method) || headers["upgrade"]?.toLowerCase() === "websocket"

/**
 * Whether a person goes there, in a window or, where the app may be framed, in a frame. An image of another site's page that has the launch for its
 * address would only fill the browser with cookies, and a prefetch would spend a code. Old browsers say nothing, and are believed.
 */
export const isNavigation = (app: WebApp.Service, { headers, method }: Request): boolean => {
  const mode = headers["sec-fetch-mode"]
  const destination = headers["sec-fetch-dest"]
  return method !== "HEAD" && headers["sec-purpose"] === undefined && headers["purpose"] === undefined &&
    (mode === undefined || mode === "navigate") &&
    (destination === undefined || destination === "document" || (app.isEmbedded && /^i?frame$/.test(destination)))
}

/**
 * The query as it stands in the request line: what a router has parsed may have lost one of two slashes of an `iss`.
 */
export const queryOf = ({ url }: Request): URLSearchParams => {
  const mark = url.indexOf("?")
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1).replace(/#.*$/s, ""))
}

/** The fields of a posted form; none where it is too large, or cannot be read. The limit is kept while reading, whoever serves the app. */
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
 * The platform's tracer writes a request's URL, and in it a code or a launch handle, into the span that it makes for the request. That span is the
 * nearest one of kind `server`; spans of the app above it outlive the request, and are left alone.
 */
export const hideAddresses: Effect.Effect<void> = Effect.map(Effect.option(Effect.currentParentSpan), (parent) => {
  for (let above = parent; Option.isSome(above) && above.value._tag === "Span"; above = above.value.parent) {
    const { attributes, kind } = above.value
    if (kind !== "server") continue
    for (const name of HIDDEN) if (attributes.has(name)) above.value.attribute(name, "<redacted>")
    return
  }
})

/**
 * The tracer writes the headers of the answer after the handler has ended. A `Location` holds a state or an id_token, so the server that is built with
 * this layer redacts it like a cookie.
 */
export const layerRedactedHeaders: Layer.Layer<never> = Layer.fiberRefLocallyScopedWith(
  Headers.currentRedactedNames,
  (names) => [...names, "location", "referer"]
)
