/**
 * A process of its own that asks for one server's configuration through a Redis and prints its token endpoint: `port
 * fhirBaseUrl`.
 */
import * as PersistenceRedis from "@effect/experimental/Persistence/Redis"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedDiscovery from "../../src/persistence/PersistedDiscovery.js"
import * as Discovery from "../../src/server/Discovery.js"

const [port = "", fhirBaseUrl = ""] = process.argv.slice(2)

Effect.flatMap(
  Discovery.Discovery,
  (discovery) => discovery.configuration(fhirBaseUrl, { allowInsecureLocalhost: true })
).pipe(
  Effect.tap(({ tokenEndpoint }) => Effect.sync(() => process.stdout.write(String(tokenEndpoint)))),
  Effect.provide(
    PersistedDiscovery.layer().pipe(
      Layer.provide(PersistenceRedis.layerResult({ host: "127.0.0.1", port: Number(port) })),
      Layer.provide(FetchHttpClient.layer)
    )
  ),
  Effect.runPromise
).then(
  () => process.exit(0),
  (failure: unknown) => {
    process.stderr.write(String(failure))
    process.exit(1)
  }
)
