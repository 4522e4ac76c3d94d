/** The EHR of an example: a sandbox on a free loopback port. An app uses the EHR of its hospital. */
import { createServer } from "node:http"
import type * as HttpServerError from "@effect/platform/HttpServerError"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { SandboxEhr } from "effect-safire/testing"

/** Each call makes another EHR: assign it to a `const` to share it. */
export const layer = (
  options?: SandboxEhr.Options
): Layer.Layer<SandboxEhr.SandboxEhr, HttpServerError.ServeError> =>
  SandboxEhr.layerServer(options).pipe(
    Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
  )

/** For programs that have several. */
export const start = (
  options?: SandboxEhr.Options
): Effect.Effect<SandboxEhr.Service, HttpServerError.ServeError, Scope.Scope> =>
  Effect.map(Layer.build(layer(options)), Context.get(SandboxEhr.SandboxEhr))
