/**
 * What is made of an answer: its whole body, its body as it comes, or the error of one that was no success.
 *
 * @internal
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { parseJson } from "../../base/JsonReader.js"
import * as Challenge from "../../http/Challenge.js"
import type { Limits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import { processedAtStatus } from "../../http/ReceivedResponse.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import type { TransportFailure } from "../../http/TransportFailure.js"
import { bodyError } from "../../http/TransportFailure.js"
import type { FhirError, Fields } from "../FhirError.js"
import { reasonOf } from "../FhirError.js"
import type { Answer } from "./fhirRequest.js"
import { excerptOf, issuesOf } from "./resource.js"

/**
 * An answer with what its reader needs: errors about it, and its links.
 *
 * @internal
 */
export interface FhirResponse extends Answer {
  readonly fail: (fields: Fields) => FhirError
  /** The token, where it was sent: it must not be shown. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** The URL that a link of the answer means. */
  readonly resolve: (link: string) => URL | undefined
}

/** An answer before its body is read. */
export interface Opened extends Pick<FhirResponse, "fail" | "secrets" | "resolve"> {
  readonly url: URL
  readonly response: HttpClientResponse.HttpClientResponse
}

/** A class, because its headers are seldom looked at, and a getter in an object literal costs more than all the rest of one. */
class Read implements FhirResponse {
  readonly fail: FhirResponse["fail"]
  readonly secrets: FhirResponse["secrets"]
  readonly resolve: FhirResponse["resolve"]
  readonly url: string
  readonly json: unknown
  private readonly response: HttpClientResponse.HttpClientResponse

  constructor({ fail, resolve, response, secrets, url }: Opened, readonly body: string) {
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

  get headers(): FhirResponse["headers"] {
    return this.response.headers
  }
}

/** A request that brought no answer, or not all of one. */
export const outboundFailed = (fail: Opened["fail"]) => ({ detail, processed, reason, status }: TransportFailure) =>
  fail({ reason, detail, status, processed })

/** The error of a status that is no success. */
export const refused = ({ fail, response, secrets, url }: Opened, maxBytes: number): Effect.Effect<FhirError> =>
  Effect.gen(function*() {
    const { headers, status } = response
    const body = yield* OutgoingRequest.readBody(url, response, maxBytes).pipe(Effect.orElseSucceed(() => ""))
    const issues = issuesOf(parseJson(body)?.value, secrets)
    const challenge = Challenge.bearer(headers["www-authenticate"], secrets.map(Redacted.value))
    return fail({
      reason: reasonOf(status),
      detail: status === 304 ? "it answered 304 to a request without a condition" : `HTTP status ${status}`,
      issues,
      status,
      retryAfter: RetryAfter.parse(headers["retry-after"], yield* Clock.currentTimeMillis),
      processed: processedAtStatus(status),
      error: challenge.error,
      errorDescription: challenge.errorDescription,
      requiredScope: challenge.scope,
      bodyExcerpt: issues.length === 0 ? excerptOf(body, secrets) : undefined
    })
  })

/** Reads the whole body. */
export const read = (
  opened: Opened,
  { maxFhirResponseBytes }: Limits
): Effect.Effect<FhirResponse, TransportFailure> => {
  const arrived = OutgoingRequest.bufferedBody(opened.response, maxFhirResponseBytes)
  return arrived !== undefined
    ? Effect.succeed(new Read(opened, arrived))
    : Effect.map(
      OutgoingRequest.readBody(opened.url, opened.response, maxFhirResponseBytes),
      (body) => new Read(opened, body)
    )
}

/** The body as it comes. The time limit holds for every piece, and only while it is waited for. */
export const bytesOf = (
  { fail, response, url }: Opened,
  { fhirTimeout }: Limits
): Effect.Effect<Stream.Stream<Uint8Array, FhirError>, FhirError> =>
  response.status === 304
    ? fail({ reason: "NotModified", detail: "it answered 304", status: 304, processed: "no" })
    : Effect.succeed(response.stream.pipe(
      Stream.catchAll((error) =>
        error.reason === "EmptyBody"
          ? Stream.empty
          : Stream.fail(outboundFailed(fail)(bodyError(url, response, error)))
      ),
      Stream.timeoutFail(
        () => fail({ reason: "TimedOut", detail: "the file stopped coming", processed: "unknown" }),
        fhirTimeout
      )
    ))
