import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"

/** The query of the request line. */
export const queryOf = ({ url }: HttpServerRequest.HttpServerRequest): URLSearchParams => {
  const mark = url.indexOf("?")
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1))
}
