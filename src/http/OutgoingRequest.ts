/**
 * The rules of every outgoing request: https only; redirects only for a GET without secrets; a time limit that covers
 * the body; a size limit while reading; no tracing headers; no ambient credentials (RFC 9110).
 *
 * @internal
 */
import * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ByteBuffer } from "../base/ByteBuffer.js"
import { mapFailure } from "../base/CatchFailure.js"
import * as Url from "../base/Url.js"
import type { Sender } from "./internal/effectClient.js"
import * as EffectClient from "./internal/effectClient.js"
import type { ReceivedResponse } from "./ReceivedResponse.js"
import { bodyError, isTotalTimeout, requestError, TransportFailure } from "./TransportFailure.js"

export type { Sender } from "./internal/effectClient.js"

export interface Rules {
  readonly timeout: Duration.DurationInput
  readonly maxBytes: number
  /** How many redirects of a GET are followed. 0 for a request with a secret. */
  readonly redirects: number
  readonly allowInsecureLocalhost: boolean
}

export const TypeId: unique symbol = Symbol.for("effect-safire/FastTransport")

export interface FastResponse extends HttpClientResponse.HttpClientResponse {
  readonly [TypeId]: typeof TypeId
  /** The body, if all of it has been received and it is within the limit, as of most responses. */
  readonly bufferedBody: (maxBytes: number) => string | undefined
  /** The body; fails as soon as it exceeds the limit. */
  readonly textUpTo: (maxBytes: number) => Effect.Effect<string, HttpClientError.ResponseError>
  /** The body as a stream; fails when a reader has waited so long for its next part. */
  readonly streamWithin: (stallMillis: number) => Stream.Stream<Uint8Array, HttpClientError.ResponseError>
  /** Closes the connection, unless the response is complete. */
  readonly discard: Effect.Effect<void>
}

/**
 * An optional extension of `HttpClient`: a transport that applies a time limit to a whole request, returns the body as
 * text up to a limit, and discards unread responses. A timeout, a scope and a stream around another client cost many
 * times as much as the request. A client that a combinator changed does not have the extension.
 */
export interface FastTransport {
  /** Sends to `url`, without spans and tracing headers; the time limit covers the body. */
  readonly [TypeId]: (
    request: HttpClientRequest.HttpClientRequest,
    url: URL,
    timeoutMillis: number
  ) => Effect.Effect<FastResponse, HttpClientError.RequestError>
}

export const isFastTransport = (
  client: HttpClient.HttpClient
): client is HttpClient.HttpClient & FastTransport => Predicate.hasProperty(client, TypeId)

export const isFastResponse = (response: HttpClientResponse.HttpClientResponse): response is FastResponse =>
  Predicate.hasProperty(response, TypeId)

/** The client in the environment of a request: see `EffectClient.isolated`. */
export const prepare = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  isFastTransport(client) ? client : EffectClient.isolated(client)

/** The body, if the transport has received all of it and it is within the limit. */
export const bufferedBody = (response: HttpClientResponse.HttpClientResponse, maxBytes: number): string | undefined =>
  isFastResponse(response) ? response.bufferedBody(maxBytes) : undefined

/** Across origins a browser shows `Content-Length` and hides `Content-Encoding`, with which a body can be longer. */
const showsAllHeaders =
  typeof (globalThis as { process?: { versions?: { node?: unknown } } }).process?.versions?.node === "string"

/** The body as text. Reading ends as soon as the body exceeds the limit, also if its declared length does not. */
export const readBody = (
  url: URL,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  // Effect's own clients make them at each access.
  headers: ReceivedResponse["headers"] = response.headers
): Effect.Effect<string, TransportFailure> => {
  // Lazy: an error captures a stack.
  const tooLarge = () =>
    new TransportFailure({
      reason: "TooLarge",
      url: Url.forDisplay(url),
      processed: "unknown",
      status: response.status,
      detail: `the response has more than ${maxBytes} bytes`
    })
  if (isFastResponse(response)) {
    return Effect.mapError(response.textUpTo(maxBytes), (error) => {
      const failure = bodyError(url, response, error)
      return failure.reason === "TooLarge" ? tooLarge() : failure
    })
  }
  const declared = Number(headers["content-length"])
  if (declared > maxBytes) return tooLarge()
  // Then the body cannot be longer than it declares, and is read at once, at a fraction of the cost.
  const isBounded = showsAllHeaders && declared >= 0 && headers["content-encoding"] === undefined
  const whole = isBounded && headers["transfer-encoding"] === undefined
    // A transport that is not HTTP, such as a mock, may send more than it declares.
    ? Effect.flatMap(response.text, (text) => text.length > maxBytes ? tooLarge() : Effect.succeed(text))
    : readChunks(response, maxBytes, tooLarge)
  return whole.pipe(
    Effect.tap(() => EffectClient.markComplete(response)),
    Effect.catchTag(
      "ResponseError",
      (error) => error.reason === "EmptyBody" ? Effect.succeed("") : bodyError(url, response, error)
    )
  )
}

const readChunks = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number,
  tooLarge: () => TransportFailure
): Effect.Effect<string, TransportFailure | HttpClientError.ResponseError> =>
  Effect.suspend(() => {
    const body = new ByteBuffer()
    return response.stream.pipe(
      Stream.runForEachChunk((chunks) => {
        for (const chunk of chunks) {
          if (body.size + chunk.byteLength > maxBytes) return tooLarge()
          body.push(chunk)
        }
        return Effect.void
      }),
      Effect.map(() => new TextDecoder().decode(body.take()))
    )
  })

const REDIRECTS = new Set([301, 302, 303, 307, 308])

const CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "dpop"]

/** The request to the target of a redirect: without credentials if the origin is another. */
const redirectTo = (request: HttpClientRequest.HttpClientRequest, from: URL, to: URL) =>
  HttpClientRequest.get(to.href, {
    headers: from.origin === to.origin ? request.headers : Headers.remove(request.headers, CREDENTIALS)
  })

/**
 * Whether a response is a redirect. A browser shows a redirect that it was told not to follow as status 0, without
 * headers.
 */
export const isRedirect = (response: HttpClientResponse.HttpClientResponse): boolean =>
  response.status === 0 || (REDIRECTS.has(response.status) && response.headers["location"] !== undefined)

/** The transport applies the limit, which covers all requests of this sender. */
const fastSender = (client: FastTransport, clock: Clock.Clock, limit: number): Sender => {
  const start = clock.unsafeCurrentTimeMillis()
  return {
    // 0 would mean no limit.
    execute: (request, url) =>
      client[TypeId](request, url, Math.max(1, start + limit - clock.unsafeCurrentTimeMillis())),
    discard: (response) => isFastResponse(response) ? response.discard : Effect.void
  }
}

/** A time limit for opening a response, whose body is read later and closed with the scope. */
export const opening = <A, E, R>(
  client: HttpClient.HttpClient,
  scope: Scope.Scope,
  timeout: Duration.DurationInput,
  onTimeout: () => E,
  use: (sender: Sender) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.timeoutFail(use(EffectClient.scopedSender(client, scope)), { duration: timeout, onTimeout })

/**
 * A time limit for all that `use` sends and reads: applied by a `FastTransport` itself, by a timeout around any other
 * client.
 */
export const within = <A, E, R>(
  client: HttpClient.HttpClient,
  timeout: Duration.DurationInput,
  onTimeout: () => E,
  use: (sender: Sender) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  isFastTransport(client)
    ? Effect.clockWith((clock) => use(fastSender(client, clock, Duration.toMillis(timeout))))
    : EffectClient.within(client, timeout, onTimeout, use)

const insecure = (url: string | URL): TransportFailure =>
  new TransportFailure({
    reason: "InsecureEndpoint",
    url: Url.forDisplay(url),
    processed: "no",
    detail: "the URL is not https"
  })

/** Sends one request, and returns its response unread, also if it is a redirect. `url` is the URL of the request. */
export const open = (
  sender: Sender,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  allowInsecureLocalhost: boolean
): Effect.Effect<HttpClientResponse.HttpClientResponse, TransportFailure> =>
  Url.isSecure(url, allowInsecureLocalhost)
    ? mapFailure(sender.execute(request, url), (error) =>
      error._tag === "RequestError"
        ? requestError(url, error)
        : new TransportFailure({
          reason: "Unreachable",
          url: Url.forDisplay(url),
          processed: "unknown",
          detail: error.reason
        }))
    : insecure(url)

/** Sends one request, follows its redirects, and reads the response. */
const follow = (
  sender: Sender,
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  rules: Rules,
  redirectsLeft: number
): Effect.Effect<ReceivedResponse, TransportFailure> =>
  Effect.flatMap(open(sender, request, url, rules.allowInsecureLocalhost), (response) => {
    if (!isRedirect(response)) {
      const { headers, status } = response
      const received = (body: string): ReceivedResponse => ({ url: url.href, status, headers, body })
      const buffered = bufferedBody(response, rules.maxBytes)
      return buffered !== undefined
        ? Effect.succeed(received(buffered))
        : Effect.map(readBody(url, response, rules.maxBytes, headers), received)
    }
    const refuse = (detail: string) =>
      new TransportFailure({
        reason: "RedirectRefused",
        url: Url.forDisplay(url),
        processed: "unknown",
        status: response.status,
        detail
      })
    const redirected = (): Effect.Effect<ReceivedResponse, TransportFailure> => {
      const location = response.headers["location"]
      if (location === undefined) return refuse("it redirects to a URL that the browser does not show")
      const next = Url.parse(location, url.href)
      const to = next === undefined ? "a string that is not a URL" : Url.forDisplay(next)
      if (rules.redirects === 0 || request.method !== "GET") return refuse(`it redirects to ${to}`)
      if (redirectsLeft === 0) return refuse(`more than ${rules.redirects} redirects, the last to ${to}`)
      if (next === undefined || !Url.isSecure(next, rules.allowInsecureLocalhost)) {
        return refuse(`it redirects to ${to}, which is not https`)
      }
      return follow(sender, redirectTo(request, url, next), next, rules, redirectsLeft - 1)
    }
    return Effect.zipRight(sender.discard(response), Effect.suspend(redirected))
  })

/** Sends one request and reads its response, of any status. */
export const send = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<ReceivedResponse, TransportFailure> => {
  const target = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  if (Either.isLeft(target)) return insecure(request.url)
  const timedOut = () =>
    new TransportFailure({
      reason: "TimedOut",
      url: Url.forDisplay(request.url),
      processed: "unknown",
      detail: `no complete response within ${Duration.format(rules.timeout)}`
    })
  return mapFailure(
    within(client, rules.timeout, timedOut, (sender) => follow(sender, request, target.right, rules, rules.redirects)),
    (failure) => isTotalTimeout(failure) ? timedOut() : failure
  )
}
