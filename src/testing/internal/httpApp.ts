/**
 * The sandbox as an `HttpApp`, for a port.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { ConnectionReset } from "./faults.js"
import * as Http from "./http.js"

/**
 * Resets the connection. Node's request object has a socket, which can be destroyed without importing Node. A server
 * with web requests and responses closes the connection when the body of the response fails.
 */
const resetConnection: Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest
> = Effect.map(HttpServerRequest.HttpServerRequest, ({ source }) => {
  if (Predicate.hasProperty(source, "socket") && Predicate.hasProperty(source.socket, "destroy")) {
    const { destroy } = source.socket
    if (typeof destroy === "function") {
      destroy.call(source.socket)
      return HttpServerResponse.empty()
    }
  }
  return HttpServerResponse.stream(Stream.fail(new ConnectionReset()))
})

/** The `HttpApp` of a sandbox. */
export const make = (
  handle: (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse, ConnectionReset>
): HttpApp.Default =>
  Http.fromServerRequest.pipe(
    Effect.flatMap(handle),
    Effect.map(Http.toServerResponse),
    Effect.catchTag("ConnectionReset", () => resetConnection)
  )
