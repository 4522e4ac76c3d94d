/**
 * The main job, end to end, in a terminal: `npm run demo`, and with `-- --backend`, `-- --launch <url>`, `-- --json`. README and docs say more.
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
  ClientAuthentication,
  FhirClient,
  LaunchRequest,
  SmartClient,
  SmartServers
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Report from "./Report.js"
import * as Setting from "./Setting.js"
import * as Walk from "./walk.js"

const USAGE = `npm run demo -- [--backend | --launch <launch URL> | --launch sandbox] [--json]

With --launch it follows an EHR launch: that of a launch URL, or one that the sandbox EHR starts. Without SMART_FHIR_BASE_URL the demo starts a sandbox EHR of its own. With it, it goes to that server as the client of
SMART_CLIENT_ID, SMART_REDIRECT_URI (a loopback address), SMART_SCOPES and SMART_CLIENT_SECRET or SMART_PRIVATE_KEY.`

const args = Effect.try(() => {
  const { values } = parseArgs({
    options: {
      backend: { type: "boolean", default: false },
      launch: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false }
    }
  })
  if (values.backend && values.launch !== undefined) throw new Error("--backend and --launch exclude each other")
  return values
})

/** An EHR launch, if one is asked for: its URL, or the sandbox's own. */
const launchUrlOf = (asked: string, setting: Setting.Setting) =>
  asked === "sandbox" && Option.isSome(setting.sandbox)
    ? Effect.map(setting.sandbox.value.launch({ patient: "patient-beta" }), (launch) =>
      new URLSearchParams(launch).toString())
    : Effect.succeed(asked)

/** A launch is followed only if it comes from the server that this client is for. */
const trusted = SmartServers.layerTrustedIssuers.pipe(Layer.provide(SmartServers.layerFromClient))

const run = Effect.gen(function*() {
  const { backend, help, json, launch: launchUrl } = yield* Effect.catchAll(
    args,
    () => Effect.zipRight(Console.error(USAGE), Effect.fail("usage"))
  )
  if (help) return yield* Console.log(USAGE)
  const report = Report.make(json)
  // Whoever types a launch URL and configures no server means the one in it.
  const iss = launchUrl === undefined ? undefined : Either.getOrUndefined(LaunchRequest.parse(launchUrl))?.iss

  yield* Effect.gen(function*() {
    const setting = yield* report.step("start", Setting.make({ backend, iss }), ({ sandbox }) => ({
      text: sandbox._tag === "Some"
        ? `sandbox EHR at ${sandbox.value.fhirBaseUrl}`
        : "the server of the environment is used"
    }))
    const smart = Layer.mergeAll(BackendServices.layerFromClient, FhirClient.layer).pipe(
      // From the same variables as the authentication inside of `SmartClient.layerConfig()`.
      Layer.provideMerge(Layer.merge(SmartClient.layerConfig(), ClientAuthentication.layerConfig)),
      Layer.provide(Layer.setConfigProvider(setting.provider)),
      Layer.provideMerge(NodeTransport.layer()),
      Layer.provide(report.layerWarnings)
    )
    const services = yield* report.step("configure", Layer.build(smart), () => ({ text: "the client is configured" }))
    if (backend) return yield* Effect.provide(Walk.backend(report), services)
    const launch = launchUrl === undefined ? {} : yield* report.step(
      "launch",
      Effect.flatMap(launchUrlOf(launchUrl, setting), LaunchRequest.decode).pipe(
        Effect.provide(trusted),
        Effect.provide(services)
      ),
      ({ iss }) => ({ text: `an EHR launch from ${iss}`, found: { iss } })
    )
    yield* Effect.provide(Walk.app(report, setting, launch), services)
  }).pipe(Effect.scoped)
}).pipe(Logger.withMinimumLogLevel(LogLevel.None))

NodeRuntime.runMain(run, { disableErrorReporting: true })
