/**
 * The complete web app and its hospitals' EHRs: `npm start`, then open the printed URL.
 *
 * The app is at `http://localhost:3000` (`APP_PORT`), the EHRs at `http://127.0.0.1:3100` and the next ports
 * (`EHR_PORT`): for a browser, these are different sites.
 */
import { createServer } from "node:http"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeTransport } from "effect-safire/node"
import * as App from "./app/App.js"
import * as DemoHospitals from "./app/DemoHospitals.js"
import { startEhrs } from "./app/startEhrs.js"

/** The ports of the app and of its EHRs. */
export interface Ports {
  readonly appPort: number
  readonly ehrPorts: DemoHospitals.Options["ports"]
}

/** Serves until the scope closes. */
export const serve = ({ appPort, ehrPorts }: Ports) =>
  Effect.gen(function*() {
    const baseUrl = `http://localhost:${appPort}`
    const httpClient = yield* Effect.map(Layer.build(NodeTransport.layer()), Context.get(HttpClient.HttpClient))
    const demo = DemoHospitals.make({ baseUrl, ports: ehrPorts, httpClient })
    const { operators, sandboxes } = yield* startEhrs(demo.ehrs, DemoHospitals.launchable(baseUrl))
    yield* Layer.build(
      App.serve({
        baseUrl,
        hospitals: demo.hospitals,
        prospects: demo.prospects.map((prospect) => ({ ...prospect, udap: operators.get(prospect.key) })),
        embeddedBy: demo.ehrs.map(({ port }) => `http://127.0.0.1:${port}`)
      }).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: appPort, host: "localhost" })))
    )
    return { baseUrl, ehrs: demo.ehrs, sandboxes }
  })

const port = (name: string, otherwise: number) => Config.withDefault(Config.port(name), otherwise)

const main = Effect.gen(function*() {
  const appPort = yield* port("APP_PORT", 3000)
  const first = yield* port("EHR_PORT", 3100)
  const { baseUrl, ehrs } = yield* serve({
    appPort,
    ehrPorts: [first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7]
  })
  yield* Console.log(`${"The app:".padEnd(20)} ${baseUrl}`)
  yield* Effect.forEach(ehrs, ({ name, port }) => Console.log(`${`${name}:`.padEnd(20)} http://127.0.0.1:${port}`))
  yield* Console.log("End with Ctrl-C.")
  return yield* Effect.never
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("app/main.ts") === true) NodeRuntime.runMain(main)
