/**
 * What a transport can offer beside `HttpClient`, so that nothing need be built around it: a time limit for the whole of one request, the body as text up
 * to a limit, and an answer that can be put away unread. To race a request against a clock in a scope of its own and to run its body as a stream
 * costs many times what the request does. A client that was changed by a combinator offers none of this any more, and is used in the general way.
 *
 * @internal
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

export const TypeId: unique symbol = Symbol.for("effect-safire/FastTransport")

export interface FastResponse extends HttpClientResponse.HttpClientResponse {
  readonly [TypeId]: typeof TypeId
  /** The body, where all of it has come and it is within the limit: most answers are short. */
  readonly bufferedBody: (maxBytes: number) => string | undefined
  /** The body, given up as soon as it passes the limit. */
  readonly textUpTo: (maxBytes: number) => Effect.Effect<string, HttpClientError.ResponseError>
  /** Closes the connection, unless the answer has come to its end. */
  readonly discard: Effect.Effect<void>
}

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
