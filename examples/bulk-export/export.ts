/** Exports all that the service may read into a directory: `npx tsx export.ts data`. Run it again after a failure. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BackendServices, ClientAuthenticationConfig, FhirClient, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { toNdjson } from "./ndjson.js"

const program = Effect.gen(function*() {
  const fhir = yield* FhirClient.FhirClient
  const lengths = yield* toNdjson(fhir.forBackend(), process.argv[2] ?? ".", {
    of: "patients",
    onProgress: ({ expected, filesDone, message, phase, resources }) =>
      Console.log(`${phase}: ${message ?? ""} ${resources} of ${expected ?? "?"} resources, ${filesDone} files done`)
  })
  yield* Console.log(Object.entries(lengths).map(([type, bytes]) => `${type}: ${bytes} bytes`).join("\n"))
})

/** The configuration is in the environment: see docs/backend.md. */
const MainLive = Layer.mergeAll(BackendServices.layerFromClient, FhirClient.layer).pipe(
  Layer.provide(SmartClient.layerConfig()),
  Layer.provide(ClientAuthenticationConfig.layer),
  Layer.provide(NodeTransport.layer())
)

program.pipe(Effect.provide(MainLive), NodeRuntime.runMain)
