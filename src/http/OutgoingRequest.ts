/**
 * The one place through which every request leaves: https only, no redirect followed but where it is harmless, a time limit that covers the
 * body, a size limit while reading, no tracing headers, no ambient credentials.
 *
 * @internal
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../base/ByteBuffer.js"
import * as Url from "../base/Url.js"
import * as FastTransport from "./FastTransport.js"
import type { ReceivedResponse } from "./ReceivedResponse.js"
import { bodyError, isTotalTimeout, requestError, TransportFailure } from "./TransportFailure.js"

export interface Rules {
  readonly timeout: Duration.DurationInput
  readonly maxBytes: number
  /** How many redirects of a GET may be followed. Anything that carries a secret says 0. */
  readonly redirects: number
  readonly allowInsecureLocalhost: boolean
}

/**
 * An HttpClient that leaves no trace with third parties: tracing headers are theirs to misread, break CORS, and the client's own spans would hold
 * URLs with queries.
 */
export const prepare = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  FastTransport.isFastTransport(client)
    ? client
    : client.pipe(HttpClient.withTracerPropagation(false), HttpClient.withTracerDisabledWhen(() => true))

/**
 * The body, where the transport has all of it already: then nothing need be waited for.
 */
export const bufferedBody = (response: HttpClientResponse.HttpClientResponse, maxBytes: number): string | undefined =>
  FastTransport.isFastResponse(response) ? response.bufferedBody(maxBytes) : undefined

/**
 * The body as text, given up as soon as it passes the limit. A declared length is trusted only where no content coding could make it grow.
 */
export const readBody = (
  url: URL,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<string, TransportFailure> => {
  // Made when it is needed: an error takes its stack with it.
  const tooLarge = () =>
    new TransportFailure({
      reason: "TooLarge",
      url: Url.forDisplay(url),
      processed: "unknown",
      status: response.status,
      detail: `the answer has more than ${maxBytes} bytes`
    })
  if (FastTransport.isFastResponse(response)) {
    return Effect.mapError(response.textUpTo(maxBytes), (error) => {
      const failure = bodyError(url, response, error)
      return failure.reason === "TooLarge" ? tooLarge() : failure
    })
  }
  const declared = Number(response.headers["content-length"])
  if (declared > maxBytes) return tooLarge()
  return Effect.suspend(() => {
    const body = new ByteBuffer()
    return response.stream.pipe(
      Stream.runForEachChunk((chunks) => {
        for (const chunk of chunks) {
          if (body.size + chunk.byteLength > maxBytes) return tooLarge()
          body.push(chunk)
        }
        return Effect.void
      }),
      Effect.map(() => new TextDecoder().decode(body.take())),
      Effect.catchTag(
        "ResponseError",
        (error) => error.reason === "EmptyBody" ? Effect.succeed("") : bodyError(url, response, error)
      )
    )
  })
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** fetch follows redirects by itself unless told; every other client ignores this. */
export const withManualRedirects = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.serviceOption(FetchHttpClient.RequestInit),
    (given) =>
      Effect.provideService(self, FetchHttpClient.RequestInit, {
        credentials: "omit",
        ...Option.getOrUndefined(given),
        redirect: "manual"
      }) as Effect.Effect<A, E, R>
  )

const CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "dpop"]

/** The request to where a redirect points: another origin gets no credentials. */
const redirectTo = (request: HttpClientRequest.HttpClientRequest, from: URL, to: URL) =>
  HttpClientRequest.get(to.href, {
    headers: from.origin === to.origin ? request.headers : Headers.remove(request.headers, CREDENTIALS)
  })

/**
 * Whether an answer sends the request elsewhere. A browser shows a redirect it was told not to follow as status 0, without headers.
 */
export const isRedirect = (response: HttpClientResponse.HttpClientResponse): boolean =>
  response.status === 0 || (REDIRECTS.has(response.status) && response.headers["location"] !== undefined)

/** How one request is sent, and an answer put away that nobody reads. */
export interface Sender {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest,
    url: URL
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
  readonly discard: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<void>
}

/** The transport keeps the time, over all that is sent this way. */
const fastSender = (client: FastTransport.FastTransport, clock: Clock.Clock, limit: number): Sender => {
  const start = clock.unsafeCurrentTimeMillis()
  return {
    // 0 would be no limit at all.
    execute: (request, url) =>
      client[FastTransport.TypeId](request, url, Math.max(1, start + limit - clock.unsafeCurrentTimeMillis())),
    discard: (response) => FastTransport.isFastResponse(response) ? response.discard : Effect.void
  }
}

/** What was not read to its end is closed with the scope, not when it is garbage. */
const scopedSender = (client: HttpClient.HttpClient, scope: Scope.Scope): Sender => {
  const scoped = HttpClient.withScope(client)
  return { execute: (request) => Scope.extend(scoped.execute(request), scope), discard: () => Effect.void }
}

/** A time limit for what opens an answer; the answer itself is read later and closed with the scope. */
export const opening = <A, E, R>(
  client: HttpClient.HttpClient,
  scope: Scope.Scope,
  timeout: Duration.DurationInput,
  onTimeout: () => E,
  use: (way: Sender) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  use(scopedSender(client, scope)).pipe(
    withManualRedirects,
    Effect.timeoutFail({ duration: timeout, onTimeout })
  )

/** A time limit for all that is sent and read in `use`: kept by the transport where it can, by a clock around any other. */
export const within = <A, E, R>(
  client: HttpClient.HttpClient,
  timeout: Duration.DurationInput,
  onTimeout: () => E,
  use: (way: Sender) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  FastTransport.isFastTransport(client)
    ? Effect.clockWith((clock) => use(fastSender(client, clock, Duration.toMillis(timeout))))
    : Effect.scopedWith((scope) => opening(client, scope, timeout, onTimeout, use))

const insecure = (url: string | URL): TransportFailure =>
  new TransportFailure({
    reason: "InsecureEndpoint",
    url: Url.forDisplay(url),
    processed: "no",
    detail: "it is no https URL"
  })

/**
 * Sends one request and gives its answer unread; a redirect is an answer like any other. `url` is what the request spells.
 */
export const open = (
  way: Sender,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  allowInsecureLocalhost: boolean
): Effect.Effect<HttpClientResponse.HttpClientResponse, TransportFailure> =>
  Url.isSecure(url, allowInsecureLocalhost)
    ? Effect.mapError(way.execute(request, url), (error) =>
      error._tag === "RequestError"
        ? requestError(url, error)
        : new TransportFailure({
          reason: "Unreachable",
          url: Url.forDisplay(url),
          processed: "unknown",
          detail: error.reason
        }))
    : insecure(url)

const hop = (
  way: Sender,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  rules: Rules,
  redirectsLeft: number
): Effect.Effect<ReceivedResponse, TransportFailure> =>
  Effect.flatMap(open(way, request, url, rules.allowInsecureLocalhost), (response) => {
    if (!isRedirect(response)) {
      const { headers, status } = response
      const answer = (body: string): ReceivedResponse => ({ url: url.href, status, headers, body })
      const whole = bufferedBody(response, rules.maxBytes)
      return whole !== undefined
        ? Effect.succeed(answer(whole))
        : Effect.map(readBody(url, response, rules.maxBytes), answer)
    }
    const refuse = (detail: string) =>
      new TransportFailure({
        reason: "RedirectRefused",
        url: Url.forDisplay(url),
        processed: "unknown",
        status: response.status,
        detail
      })
    const onward = (): Effect.Effect<ReceivedResponse, TransportFailure> => {
      const location = response.headers["location"]
      if (location === undefined) return refuse("it redirects to where the browser does not show")
      const next = Url.parse(location, url.href)
      const to = next === undefined ? "something that is no URL" : Url.forDisplay(next)
      if (rules.redirects === 0 || request.method !== "GET") {
        return refuse(`it redirects to ${to}`)
      }
      if (redirectsLeft === 0) return refuse(`more than ${rules.redirects} redirects, the last to ${to}`)
      if (next === undefined || !Url.isSecure(next, rules.allowInsecureLocalhost)) {
        return refuse(`it redirects to ${to}, which is not https`)
      }
      return hop(way, redirectTo(request, url, next), next, rules, redirectsLeft - 1)
    }
    return Effect.zipRight(way.discard(response), Effect.suspend(onward))
  })

/**
 * Sends one request and reads its whole answer, whatever its status.
 */
export const send = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<ReceivedResponse, TransportFailure> => {
  const made = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  if (Either.isLeft(made)) return insecure(request.url)
  const timedOut = () =>
    new TransportFailure({
      reason: "TimedOut",
      url: Url.forDisplay(request.url),
      processed: "unknown",
      detail: `no complete answer within ${Duration.format(rules.timeout)}`
    })
  return Effect.mapError(
    within(client, rules.timeout, timedOut, (way) => hop(way, request, made.right, rules, rules.redirects)),
    (failure) => isTotalTimeout(failure) ? timedOut() : failure
  )
}
