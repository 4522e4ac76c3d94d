/**
 * An optional extension of `HttpClient`: a transport that applies a time limit to a whole request, returns the body as
 * text up to a limit, and discards unread responses. A timeout, a scope and a stream around another client cost many
 * times as much as the request. A client that a combinator changed does not have the extension.
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
  /** The body, if all of it has been received and it is within the limit, as of most responses. */
  readonly bufferedBody: (maxBytes: number) => string | undefined
  /** The body; fails as soon as it exceeds the limit. */
  readonly textUpTo: (maxBytes: number) => Effect.Effect<string, HttpClientError.ResponseError>
  /** Closes the connection, unless the response is complete. */
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
