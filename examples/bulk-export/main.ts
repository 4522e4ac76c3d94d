/**
 * Everything a server has, as a stream of resources, with a progress bar: `npx tsx examples/bulk-export/main.ts`. Here the server is a sandbox on a loopback port.
 */
import { createServer } from "node:http"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BackendServices, BulkExport, ClientAuthentication, FhirClient, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

const WIDTH = 30

const bar = ({ expected, message, phase, resources }: BulkExport.Progress): string => {
  const filled = expected === undefined || expected === 0 ? 0 : Math.round(WIDTH * resources / expected)
  return `\r[${"█".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${resources}${
    expected === undefined ? "" : ` of ${expected}`
  } ${phase === "Waiting" ? message ?? "waiting for the server" : ""}`.padEnd(80)
}

/** How many resources of each type there are. A program would store each `item.checkpoint` and go on from it after a restart (`from`). */
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
  const server = yield* Layer.build(
    SandboxEhr.layerServer().pipe(
      Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
  const smart = SmartClient.layer({
    fhirBaseUrl: Context.get(server, SandboxEhr.SandboxEhr).fhirBaseUrl,
    clientId: "sandbox-backend",
    scopes: ["system/*.rs"],
    allowInsecureLocalhost: true
  })
  const counts = yield* census.pipe(Effect.provide(
    Layer.mergeAll(FhirClient.layer, BackendServices.layerSingle).pipe(
      Layer.provide(smart),
      Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
      Layer.provide(NodeHttpClient.layerUndici)
    )
  ))
  yield* Console.log(`\n${Object.entries(counts).map(([type, count]) => `${type}: ${count}`).join("\n")}`)
  return counts
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("bulk-export/main.ts") === true) NodeRuntime.runMain(main)
