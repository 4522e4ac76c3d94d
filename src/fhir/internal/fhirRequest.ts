/**
 * A FHIR request and its response, below the level of the RESTful interactions (FHIR R4, section 3.1.0).
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Either from "effect/Either"
import type * as Stream from "effect/Stream"
import type { FhirError, Fields, File } from "../FhirError.js"
import type * as Params from "./params.js"

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

const httpBody = (body: FhirBody | undefined): HttpBody.HttpBody => {
  if (body === undefined) return HttpBody.empty
  if ("text" in body) return HttpBody.text(body.text, body.contentType)
  if ("bytes" in body) return HttpBody.uint8Array(body.bytes, body.contentType)
  if ("stream" in body) return HttpBody.stream(body.stream, body.contentType, body.contentLength)
  return HttpBody.text(JSON.stringify(body.json), body.contentType ?? "application/fhir+json")
}

/** Encodes the body; fails if it is circular or nested too deeply for JSON. */
export const encode = (request: FhirRequest): Either.Either<EncodedRequest, Fields> =>
  Either.try({
    try: () => ({ ...request, encoded: httpBody(request.body) }),
    catch: () => ({ reason: "InvalidRequest", detail: "the body cannot be encoded as JSON", processed: "no" })
  })

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
