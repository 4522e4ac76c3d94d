import * as PersistenceRedis from "@effect/experimental/Persistence/Redis"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Discovery, SmartClient } from "effect-safire"
import { PersistedDiscovery } from "effect-safire/persistence"

/** The store of the shared metadata: Redis, or another `ResultPersistence`. */
const PersistenceLive = PersistenceRedis.layerResultConfig({ host: Config.string("REDIS_HOST") })

/** `PersistedDiscovery` keeps metadata in memory, too. All other dependencies come from `layerDependencies`. */
export const SmartLive = SmartClient.layerWithoutDependencies({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart"
}).pipe(
  Layer.provide(PersistedDiscovery.layer()),
  Layer.provide(SmartClient.layerDependencies()),
  Layer.provide(PersistenceLive)
)

export const tokenEndpoint = (fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const discovery = yield* Discovery.Discovery
    const configuration = yield* discovery.configuration(fhirBaseUrl)
    return configuration.tokenEndpoint
  })

export const invalidate = (fhirBaseUrl: string) =>
  Effect.flatMap(Discovery.Discovery, (discovery) => discovery.invalidate(fhirBaseUrl))
