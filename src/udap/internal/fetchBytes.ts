/**
 * Fetching a CRL or an OCSP response: bytes, also over http, because both are signed and authorities publish them so
 * (RFC 5280, section 4.2.1.13). Their URLs come from certificates. A host that is an address is refused; a name that
 * leads to a private one is the guarded transport's to refuse.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HttpStatus from "../../base/HttpStatus.js"
import * as Url from "../../base/Url.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import { bodyError, requestError } from "../../http/TransportFailure.js"

/** @internal */
export class FetchFailure extends Data.TaggedError("FetchFailure")<{
  readonly detail: string
  readonly isRetryable: boolean
}> {}

/** @internal */
export interface Rules {
  readonly maxBytes: number
  readonly allowInsecureLocalhost: boolean
}

const isAllowed = (url: URL, { allowInsecureLocalhost }: Rules): boolean => {
  if (url.protocol !== "http:" && url.protocol !== "https:") return false
  if (Url.hasCredentials(url)) return false
  if (Url.isLoopback(url)) return allowInsecureLocalhost
  return !/^[\d.]+$/.test(url.hostname) && !url.hostname.startsWith("[") && !/(^|\.)localhost\.?$/.test(url.hostname)
}

const concatenated = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const whole = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}

/**
 * The body of a response with status 200, without redirects.
 *
 * @internal
 */
export const fetchBytes = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<Uint8Array, FetchFailure> => {
  const url = Url.parse(request.url)
  const at = Url.forDisplay(request.url)
  if (url === undefined || !isAllowed(url, rules)) {
    return new FetchFailure({ detail: `${at} is not the http or https URL of a named host`, isRetryable: false })
  }
  const tooLarge = () =>
    new FetchFailure({ detail: `${at} sent more than ${rules.maxBytes} bytes`, isRetryable: false })
  const inTime = <A>(attempt: Effect.Effect<A, FetchFailure>) =>
    Effect.flatMap(HttpLimits, ({ discoveryTimeout }) =>
      Effect.timeoutFail(attempt, {
        duration: discoveryTimeout,
        onTimeout: () =>
          new FetchFailure({
            detail: `${at} gave no complete answer within ${Duration.format(discoveryTimeout)}`,
            isRetryable: true
          })
      }))
  return Effect.scopedWith((scope) =>
    Effect.gen(function*() {
      const response = yield* Scope.extend(HttpClient.withScope(client).execute(request), scope).pipe(
        Effect.mapError((error) =>
          new FetchFailure({
            detail: `${at} could not be reached (${
              error._tag === "RequestError" ? requestError(url, error).detail : error.reason
            })`,
            isRetryable: true
          })
        )
      )
      if (response.status !== 200) {
        const detail = `${at} answered ${response.status}`
        return yield* new FetchFailure({ detail, isRetryable: HttpStatus.isTransient(response.status) })
      }
      if (Number(response.headers["content-length"]) > rules.maxBytes) return yield* tooLarge()
      const chunks: Array<Uint8Array> = []
      let size = 0
      yield* response.stream.pipe(
        Stream.mapError((error) => {
          const { detail, reason } = bodyError(url, response, error)
          return new FetchFailure({ detail: `${at}: ${detail}`, isRetryable: reason !== "TooLarge" })
        }),
        Stream.runForEach((chunk) => {
          size += chunk.byteLength
          if (size > rules.maxBytes) return tooLarge()
          chunks.push(chunk)
          return Effect.void
        })
      )
      return concatenated(chunks, size)
    })
  ).pipe(
    inTime,
    RetryPolicy.retry("always")
  )
}
