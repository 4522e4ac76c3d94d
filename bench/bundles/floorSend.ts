/**
 * The floor beneath the launch, see `floor.ts`: one request with the limits and rules of the library, over Effect's
 * `HttpClient`, and its retries.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Url from "../../src/base/Url.js"
import type { ReceivedResponse } from "../../src/http/ReceivedResponse.js"
import { type RetryableError, retryAfterCap, RetryPolicy } from "../../src/http/RetryPolicy.js"
import { bodyError, requestError, TransportFailure } from "../../src/http/TransportFailure.js"

export interface Rules {
  readonly timeout: Duration.DurationInput
  readonly maxBytes: number
  readonly redirects: number
  readonly allowInsecureLocalhost: boolean
}

const failure = (
  reason: TransportFailure["reason"],
  url: string | URL,
  detail: string,
  more: { readonly processed?: "no"; readonly status?: number } = {}
): TransportFailure => new TransportFailure({ reason, url: Url.forDisplay(url), detail, processed: "unknown", ...more })

const readBody = (url: URL, response: HttpClientResponse.HttpClientResponse, maxBytes: number) => {
  const tooLarge = () =>
    failure("TooLarge", url, `the response has more than ${maxBytes} bytes`, { status: response.status })
  if (Number(response.headers["content-length"]) > maxBytes) return tooLarge()
  const decoder = new TextDecoder()
  let [size, text] = [0, ""]
  return response.stream.pipe(
    Stream.runForEach((bytes) => {
      size += bytes.byteLength
      if (size > maxBytes) return tooLarge()
      text += decoder.decode(bytes, { stream: true })
      return Effect.void
    }),
    Effect.map(() => text + decoder.decode()),
    Effect.catchTag(
      "ResponseError",
      (error) => error.reason === "EmptyBody" ? Effect.succeed("") : bodyError(url, response, error)
    )
  )
}

const REDIRECTS = [301, 302, 303, 307, 308]

const follow = (
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  rules: Rules,
  redirectsLeft: number
): Effect.Effect<ReceivedResponse, TransportFailure, HttpClient.HttpClient> =>
  Effect.flatMap(HttpClient.HttpClient, (client) => {
    if (!Url.isSecure(url, rules.allowInsecureLocalhost)) {
      return failure("InsecureEndpoint", url, "the URL is not https", { processed: "no" })
    }
    const response = Effect.mapError(
      client.execute(request),
      (error) => error._tag === "RequestError" ? requestError(url, error) : failure("Unreachable", url, error.reason)
    )
    return Effect.flatMap(response, (response) => {
      const { headers, status } = response
      const location = headers["location"]
      // A browser shows a redirect as status 0.
      if (status !== 0 && (location === undefined || !REDIRECTS.includes(status))) {
        return Effect.map(readBody(url, response, rules.maxBytes), (body) => ({ url: url.href, status, headers, body }))
      }
      const refuse = (detail: string) => failure("RedirectRefused", url, detail, { status })
      if (location === undefined) return refuse("it redirects to a URL that the browser does not show")
      const next = Url.parse(location, url.href)
      const to = next === undefined ? "a string that is not a URL" : Url.forDisplay(next)
      if (rules.redirects === 0) return refuse(`it redirects to ${to}`)
      if (redirectsLeft === 0) return refuse(`more than ${rules.redirects} redirects, the last to ${to}`)
      if (next === undefined || !Url.isSecure(next, rules.allowInsecureLocalhost)) {
        return refuse(`it redirects to ${to}, which is not https`)
      }
      return follow(HttpClientRequest.setUrl(request, next), next, rules, redirectsLeft - 1)
    })
  })

const always = () => true

/** Without tracing headers, cookies and redirects of `fetch`; the connections are closed when it ends. */
export const send = (
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<ReceivedResponse, TransportFailure, HttpClient.HttpClient> => {
  const url = Url.parse(request.url)
  if (url === undefined) return failure("InsecureEndpoint", request.url, "the URL is not https", { processed: "no" })
  return follow(request, url, rules, rules.redirects).pipe(
    (self) =>
      Effect.flatMap(
        HttpClient.HttpClient,
        (client) =>
          Effect.provideService(self, HttpClient.HttpClient, HttpClient.withScope(client) as HttpClient.HttpClient)
      ),
    Effect.scoped,
    Effect.timeoutFail({
      duration: rules.timeout,
      onTimeout: () => failure("TimedOut", request.url, `no complete response within ${Duration.format(rules.timeout)}`)
    }),
    Effect.locally(HttpClient.currentTracerPropagation, false),
    Effect.locally(HttpClient.currentTracerDisabledWhen, always),
    Effect.provideService(FetchHttpClient.RequestInit, { credentials: "omit", redirect: "manual" })
  )
}

const retries = Metric.counter("effect_safire_retries_total", {
  description: "Repeated attempts, by the error of the failed attempt",
  incremental: true
})

/** A request that is not idempotent is repeated once more after a result that is not known. */
export const retry = <A, E extends RetryableError, R>(
  attempt: Effect.Effect<A, E, R>,
  isIdempotent: boolean
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let mayHaveActed = false
    const mayRepeat = (error: RetryableError): boolean => {
      if (!error.isRetryable || mayHaveActed) return false
      if (Duration.greaterThan(error.retryAfter ?? Duration.zero, retryAfterCap)) return false
      mayHaveActed = !isIdempotent && error.processed === "unknown"
      return true
    }
    return Effect.flatMap(RetryPolicy, (policy) =>
      Effect.retry(
        attempt,
        policy.pipe(
          Schedule.whileInput(mayRepeat),
          Schedule.passthrough,
          Schedule.modifyDelayEffect((error, delay) =>
            Effect.as(
              Metric.increment(Metric.tagged(retries, "error", error._tag)),
              Duration.max(delay, error.retryAfter ?? Duration.zero)
            )
          )
        )
      ))
  })
