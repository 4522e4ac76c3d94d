/**
 * A SMART app in Express 5: `npx tsx examples/express/main.ts`, then open what it prints.
 *
 * `HttpLayerRouter.toHttpEffect` builds the routes, `NodeHttpServer.makeHandler` makes them a handler for `(req, res)`,
 * which Express mounts beside its own.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import express from "express"
import * as PatientApp from "../support/patientApp.js"

/** Serves until the scope closes. */
export const serve = (port: number) =>
  Effect.gen(function*() {
    const baseUrl = `http://localhost:${port}`
    const ehr = yield* PatientApp.startEhr(baseUrl)
    const routes = yield* HttpLayerRouter.toHttpEffect(PatientApp.layer({ baseUrl, fhirBaseUrl: ehr.fhirBaseUrl }))
    const smart = yield* NodeHttpServer.makeHandler(routes)

    const app = express()
    app.disable("x-powered-by")
    // `all`, because `use` would remove the path; before body parsers, because a callback may be a form.
    app.all(PatientApp.paths, (request, response) => smart(request, response))
    app.get("/", (_, response) => {
      response.type("html").send("<!doctype html><title>Express</title><a href=\"/launch\">Log in</a>")
    })

    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof app.listen>, Error>((resume) => {
        const server = app.listen(
          port,
          "localhost",
          (error) => resume(error === undefined ? Effect.succeed(server) : Effect.fail(error))
        )
      }),
      (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    )
    return { baseUrl, ehr }
  })

if (process.argv[1]?.endsWith("express/main.ts") === true) {
  serve(3000).pipe(
    Effect.tap(({ baseUrl }) => Console.log(`open ${baseUrl}, and end with Ctrl-C`)),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    NodeRuntime.runMain
  )
}
