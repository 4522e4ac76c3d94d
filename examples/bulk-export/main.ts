/**
 * Everything a server has, as a stream of resources, with a progress bar: `npx tsx examples/bulk-export/main.ts`. Here
 * the server is a sandbox on a loopback port.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BackendServices, BulkExport, ClientAuthentication, FhirClient, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import * as Sandbox from "../support/sandbox.js"

const WIDTH = 30

const bar = ({ expected, message, phase, resources }: BulkExport.Progress): string => {
  const filled = expected === undefined || expected === 0 ? 0 : Math.round(WIDTH * resources / expected)
  return `\r[${"█".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${resources}${
    expected === undefined ? "" : ` of ${expected}`
  } ${phase === "Waiting" ? message ?? "waiting for the server" : ""}`.padEnd(80)
}

/**
 * How many resources of each type there are. A program would store each `item.checkpoint` and go on from it after a
 * restart (`from`).
 */
export const census = Effect.gen(function*() {
  const fhir = yield* FhirClient.FhirClient
  return yield* BulkExport.run(fhir.forBackend(), {
    onProgress: (progress) => Effect.sync(() => void process.stderr.write(bar(progress)))
  }).pipe(
    Stream.runFold({} as Readonly<Record<string, number>>, (counts, { resource: { resourceType } }) => ({
      ...counts,
      [resourceType]: (counts[resourceType] ?? 0) + 1
    }))
  )
})

export const main = Effect.gen(function*() {
  const { fhirBaseUrl } = yield* Sandbox.start()
  const smart = SmartClient.layer({
    fhirBaseUrl,
    clientId: "sandbox-backend",
    scopes: ["system/*.rs"],
    allowInsecureLocalhost: true
  })
  const counts = yield* census.pipe(Effect.provide(
    Layer.mergeAll(FhirClient.layer, BackendServices.layerFromClient).pipe(
      Layer.provide(smart),
      Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
      Layer.provide(NodeTransport.layer())
    )
  ))
  yield* Console.log(`\n${Object.entries(counts).map(([type, count]) => `${type}: ${count}`).join("\n")}`)
  return counts
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("bulk-export/main.ts") === true) NodeRuntime.runMain(main)
