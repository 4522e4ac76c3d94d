/**
 * The sandbox as an `HttpApp`, for a port.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { Dropped } from "./faults.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"

/**
 * Breaks the connection. Node's request object shows its socket, which can be destroyed without importing Node; a server that is made of web
 * requests and responses breaks the connection when the body of the response fails.
 */
const breakConnection: Effect.Effect<
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
  return HttpServerResponse.stream(Stream.fail(new Dropped()))
})

/** The app that answers as the sandbox does. */
export const make = (
  handle: (request: SandboxRequest) => Effect.Effect<Reply, Dropped>
): HttpApp.Default =>
  Message.fromServerRequest.pipe(
    Effect.flatMap(handle),
    Effect.map(Message.toServerResponse),
    Effect.catchTag("Dropped", () => breakConnection)
  )

/** The origin under which a server on this machine is reached. */
export const originOf = (address: HttpServer.Address): string => {
  if (address._tag === "UnixAddress") return "http://localhost"
  const { hostname, port } = address
  const host = hostname === "0.0.0.0" || hostname === "::" ? "127.0.0.1" : hostname
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
}
