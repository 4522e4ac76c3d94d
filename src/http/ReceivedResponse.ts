/**
 * A response whose body was read, and the checks that every document of a server passes: status, JSON, JSON object (RFC
 * 9110, RFC 8259). They are pure, so that every shape of response can be tested without a server.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as HttpDate from "../base/HttpDate.js"
import * as HttpStatus from "../base/HttpStatus.js"
import { isJsonObject, type JsonObject, parseJson } from "../base/JsonReader.js"
import * as MediaType from "../base/MediaType.js"
import * as Url from "../base/Url.js"
import * as RetryAfter from "./RetryAfter.js"

export interface ReceivedResponse {
  /** The URL of the response, after redirects. */
  readonly url: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** The reason why a response does not have the document; `detail` has no part of the body. */
export interface DocumentProblem {
  readonly reason: "NotFound" | "Status" | "NotJson"
  readonly detail: string
}

export interface ObjectProblem {
  readonly reason: DocumentProblem["reason"] | "NotObject"
  readonly detail: string
}

/** The freshness lifetime that a response declares (RFC 9111, section 4.2.1, for a private cache). */
export const freshnessMillis = (
  headers: Readonly<Record<string, string | undefined>>,
  nowMillis: number
): number | undefined => {
  const directives = (headers["cache-control"] ?? "").toLowerCase().split(",").map((directive) => directive.trim())
  if (directives.includes("no-store") || directives.includes("no-cache")) return 0
  const maxAge = directives.map((directive) => /^max-age="?(\d+)"?$/.exec(directive)?.[1]).find((value) =>
    value !== undefined
  )
  if (maxAge !== undefined) {
    const age = Number(headers["age"] ?? 0)
    return Math.max(0, Number(maxAge) - (Number.isFinite(age) ? age : 0)) * 1000
  }
  const expires = headers["expires"]
  if (expires === undefined) return undefined
  // RFC 9111, section 5.3: an invalid date, "0" above all, means already expired.
  const at = HttpDate.parse(expires)
  return Number.isNaN(at) ? 0 : Math.max(0, at - nowMillis)
}

/** The fields of every error about a response. */
export const errorFields = ({ headers, status, url }: ReceivedResponse, nowMillis: number) => ({
  url: Url.forDisplay(url),
  status,
  retryAfter: RetryAfter.parse(headers["retry-after"], nowMillis)
})

/** The JSON value of a successful response. */
export const parseJsonValue = (response: ReceivedResponse): Either.Either<unknown, DocumentProblem> => {
  const { body, status } = response
  const detail = `HTTP status ${status}`
  if (status === 404 || status === 410) return Either.left({ reason: "NotFound", detail })
  if (!HttpStatus.isSuccess(status)) return Either.left({ reason: "Status", detail })
  const json = parseJson(body)
  return json === undefined
    ? Either.left({
      reason: "NotJson",
      detail: `${detail}, a body that is not JSON (${
        MediaType.of(response.headers)?.toLowerCase() ?? "no content type"
      })`
    })
    : Either.right(json.value)
}

/** The JSON object of a successful response. */
export const parseJsonObject = (response: ReceivedResponse): Either.Either<JsonObject, ObjectProblem> =>
  Either.flatMap(parseJsonValue(response), (value) =>
    isJsonObject(value)
      ? Either.right(value)
      : Either.left({
        reason: "NotObject" as const,
        detail: `HTTP status ${response.status}, a body that is ${Array.isArray(value) ? "an array" : typeof value}`
      }))
