/** One process of the app: a registry of two clients on one metadata cache, which it shares with other processes. */
import * as Persistence from "@effect/experimental/Persistence"
import * as NodeKeyValueStore from "@effect/platform-node/NodeKeyValueStore"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, SmartClient, SmartServers } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { PersistedDiscovery } from "effect-safire/persistence"

const main = Effect.gen(function*() {
  const servers = yield* SmartServers.SmartServers
  const configurations = yield* Effect.forEach(
    yield* servers.keys,
    (key) => Effect.flatMap(servers.client(key), (client) => client.configuration),
    { concurrency: "unbounded" }
  )
  yield* Console.log(
    `process ${process.pid}: ${configurations.length} clients know where to get tokens, ` +
      configurations.map(({ tokenEndpoint }) => new URL(tokenEndpoint ?? "").pathname).join(" and ")
  )
})

/**
 * Replaces the cache in memory, with the same rules: a document is not stored for longer than the server
 * allows.
 */
const SharedDiscovery = Layer.unwrapEffect(
  Effect.map(Config.string("METADATA_DIRECTORY"), (directory) =>
    PersistedDiscovery.layer().pipe(
      Layer.provide(Persistence.layerResultKeyValueStore),
      Layer.provide(NodeKeyValueStore.layerFileSystem(directory))
    ))
)

const ServersLive = Layer.unwrapEffect(
  Effect.map(Config.string("FHIR_BASE_URL"), (fhirBaseUrl) => {
    const server = { fhirBaseUrl, allowInsecureLocalhost: true, authentication: ClientAuthentication.makePublic }
    return SmartServers.layerWithoutDependencies({
      chart: { ...server, clientId: "growth-chart" },
      report: { ...server, clientId: "population-report" }
    })
  })
)

main.pipe(
  Effect.provide(
    ServersLive.pipe(
      Layer.provide(SharedDiscovery),
      Layer.provide(SmartClient.layerDependencies()),
      Layer.provide(NodeTransport.layer())
    )
  ),
  NodeRuntime.runMain
)
