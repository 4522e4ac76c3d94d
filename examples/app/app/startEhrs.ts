/** Starts the EHRs, each on its own port of 127.0.0.1: to a browser another site than the app on localhost. */
import { createServer } from "node:http"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import { ClientCertificate } from "effect-safire/udap"
import * as EhrSite from "../ehr/index.js"
import type { Ehr } from "./DemoHospitals.js"
import * as OpenEhr from "./OpenEhr.js"
import type { Operator } from "./Registrations.js"
import { CLIENT_URI } from "./Registrations.js"

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

/** Starts an EHR of a trust community, and gives the app what its operator would get from the community. */
const startUdap = (ehr: Ehr, app: EhrSite.App) =>
  Effect.gen(function*() {
    const server = yield* Effect.map(listening(ehr.port), Context.get(HttpServer.HttpServer))
    const { httpApp, sandbox, udap } = yield* EhrSite.make(`http://127.0.0.1:${ehr.port}`, siteOptions(ehr, app))
    yield* server.serve(httpApp).pipe(HttpMiddleware.withTracerDisabledWhenEffect(() => true))
    return { sandbox, operator: udap === undefined ? undefined : yield* operatorAt(udap) }
  })

const operatorAt = (udap: SandboxUdap.Service) =>
  Effect.gen(function*() {
    const community = SandboxUdap.communityOne
    const { chainPem, privateKeyPem } = yield* udap.issueCertificate({ uri: CLIENT_URI, community })
    const certificate = yield* ClientCertificate.fromPem({ chain: chainPem, privateKey: privateKeyPem })
    const anchors = yield* udap.anchors(community)
    const operator: Operator = {
      community,
      certificate,
      trust: { communities: { [community]: { anchors } }, allowInsecureLocalhost: true }
    }
    return operator
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

/** The sandboxes, and the operators of the app in trust communities, by key. `app` can be launched from all of them. */
export const startEhrs = (ehrs: ReadonlyArray<Ehr>, app: EhrSite.App) =>
  Effect.gen(function*() {
    const sandboxes = new Map<string, SandboxEhr.Service>()
    const operators = new Map<string, Operator>()
    for (const ehr of ehrs) {
      if (ehr.options.udap === undefined) {
        sandboxes.set(ehr.key, yield* ehr.isOpen ? startOpen(ehr, app) : startClosed(ehr, app))
      } else {
        const { operator, sandbox } = yield* startUdap(ehr, app)
        sandboxes.set(ehr.key, sandbox)
        if (operator !== undefined) operators.set(ehr.key, operator)
      }
    }
    return { sandboxes, operators }
  })
