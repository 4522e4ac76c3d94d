/** The redirect URI of the demo: a loopback server that waits for one callback. */
import { createServer } from "node:http"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export class CallbackError extends Data.TaggedError("CallbackError")<{
  readonly reason: "NotLoopback" | "PortTaken" | "TimedOut"
  readonly message: string
}> {}

export interface Callback {
  readonly redirectUri: string
  /** The path and query of the first request to the redirect URI. */
  readonly await: Effect.Effect<string, CallbackError>
}

const PAGE =
  "<!doctype html><title>effect-safire demo</title><p>Done. The demo continues in the terminal. You can close this page."

/** `redirectUri` with port 0 takes any free port. */
export const listen = (
  redirectUri: string,
  timeout: Duration.DurationInput
): Effect.Effect<Callback, CallbackError, Scope.Scope> =>
  Effect.gen(function*() {
    const url = URL.canParse(redirectUri) ? new URL(redirectUri) : undefined
    if (url === undefined || url.protocol !== "http:" || !["127.0.0.1", "localhost", "[::1]"].includes(url.hostname)) {
      return yield* new CallbackError({
        reason: "NotLoopback",
        message: `the demo needs a loopback http address as SMART_REDIRECT_URI, not ${redirectUri}`
      })
    }
    const received = yield* Deferred.make<string>()
    const server = yield* NodeHttpServer.make(() => createServer(), {
      port: Number(url.port === "" ? 80 : url.port),
      host: url.hostname.replace(/[[\]]/g, "")
    }).pipe(
      Effect.mapError(() =>
        new CallbackError({
          reason: "PortTaken",
          message: `cannot listen on ${url.host}: the port is in use or not permitted`
        })
      )
    )
    yield* server.serve(
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        request.url.split("?")[0] === url.pathname
          ? Effect.as(
            Deferred.succeed(received, request.url),
            HttpServerResponse.text(PAGE, { contentType: "text/html; charset=utf-8" })
          )
          : Effect.succeed(HttpServerResponse.empty({ status: 404 })))
    )
    if (server.address._tag === "TcpAddress") url.port = String(server.address.port)
    return {
      redirectUri: url.href,
      await: Effect.timeoutFail(Deferred.await(received), {
        duration: timeout,
        onTimeout: () =>
          new CallbackError({
            reason: "TimedOut",
            message: `no callback arrived at ${url.href} within ${
              Duration.format(timeout)
            }; open the URL above and approve`
          })
      })
    }
  })
