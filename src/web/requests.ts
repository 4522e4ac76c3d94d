import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as WebApp from "./WebApp.js"

/**
 * Whether a page of the app made the browser send this: by `Sec-Fetch-Site`, which no page can write, or by `Origin` where an old browser has only that.
 * A request with neither is not believed.
 */
export const isSameOrigin = (app: WebApp.Service, { headers }: HttpServerRequest.HttpServerRequest): boolean => {
  const site = headers["sec-fetch-site"]
  return site === undefined ? headers["origin"] === app.origin : site === "same-origin"
}

/**
 * The query as it stands in the request line: what a router has parsed may have lost one of two slashes of an `iss`.
 */
export const queryOf = ({ url }: HttpServerRequest.HttpServerRequest): URLSearchParams => {
  const mark = url.indexOf("?")
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1).replace(/#.*$/s, ""))
}

/** The server's span of a request has its URL, and in it a code or a launch handle. */
export const hideQuery: Effect.Effect<void> = Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
  if (Option.isNone(span) || span.value._tag !== "Span") return
  for (const name of ["url.full", "url.query"]) {
    if (span.value.attributes.has(name)) span.value.attribute(name, "<redacted>")
  }
})
