/**
 * The sandbox on an `HttpServer`.
 *
 * @since 0.1.0
 */
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import type { Options } from "./sandbox.js"
import { type Extension, type ExtensionContext, makeSandbox } from "./service.js"

/** The origin of a server on this machine. */
const originOf = (address: HttpServer.Address): string => {
  if (address._tag === "UnixAddress") return "http://localhost"
  const { hostname, port } = address
  const host = hostname === "0.0.0.0" || hostname === "::" ? "127.0.0.1" : hostname
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
}

/** A sandbox that serves its requests while the scope is open. */
export const sandbox = (options: Options, extend?: (context: ExtensionContext) => Extension) =>
  Effect.gen(function*() {
    const server = yield* HttpServer.HttpServer
    const fhirBaseUrl = options.fhirBaseUrl ?? `${originOf(server.address)}/fhir`
    const made = yield* makeSandbox(fhirBaseUrl, options, { autoApprove: true }, extend)
    yield* server.serve(made.service.httpApp).pipe(
      // The server's spans would put codes and states into the traces of the program under test.
      HttpMiddleware.withTracerDisabledWhenEffect(() => true)
    )
    return made
  })
