/** A server over TLS on a loopback port, which counts the requests that it served. */
import * as Https from "node:https"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export const tlsServer = (
  options: Https.ServerOptions
): Effect.Effect<{ readonly port: number; readonly served: () => number }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: Https.Server; readonly port: number; readonly served: () => number }>(
        (resume) => {
          let served = 0
          const server = Https.createServer(options, (_, response) => {
            served += 1
            response.end("secure")
          })
          server.on("tlsClientError", () => undefined)
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed({ server, port, served: () => served }))
          })
        }
      ),
      ({ server }) =>
        Effect.async<void>((done) => {
          server.close(() => done(Effect.void))
          server.closeAllConnections()
        })
    ),
    ({ port, served }) => ({ port, served })
  )
