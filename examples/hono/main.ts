/**
 * A SMART app in Hono: `npx tsx examples/hono/main.ts`, then open what it prints.
 *
 * `HttpLayerRouter.toWebHandler` makes the routes a function from `Request` to `Promise<Response>`, which is what Hono,
 * and other frameworks with fetch handlers, mount.
 */
import { createServer } from "node:http"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Hono } from "hono"
import * as PatientApp from "../support/patientApp.js"

/** Serves until the scope closes. */
export const serve = (port: number) =>
  Effect.gen(function*() {
    const baseUrl = `http://localhost:${port}`
    const ehr = yield* PatientApp.startEhr(baseUrl)
    const smart = yield* Effect.acquireRelease(
      Effect.sync(() => HttpLayerRouter.toWebHandler(PatientApp.layer({ baseUrl, fhirBaseUrl: ehr.fhirBaseUrl }))),
      ({ dispose }) => Effect.promise(dispose)
    )

    const app = new Hono()
    app.on(["GET", "POST"], PatientApp.paths, (context) => smart.handler(context.req.raw))
    app.get("/", (context) => context.html("<!doctype html><title>Hono</title><a href=\"/launch\">Log in</a>"))

    // Here on Node without an adapter of Hono's; elsewhere `export default app`.
    const server = yield* NodeHttpServer.make(() => createServer(), { port, host: "localhost" })
    yield* server.serve(HttpApp.fromWebHandler((request) => Promise.resolve(app.fetch(request))))
    return { baseUrl, ehr }
  })

if (process.argv[1]?.endsWith("hono/main.ts") === true) {
  serve(3000).pipe(
    Effect.tap(({ baseUrl }) => Console.log(`open ${baseUrl}, and end with Ctrl-C`)),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    NodeRuntime.runMain
  )
}
