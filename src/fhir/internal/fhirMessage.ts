/**
 * FHIR requests and responses as HTTP messages, below the RESTful interactions (FHIR R4, section 3.1.0): how a request
 * is encoded, and how a response is read: whole, as a stream, or as the error that its status stands for.
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import * as HttpStatus from "../../base/HttpStatus.js"
import { parseJson } from "../../base/JsonReader.js"
import * as Challenge from "../../http/Challenge.js"
import type { Limits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import { safeText } from "../../http/Redaction.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import { bodyError, type TransportFailure } from "../../http/TransportFailure.js"
import { type FhirError, type Fields, type File, reasonOf } from "../FhirError.js"
import type * as Params from "./params.js"
import { excerptOf, issuesOf } from "./resource.js"

/**
 * A text, bytes, or a value that is encoded as JSON (by default with the content type `application/fhir+json`). A
 * request with a stream is sent once: after a 401 or another failure it is not repeated.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirBody =
  | { readonly json: unknown; readonly contentType?: string | undefined }
  | { readonly text: string; readonly contentType: string }
  | { readonly bytes: Uint8Array; readonly contentType: string }
  | {
    readonly stream: Stream.Stream<Uint8Array, unknown>
    readonly contentType: string
    readonly contentLength?: number | undefined
  }

/**
 * A request that the interactions do not cover.
 *
 * @since 0.1.0
 * @category models
 */
export interface FhirRequest {
  /** The name of the request in errors and spans. It must not contain ids or search values. */
  readonly interaction: string
  /** Default `GET`. */
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined
  /** Absolute, or relative to the FHIR base URL; `""` is the base itself. */
  readonly url: string
  /** Parameters that are added to the query of `url`. */
  readonly params?: Params.Params | undefined
  /** Other headers. `Authorization` is ignored: the token source decides which token is sent. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Default: no body. */
  readonly body?: FhirBody | undefined
  /**
   * Which failures the retry policy may repeat: all transient ones (`always`, the default of GET and HEAD), only those
   * where the server did not act (`unprocessed`), or none (`never`, the default of the other methods).
   */
  readonly retry?: "always" | "unprocessed" | "never" | undefined
  /** What `url` is relative to, instead of the FHIR base URL. The token must be allowed to go there. */
  readonly base?: string | undefined
  /** The URL of the page that contained `url`: what a bare query (`?page=2`) is relative to. */
  readonly page?: string | undefined
  /** Sends the request without the token. */
  readonly omitToken?: boolean | undefined
  /** The file of a bulk export, for errors. */
  readonly file?: File | undefined
}

/**
 * A response whose body was read.
 *
 * @since 0.1.0
 * @category models
 */
export interface FhirResponse {
  /** The URL of the response, after redirects. */
  readonly url: string
  /** 2xx, or 304 to a request with a condition. Other statuses are a `FhirError`. */
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The text of the body, at most `HttpLimits.maxFhirResponseBytes`. */
  readonly body: string
  /** The body decoded as JSON; `undefined` if it is not JSON. */
  readonly json: unknown
}

/**
 * A response whose body is read as a stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamedResponse {
  /** 2xx, or 304 to a request with a condition. */
  readonly status: number
  /** By names in lower case. */
  readonly headers: FhirResponse["headers"]
  /** The time limit applies to each chunk, while the stream waits for it. */
  readonly body: Stream.Stream<Uint8Array, FhirError>
}

/** Whether a 304 is a valid response to the request. */
export const isConditional = ({ headers = {} }: FhirRequest): boolean =>
  Object.keys(headers).some((name) => /^if-(?:none-match|modified-since)$/i.test(name))

/** A request whose body was encoded once for all attempts. */
export interface EncodedRequest extends FhirRequest {
  readonly encoded: HttpBody.HttpBody
}

const httpBody = (body: FhirBody): HttpBody.HttpBody => {
  if ("text" in body) return HttpBody.text(body.text, body.contentType)
  if ("bytes" in body) return HttpBody.uint8Array(body.bytes, body.contentType)
  if ("stream" in body) return HttpBody.stream(body.stream, body.contentType, body.contentLength)
  return HttpBody.text(JSON.stringify(body.json), body.contentType ?? "application/fhir+json")
}

/** RFC 9110, section 5.5: visible characters, spaces and tabs. A transport reports others as a failed connection. */
const isFieldValue = (value: string): boolean => /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value) && value.trim() !== ""

/** The name of a header whose value cannot be sent. */
const invalidHeader = ({ body, headers }: Pick<FhirRequest, "body" | "headers">): string | undefined =>
  body !== undefined && "contentType" in body && body.contentType !== undefined && !isFieldValue(body.contentType)
    ? "content-type"
    : headers === undefined
    ? undefined
    : Object.keys(headers).find((name) => !isFieldValue(headers[name] ?? ""))

/** Encodes the body; fails if it is circular or nested too deeply for JSON, or if a header cannot be sent. */
export const encode = (
  request: FhirRequest,
  others?: FhirRequest["headers"]
): Either.Either<EncodedRequest, Fields> => {
  const { body, headers } = request
  const invalid = body === undefined && headers === undefined && others === undefined
    ? undefined
    : invalidHeader({ body, headers: others }) ?? invalidHeader({ body, headers })
  if (invalid !== undefined) {
    return Either.left({
      reason: "InvalidRequest",
      detail: `the value of the header ${
        safeText(invalid, [], 100)
      } is empty or has characters that HTTP does not allow`,
      processed: "no"
    })
  }
  // A key after a spread would cost more than all else here.
  return body === undefined
    ? Either.right({ encoded: HttpBody.empty, ...request })
    : Either.try({
      try: () => ({ encoded: httpBody(body), ...request }),
      catch: () => ({ reason: "InvalidRequest", detail: "the body cannot be encoded as JSON", processed: "no" })
    })
}

const ACCEPT = { accept: "application/fhir+json, application/json;q=0.9" }

/** Most requests have no other headers. */
const PLAIN_GET = HttpClientRequest.get("", { headers: ACCEPT })

/** The HTTP request, without a token. */
export const toHttpRequest = (
  { encoded, headers, method = "GET" }: EncodedRequest,
  url: URL
): HttpClientRequest.HttpClientRequest => {
  const made = headers === undefined && method === "GET"
    ? HttpClientRequest.setUrl(PLAIN_GET, url.href)
    : HttpClientRequest.make(method)(url.href, {
      // Only the token source decides which token is sent.
      headers: Headers.remove(Headers.fromInput({ ...ACCEPT, ...headers }), "authorization")
    })
  return encoded._tag === "Empty" ? made : HttpClientRequest.setBody(made, encoded)
}

interface ResponseContext {
  /** Makes an error about the response. */
  readonly fail: (fields: Fields) => FhirError
  /** The token, if it was sent: it must not appear in an error. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** The absolute URL of a link in the response. */
  readonly resolve: (link: string) => URL | undefined
}

/** A response whose body was not read yet. */
export interface OpenResponse extends ResponseContext {
  readonly url: URL
  readonly response: HttpClientResponse.HttpClientResponse
}

/** A response whose body was read. */
export interface ReadResponse extends FhirResponse, ResponseContext {}

/** A class, because the headers are seldom used, and a getter in an object literal is expensive. */
class BufferedResponse implements ReadResponse {
  readonly fail: ReadResponse["fail"]
  readonly secrets: ReadResponse["secrets"]
  readonly resolve: ReadResponse["resolve"]
  readonly url: string
  readonly json: unknown
  private readonly response: HttpClientResponse.HttpClientResponse

  constructor({ fail, resolve, response, secrets, url }: OpenResponse, readonly body: string) {
    this.fail = fail
    this.secrets = secrets
    this.resolve = resolve
    this.url = url.href
    this.json = parseJson(body)?.value
    this.response = response
  }

  get status(): number {
    return this.response.status
  }

  get headers(): ReadResponse["headers"] {
    return this.response.headers
  }
}

/** The error of a request that got no response, or only a part of one. */
export const transportError =
  (fail: ResponseContext["fail"]) => ({ detail, processed, reason, status }: TransportFailure): FhirError =>
    fail({ reason, detail, status, processed })

const requestIdOf = (
  headers: FhirResponse["headers"],
  secrets: ResponseContext["secrets"]
): string | undefined => {
  const id = headers["x-request-id"]
  return id === undefined ? undefined : safeText(id, secrets.map(Redacted.value), 100)
}

/** The error of a response whose status is not a success. */
export const statusError = (
  { fail, response, secrets, url }: OpenResponse,
  maxBytes: number
): Effect.Effect<FhirError> =>
  Effect.gen(function*() {
    const { headers, status } = response
    const body = yield* OutgoingRequest.readBody(url, response, maxBytes).pipe(Effect.orElseSucceed(() => ""))
    const issues = issuesOf(parseJson(body)?.value, secrets)
    const challenge = Challenge.bearer(headers["www-authenticate"], secrets.map(Redacted.value))
    return fail({
      reason: reasonOf(status),
      detail: `HTTP status ${status}${status === 304 ? " to a request without a condition" : ""}`,
      issues,
      status,
      retryAfter: RetryAfter.parse(headers["retry-after"], yield* Clock.currentTimeMillis),
      requestId: requestIdOf(headers, secrets),
      processed: HttpStatus.processedAt(status),
      error: challenge.error,
      errorDescription: challenge.errorDescription,
      requiredScope: challenge.scope,
      bodyExcerpt: issues.length === 0 ? excerptOf(body, secrets) : undefined
    })
  })

/** The media types that an error names. A server could put a value into another one. */
const MEDIA_TYPE = /^(?:text\/(?:html|plain|xml)|application\/(?:fhir\+)?(?:json|xml))\b/i

/** The error of a success that does not have what FHIR requires: with its issues, or the beginning of its body. */
export const notFhir = (
  { body, fail, headers, json, secrets, status }: ReadResponse,
  what: string,
  processed?: Fields["processed"]
): FhirError => {
  const issues = issuesOf(json, secrets)
  const mediaType = MEDIA_TYPE.exec(headers["content-type"] ?? "")?.[0].toLowerCase()
  return fail({
    reason: "NotFhir",
    detail: `HTTP status ${status} ${what}${mediaType === undefined ? "" : ` (${mediaType})`}`,
    issues,
    status,
    processed,
    requestId: requestIdOf(headers, secrets),
    bodyExcerpt: issues.length === 0 ? excerptOf(body, secrets) : undefined
  })
}

/** Reads the whole body. */
export const read = (
  open: OpenResponse,
  { maxFhirResponseBytes }: Limits
): Effect.Effect<ReadResponse, TransportFailure> => {
  const buffered = OutgoingRequest.bufferedBody(open.response, maxFhirResponseBytes)
  return buffered !== undefined
    ? Effect.succeed(new BufferedResponse(open, buffered))
    : Effect.map(
      OutgoingRequest.readBody(open.url, open.response, maxFhirResponseBytes),
      (body) => new BufferedResponse(open, body)
    )
}

/** A response whose body is read as bytes, at once or as a stream. Its scope closes it. */
export interface ReadableResponse extends StreamedResponse, Pick<ReadResponse, "fail"> {
  /** The whole body, within the size limit. */
  readonly bytes: Effect.Effect<Uint8Array, FhirError>
}

const tooLarge = (fail: ResponseContext["fail"], status: number, maxBytes: number): FhirError =>
  fail({ reason: "TooLarge", detail: `the response has more than ${maxBytes} bytes`, status, processed: "unknown" })

export const stream = (
  { fail, response, url }: OpenResponse,
  { fhirTimeout, maxFhirResponseBytes }: Limits
): Effect.Effect<ReadableResponse, FhirError> => {
  const { headers, status } = response
  const parts = OutgoingRequest.isFastResponse(response)
    ? response.streamWithin(Duration.toMillis(fhirTimeout))
    : response.stream
  const body = Stream.catchAll(parts, (error) =>
    error.reason === "EmptyBody"
      ? Stream.empty
      : Stream.fail(transportError(fail)(bodyError(url, response, error))))
  // A timeout of each part costs more than the part.
  const chunks = OutgoingRequest.isFastResponse(response) ? body : Stream.timeoutFail(
    body,
    () => fail({ reason: "TimedOut", detail: "no further part of the body came in time", processed: "unknown" }),
    fhirTimeout
  )
  const bytes = Effect.suspend(() => {
    const body = new ByteBuffer()
    return Effect.as(
      Stream.runForEach(chunks, (chunk) => {
        if (body.size + chunk.byteLength > maxFhirResponseBytes) return tooLarge(fail, status, maxFhirResponseBytes)
        body.push(chunk)
        return Effect.void
      }),
      body
    )
  })
  return Effect.succeed({ fail, status, headers, body: chunks, bytes: Effect.map(bytes, (body) => body.take()) })
}
