/**
 * HTTP requests and responses as plain data, so that protocol steps, the request log and faults need no HTTP server.
 *
 * @since 0.1.0
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { invalidRequest, type OAuthError } from "./oAuthError.js"

/** Parameters in the order they were sent, duplicates included. */
export type Pairs = ReadonlyArray<readonly [name: string, value: string]>

/** A request as the sandbox received it. */
export interface SandboxRequest {
  readonly method: string
  /** Path and query as received. */
  readonly url: string
  readonly path: string
  readonly query: Pairs
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The body of a response. */
export type ResponseBody =
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Json"; readonly value: unknown; readonly contentType: string }
  | { readonly _tag: "Text"; readonly text: string; readonly contentType: string }
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array; readonly contentType: string }
  | { readonly _tag: "Filler"; readonly bytes: number }

/** A response. */
export interface SandboxResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ResponseBody
}

interface ResponseOptions {
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly contentType?: string | undefined
}

/** A response without a body. */
export const empty = (status: number, headers: Readonly<Record<string, string>> = {}): SandboxResponse => ({
  status,
  headers,
  body: { _tag: "Empty" }
})

/** A JSON response. */
export const json = (value: unknown, options: ResponseOptions = {}): SandboxResponse => ({
  status: options.status ?? 200,
  headers: options.headers ?? {},
  body: { _tag: "Json", value, contentType: options.contentType ?? "application/json" }
})

/** A response with a text body. */
export const text = (body: string, options: ResponseOptions = {}): SandboxResponse => ({
  status: options.status ?? 200,
  headers: options.headers ?? {},
  body: { _tag: "Text", text: body, contentType: options.contentType ?? "text/plain; charset=utf-8" }
})

/** A response with a binary body. */
export const binary = (bytes: Uint8Array, contentType: string): SandboxResponse => ({
  status: 200,
  headers: {},
  body: { _tag: "Bytes", bytes, contentType }
})

/** A redirect. */
export const redirect = (location: string, status = 302): SandboxResponse =>
  empty(status, { location, "cache-control": "no-store" })

/** The headers of every response with a token, or about one (RFC 6749 §5.1). */
export const noStore: Readonly<Record<string, string>> = { "cache-control": "no-store", pragma: "no-cache" }

/** The response to a method that a path does not support. */
export const methodNotAllowed = (allow: string): SandboxResponse => empty(405, { allow })

/** The parameters of a query or of a form body. */
export const parsePairs = (encoded: string): Pairs => Array.from(new URLSearchParams(encoded))

/** The parameters by name; the first value of a repeated one. Validation must use `duplicates` as well. */
export const toRecord = (pairs: Pairs): Readonly<Record<string, string>> => {
  const record: Record<string, string> = {}
  for (const [name, value] of pairs) {
    if (!Object.hasOwn(record, name)) record[name] = value
  }
  return record
}

/** The names that occur more than once. */
export const duplicates = (pairs: Pairs): ReadonlyArray<string> => {
  const seen = new Set<string>()
  const doubled = new Set<string>()
  for (const [name] of pairs) (seen.has(name) ? doubled : seen).add(name)
  return Array.from(doubled)
}

/** The parameters by name; one sent without a value counts as not sent (RFC 6749 §3.1). */
export const toParams = (pairs: Pairs): ReadonlyMap<string, string> =>
  new Map(pairs.filter(([, value]) => value !== ""))

/** Whether the content type of the request is that of a form. */
export const isForm = (request: SandboxRequest): boolean =>
  (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() === "application/x-www-form-urlencoded"

/** The parameters of a form POST; checks the content type and rejects parameters in the URL and repeated ones. */
export const formParams = (request: SandboxRequest): Effect.Effect<ReadonlyMap<string, string>, OAuthError> => {
  if (!isForm(request)) return invalidRequest("the content type must be application/x-www-form-urlencoded")
  if (request.query.length > 0) return invalidRequest("parameters belong in the body, not in the URL")
  const pairs = parsePairs(request.body)
  const repeated = duplicates(pairs)
  return repeated.length > 0
    ? invalidRequest(`sent more than once: ${repeated.join(", ")}`)
    : Effect.succeed(toParams(pairs))
}

/** The JSON text of a value; empty for undefined and for a value that is nested too deeply. */
export const stringify = (value: unknown): string =>
  Either.getOrUndefined(Either.try((): string | undefined => JSON.stringify(value))) ?? ""

/** The value of a JSON text; undefined for invalid JSON and for a value that is nested too deeply. */
export const parseJson = (body: string): unknown => {
  const value = Either.getOrUndefined(Either.try((): unknown => JSON.parse(body)))
  // `JSON.parse` accepts deeper nesting than `JSON.stringify` can write.
  return stringify(value) === "" ? undefined : value
}

/** The bearer token of the Authorization header. */
export const bearer = (request: SandboxRequest): string | undefined =>
  /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(request.headers["authorization"] ?? "")?.[1]

/** The body as text, or in base64 if its content type is that of an OCSP request, which is binary. */
const bodyOf = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<string> =>
  Effect.orElseSucceed(
    request.headers["content-type"] === "application/ocsp-request"
      ? Effect.map(request.arrayBuffer, (bytes) => Encoding.encodeBase64(new Uint8Array(bytes)))
      : request.text,
    () => ""
  )

/** Reads a platform request with its body. */
export const fromServerRequest: Effect.Effect<SandboxRequest, never, HttpServerRequest.HttpServerRequest> = Effect
  .flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    // The router's parsed parameters collapse a double slash, and with it an unencoded `iss=https://…`.
    const mark = request.url.indexOf("?")
    const withBody = (body: string): SandboxRequest => ({
      method: request.method,
      url: request.url,
      path: mark < 0 ? request.url : request.url.slice(0, mark),
      query: mark < 0 ? [] : parsePairs(request.url.slice(mark + 1)),
      headers: { ...request.headers },
      body
    })
    return request.method === "GET" || request.method === "HEAD" || request.method === "OPTIONS"
      ? Effect.succeed(withBody(""))
      : Effect.map(bodyOf(request), withBody)
  })

const chunkSize = 64 * 1024
const encoder = new TextEncoder()

// A valid JSON document of this size, produced in chunks.
const filler = (bytes: number): Stream.Stream<Uint8Array> => {
  const opening = encoder.encode("{\"filler\":\"")
  const closing = encoder.encode("\"}")
  const padding = Math.max(0, bytes - opening.length - closing.length)
  const chunk = encoder.encode("x".repeat(Math.min(chunkSize, padding)))
  const middle = Stream.unfold(padding, (left) =>
    left <= 0
      ? Option.none()
      : Option.some([chunk.subarray(0, Math.min(chunk.length, left)), left - chunk.length] as const))
  return Stream.make(opening).pipe(Stream.concat(middle), Stream.concat(Stream.make(closing)))
}

// A web `Response` with one of these statuses and a body is an error.
const statusesWithoutBody: ReadonlySet<number> = new Set([204, 205, 304])

/** Converts a response to a platform response. */
export const toServerResponse = (response: SandboxResponse): HttpServerResponse.HttpServerResponse => {
  const { body, headers, status } = response
  if (statusesWithoutBody.has(status)) return HttpServerResponse.empty({ status, headers })
  switch (body._tag) {
    case "Empty":
      return HttpServerResponse.empty({ status, headers })
    case "Json":
      return HttpServerResponse.text(stringify(body.value), { status, headers, contentType: body.contentType })
    case "Text":
      return HttpServerResponse.text(body.text, { status, headers, contentType: body.contentType })
    case "Bytes":
      return HttpServerResponse.uint8Array(body.bytes, { status, headers, contentType: body.contentType })
    case "Filler":
      return HttpServerResponse.stream(filler(body.bytes), { status, headers, contentType: "application/json" })
  }
}
