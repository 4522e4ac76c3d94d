/**
 * One launch as a trace: `npx tsx examples/opentelemetry/main.ts` prints its spans. An app exports them to a collector:
 * replace the exporter by `OTLPTraceExporter` of `@opentelemetry/exporter-trace-otlp-http`.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FhirClient, Sessions, SessionStore, SmartApp } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import * as Sandbox from "../support/sandbox.js"
import * as Waterfall from "./waterfall.js"

const redirectUri = "https://app.example.org/callback"

/** The app for one user: the launch, the callback, and the patient's record. */
const launch = (ehr: SandboxEhr.Service) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const fhir = yield* FhirClient.FhirClient
    const { url } = yield* sessions.startLaunch()
    const callback = yield* ehr.approve(url, { patient: "patient-beta" })
    // The server is busy for a moment: the trace shows the retry.
    yield* ehr.fault("token", SandboxEhr.Fault.status(503), 1)
    const session = yield* sessions.completeLaunch(callback)
    return yield* fhir.forSession(session).patient()
  }).pipe(Effect.withSpan("one launch"))

export const main = Effect.gen(function*() {
  const ehr = yield* Sandbox.start({
    clients: [{ clientId: "growth-chart", redirectUris: [redirectUri], authentication: { method: "none" } }]
  })
  const app = SmartApp.layer({
    name: "hospital",
    fhirBaseUrl: ehr.fhirBaseUrl,
    clientId: "growth-chart",
    redirectUri,
    scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"],
    allowInsecureLocalhost: true
  }).pipe(Layer.provide(SessionStore.layerMemory), Layer.provide(NodeTransport.layer()))

  const exporter = new InMemorySpanExporter()
  const telemetry = NodeSdk.layer(() => ({
    resource: { serviceName: "growth-chart" },
    spanProcessor: new SimpleSpanProcessor(exporter)
  }))
  return yield* launch(ehr).pipe(
    Effect.provide(app),
    Effect.andThen(() => Waterfall.make(exporter.getFinishedSpans())),
    Effect.provide(telemetry)
  )
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("opentelemetry/main.ts") === true) {
  main.pipe(Effect.flatMap((rows) => Console.log(Waterfall.toText(rows))), NodeRuntime.runMain)
}
