/**
 * The complete SMART flow in a terminal: `npm run demo`, with `-- --backend`, `-- --launch <url>`, `-- --udap` or
 * `-- --json`; see docs/demo.md.
 */
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import {
  BackendServices,
  ClientAuthenticationConfig,
  FhirClient,
  LaunchRequest,
  SmartClient,
  SmartServers
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Environment from "./Environment.js"
import * as Flow from "./flow.js"
import * as Report from "./Report.js"
import * as Udap from "./Udap.js"

const USAGE = `npm run demo -- [--backend | --launch <launch URL> | --launch sandbox] [--udap] [--json]

--launch follows an EHR launch: of a launch URL, or one that the sandbox EHR starts. Without SMART_FHIR_BASE_URL the demo
starts its own sandbox EHR. With it, the demo uses that server with SMART_CLIENT_ID, SMART_REDIRECT_URI (a loopback address),
SMART_SCOPES, and SMART_CLIENT_SECRET or SMART_PRIVATE_KEY.

--udap registers the demo with a certificate, and authenticates with it: with SMART_FHIR_BASE_URL, that of UDAP_CERTIFICATE
and UDAP_PRIVATE_KEY in the community UDAP_COMMUNITY, which has the anchors UDAP_ANCHORS.`

const args = Effect.try(() => {
  const { values } = parseArgs({
    options: {
      backend: { type: "boolean", default: false },
      launch: { type: "string" },
      udap: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false }
    }
  })
  if (values.backend && values.launch !== undefined) throw new Error("--backend and --launch exclude each other")
  return values
})

/** The parameters of an EHR launch: of the given URL, or of a launch that the sandbox starts. */
const launchUrlOf = (asked: string, environment: Environment.Environment) =>
  asked === "sandbox" && Option.isSome(environment.sandbox)
    ? Effect.map(
      environment.sandbox.value.launch({ patient: "patient-beta" }),
      (launch) => new URLSearchParams(launch).toString()
    )
    : Effect.succeed(asked)

/** Accepts only launches from the configured server. */
const trusted = SmartServers.layerTrustedIssuers.pipe(Layer.provide(SmartServers.layerFromClient))

const run = Effect.gen(function*() {
  const { backend, help, json, launch: launchUrl, udap } = yield* Effect.catchAll(
    args,
    () => Effect.zipRight(Console.error(USAGE), Effect.fail("usage"))
  )
  if (help) return yield* Console.log(USAGE)
  const report = Report.make(json)
  // Without a configured server, the demo uses the server of the launch URL.
  const iss = launchUrl === undefined ? undefined : Either.getOrUndefined(LaunchRequest.parse(launchUrl))?.iss

  yield* Effect.gen(function*() {
    const environment = yield* report.step("start", Environment.make({ backend, iss, udap }), ({ sandbox }) => ({
      text: sandbox._tag === "Some"
        ? `sandbox EHR at ${sandbox.value.fhirBaseUrl}`
        : "the server of the environment is used"
    }))
    // With UDAP, another layer authenticates the client; all that follows is the same.
    const client = Option.isSome(environment.udap)
      ? yield* Effect.withConfigProvider(Udap.connect(report, environment.udap.value, backend), environment.provider)
      // The same variables as for `SmartApp.layerConfig`.
      : Layer.provideMerge(SmartClient.layerConfig(), ClientAuthenticationConfig.layer)
    const smart = Layer.mergeAll(BackendServices.layerFromClient, FhirClient.layer).pipe(
      Layer.provideMerge(client),
      Layer.provide(Layer.setConfigProvider(environment.provider)),
      Layer.provideMerge(NodeTransport.layer()),
      Layer.provide(report.layerWarnings)
    )
    const services = yield* report.step("configure", Layer.build(smart), () => ({ text: "the client is configured" }))
    if (backend) return yield* Effect.provide(Flow.backend(report), services)
    const launch = launchUrl === undefined ? {} : yield* report.step(
      "launch",
      Effect.flatMap(launchUrlOf(launchUrl, environment), LaunchRequest.decode).pipe(
        Effect.provide(trusted),
        Effect.provide(services)
      ),
      ({ iss }) => ({ text: `an EHR launch from ${iss}`, found: { iss } })
    )
    yield* Effect.provide(Flow.app(report, environment, launch), services)
  }).pipe(Effect.scoped)
}).pipe(Logger.withMinimumLogLevel(LogLevel.None))

NodeRuntime.runMain(run, { disableErrorReporting: true })
