/**
 * The requests the sandbox reads and the answers it gives, as plain data: everything between the socket (or the in-memory client) and the
 * protocol steps, so that a step can be judged, recorded and spoilt by a fault without any HTTP.
 *
 * @since 0.1.0
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { OAuthError } from "./oAuthError.js"

/** Name and value pairs, in the order they were sent, duplicates included. */
export type Pairs = ReadonlyArray<readonly [name: string, value: string]>

/** One request as the sandbox received it. */
export interface SandboxRequest {
  readonly method: string
  /** Path and query as received. */
  readonly url: string
  readonly path: string
  readonly query: Pairs
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The body of an answer. */
export type ReplyBody =
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Json"; readonly value: unknown; readonly contentType: string }
  | { readonly _tag: "Text"; readonly text: string; readonly contentType: string }
  | { readonly _tag: "Filler"; readonly bytes: number }

/** One answer before it is put on the wire. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ReplyBody
}

const emptyBody: ReplyBody = { _tag: "Empty" }

/** An answer without a body. */
export const empty = (status: number, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers,
  body: emptyBody
})

/** A JSON answer. */
export const json = (
  value: unknown,
  options: {
    readonly status?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly contentType?: string | undefined
  } = {}
): Reply => ({
  status: options.status ?? 200,
  headers: options.headers ?? {},
  body: { _tag: "Json", value, contentType: options.contentType ?? "application/json" }
})

/** An answer with a text body. */
export const text = (
  body: string,
  options: {
    readonly status?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly contentType?: string | undefined
  } = {}
): Reply => ({
  status: options.status ?? 200,
  headers: options.headers ?? {},
  body: { _tag: "Text", text: body, contentType: options.contentType ?? "text/plain; charset=utf-8" }
})

/** A redirect. */
export const redirect = (location: string, status = 302): Reply =>
  empty(status, { location, "cache-control": "no-store" })

/** The headers every answer with a token, or about one, carries (RFC 6749 §5.1). */
export const noStore: Readonly<Record<string, string>> = { "cache-control": "no-store", pragma: "no-cache" }

/** The answer to a method that a path does not have. */
export const methodNotAllowed = (allow: string): Reply => empty(405, { allow })

/** Adds or replaces headers of an answer. */
export const withHeaders = (reply: Reply, headers: Readonly<Record<string, string>>): Reply => ({
  ...reply,
  headers: { ...reply.headers, ...headers }
})

/** The pairs of a query or of a form body. */
export const parsePairs = (encoded: string): Pairs => Array.from(new URLSearchParams(encoded))

/** The first value of a parameter, as a record: for records of what was sent, not for judging it. */
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

/** Whether the request says that its body is a form. */
export const isForm = (request: SandboxRequest): boolean =>
  (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() === "application/x-www-form-urlencoded"

/** The parameters of a form POST, strictly: the content type, no parameter in the URL, none twice. */
export const formParams = (request: SandboxRequest): Effect.Effect<ReadonlyMap<string, string>, OAuthError> => {
  if (!isForm(request)) {
    return new OAuthError({
      error: "invalid_request",
      description: "the content type must be application/x-www-form-urlencoded"
    })
  }
  if (request.query.length > 0) {
    return new OAuthError({ error: "invalid_request", description: "parameters belong in the body, not in the URL" })
  }
  const pairs = parsePairs(request.body)
  const doubled = duplicates(pairs)
  return doubled.length > 0
    ? new OAuthError({ error: "invalid_request", description: `sent more than once: ${doubled.join(", ")}` })
    : Effect.succeed(toParams(pairs))
}

/** The bearer token of a request, if it has one in the Authorization header. */
export const bearer = (request: SandboxRequest): string | undefined =>
  /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(request.headers["authorization"] ?? "")?.[1]

/** Reads a platform request whole. */
export const fromServerRequest: Effect.Effect<SandboxRequest, never, HttpServerRequest.HttpServerRequest> = Effect
  .flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    // The router's parsed parameters are not used: it collapses a double slash, and with it an unencoded `iss=https://…`.
    const mark = request.url.indexOf("?")
    const message = (body: string): SandboxRequest => ({
      method: request.method,
      url: request.url,
      path: mark < 0 ? request.url : request.url.slice(0, mark),
      query: mark < 0 ? [] : parsePairs(request.url.slice(mark + 1)),
      headers: { ...request.headers },
      body
    })
    return request.method === "GET" || request.method === "HEAD" || request.method === "OPTIONS"
      ? Effect.succeed(message(""))
      : Effect.map(Effect.orElseSucceed(request.text, () => ""), message)
  })

const chunkSize = 64 * 1024
const encoder = new TextEncoder()

// A valid JSON document of the wanted size, never whole in memory: only its size is wrong with it.
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

// Answers that have no body by definition, where a web Response with one would be refused.
const withoutBody = (status: number): boolean => status === 204 || status === 205 || status === 304

/** The answer as a platform response. */
export const toServerResponse = (reply: Reply): HttpServerResponse.HttpServerResponse => {
  const { body, headers, status } = reply
  if (withoutBody(status)) return HttpServerResponse.empty({ status, headers })
  switch (body._tag) {
    case "Empty":
      return HttpServerResponse.empty({ status, headers })
    case "Json":
      // A fault may have made the value undefined, which is no JSON at all.
      return HttpServerResponse.text(JSON.stringify(body.value) ?? "", {
        status,
        headers,
        contentType: body.contentType
      })
    case "Text":
      return HttpServerResponse.text(body.text, { status, headers, contentType: body.contentType })
    case "Filler":
      return HttpServerResponse.stream(filler(body.bytes), { status, headers, contentType: "application/json" })
  }
}
