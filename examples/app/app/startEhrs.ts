/** Starts the EHRs, each on its own port of 127.0.0.1: to a browser another site than the app on localhost. */
import { createServer } from "node:http"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import * as EhrSite from "../ehr/index.js"
import type { Ehr } from "./DemoHospitals.js"
import * as OpenEhr from "./OpenEhr.js"

const listening = (port: number) => Layer.build(NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" }))

const siteOptions = ({ name, options }: Ehr, app: EhrSite.App): EhrSite.Options => ({ ...options, name, apps: [app] })

/** Starts an EHR with dynamic registration. */
const startOpen = (ehr: Ehr, app: EhrSite.App) =>
  Effect.gen(function*() {
    const server = yield* Effect.map(listening(ehr.port), Context.get(HttpServer.HttpServer))
    const open = yield* OpenEhr.make(ehr.port, siteOptions(ehr, app))
    yield* server.serve(open.httpApp).pipe(HttpMiddleware.withTracerDisabledWhenEffect(() => true))
    return open.sandbox
  })

const startClosed = (ehr: Ehr, app: EhrSite.App) =>
  Effect.gen(function*() {
    const server = yield* listening(ehr.port)
    const sandbox = yield* Layer.build(EhrSite.layer(siteOptions(ehr, app))).pipe(
      Effect.provide(server),
      Effect.map(Context.get(SandboxEhr.SandboxEhr))
    )
    yield* Effect.forEach(ehr.quirks, ([step, fault]) => sandbox.fault(step, fault, Number.MAX_SAFE_INTEGER))
    return sandbox
  })

/** Their sandboxes, by key. `app` can be launched from all of them. */
export const startEhrs = (ehrs: ReadonlyArray<Ehr>, app: EhrSite.App) =>
  Effect.map(
    Effect.forEach(ehrs, (ehr) =>
      Effect.map(ehr.isOpen ? startOpen(ehr, app) : startClosed(ehr, app), (sandbox) =>
        [ehr.key, sandbox] as const)),
    (started): ReadonlyMap<string, SandboxEhr.Service> =>
      new Map(started)
  )
