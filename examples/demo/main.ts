/**
 * The main job, end to end, in a terminal: `npm run demo`, and with `-- --backend`, `-- --launch <url>`, `-- --json`. README and docs say more.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { FhirClient, SmartClient } from "effect-safire"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { parseArgs } from "node:util"
import * as Report from "./Report.js"
import * as Setting from "./Setting.js"
import * as Walk from "./walk.js"

const USAGE = `npm run demo -- [--backend] [--launch <launch URL>] [--json]

Without SMART_FHIR_BASE_URL the demo starts a sandbox EHR of its own. With it, it goes to that server as the client of
SMART_CLIENT_ID, SMART_REDIRECT_URI (a loopback address), SMART_SCOPES and SMART_CLIENT_SECRET or SMART_PRIVATE_KEY.`

const args = Effect.try(() =>
  parseArgs({
    options: {
      backend: { type: "boolean", default: false },
      launch: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false }
    }
  }).values
)

/** What an EHR calls an app's launch URL with. */
const launchOf = (url: string | undefined): SmartClient.AuthorizeOptions => {
  const params = url === undefined || !URL.canParse(url) ? undefined : new URL(url).searchParams
  return { iss: params?.get("iss") ?? undefined, launch: params?.get("launch") ?? undefined }
}

const run = Effect.gen(function*() {
  const { backend, help, json, launch: launchUrl } = yield* Effect.catchAll(args, () =>
    Effect.zipRight(Console.error(USAGE), Effect.fail("usage")))
  if (help) return yield* Console.log(USAGE)
  const report = Report.make(json)
  const launch = launchOf(launchUrl)

  yield* Effect.gen(function*() {
    const setting = yield* report.step("start", Setting.make({ backend, iss: launch.iss }), ({ sandbox }) => ({
      text: sandbox._tag === "Some"
        ? `sandbox EHR at ${sandbox.value.fhirBaseUrl}`
        : "the server of the environment is used"
    }))
    const smart = Layer.mergeAll(SmartClient.layerConfig, FhirClient.layer).pipe(
      Layer.provide(Layer.setConfigProvider(setting.provider)),
      Layer.provideMerge(NodeHttpClient.layerUndici),
      Layer.provide(report.layerWarnings)
    )
    const services = yield* report.step("configure", Layer.build(smart), () => ({ text: "the client is configured" }))
    yield* Effect.provide(backend ? Walk.backend(report) : Walk.app(report, setting, launch), services)
  }).pipe(Effect.scoped)
}).pipe(Logger.withMinimumLogLevel(LogLevel.None))

NodeRuntime.runMain(run, { disableErrorReporting: true })
