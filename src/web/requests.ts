import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as WebApp from "./WebApp.js"

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
    : request.stream.pipe(
      Stream.runFoldEffect(
        { chunks: [] as ReadonlyArray<Uint8Array>, bytes: 0 },
        ({ bytes, chunks }, chunk) =>
          bytes + chunk.byteLength > maxBytes
            ? Effect.fail("TooLarge" as const)
            : Effect.succeed({ chunks: [...chunks, chunk], bytes: bytes + chunk.byteLength })
      ),
      Effect.map(({ chunks }) => {
        const decoder = new TextDecoder()
        return new URLSearchParams(
          chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode()
        )
      }),
      Effect.orElseSucceed(() => new URLSearchParams())
    )

const HIDDEN = new Set(["url.full", "url.query", "http.response.header.location", "http.request.header.referer"])

/**
 * The server's span of a request has its URL, and in it a code or a launch handle; and it will have where the answer leads, with a state or an id_token. It
 * is the server's, made before and closed after this: so it is taught to keep that to itself.
 */
export const hideAddresses: Effect.Effect<void> = Effect.map(Effect.option(Effect.currentParentSpan), (parent) => {
  // Spans of the app's own may stand between.
  for (let above = parent; Option.isSome(above) && above.value._tag === "Span"; above = above.value.parent) {
    const span = above.value
    const attribute = span.attribute.bind(span)
    span.attribute = (name, value) => attribute(name, HIDDEN.has(name) ? "<redacted>" : value)
    for (const name of HIDDEN) if (span.attributes.has(name)) span.attribute(name, "<redacted>")
  }
})
