/**
 * Reads a FHIR response: its whole body, its body as a stream, or the error that its status stands for.
 *
 * @internal
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../../base/ByteBuffer.js"
import * as HttpStatus from "../../base/HttpStatus.js"
import { parseJson } from "../../base/JsonReader.js"
import * as Challenge from "../../http/Challenge.js"
import type { Limits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import { bodyError, type TransportFailure } from "../../http/TransportFailure.js"
import { type FhirError, type Fields, reasonOf } from "../FhirError.js"
import type { FhirResponse, StreamedResponse } from "./fhirRequest.js"
import { excerptOf, issuesOf } from "./resource.js"

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
      processed: HttpStatus.processedAt(status),
      error: challenge.error,
      errorDescription: challenge.errorDescription,
      requiredScope: challenge.scope,
      bodyExcerpt: issues.length === 0 ? excerptOf(body, secrets) : undefined
    })
  })

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
