/**
 * The cluster: runners find each other through a table in PostgreSQL and talk over TCP, without TLS and authentication.
 * Use a private network, and one database for one cluster.
 */
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { BackendServices, ClientAuthenticationConfig, FhirClient, SmartServers } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { hasNoShard } from "./watchdog.js"

/** `FLEET_DATABASE`, such as `postgres://user@host/fleet`. */
export const DatabaseLive = PgClient.layerConfig({
  url: Config.redacted("FLEET_DATABASE"),
  maxConnections: Config.succeed(6)
})

/** `SMART_SERVERS=north,south`, then `NORTH_FHIR_BASE_URL`, `NORTH_CLIENT_ID` and the variables of its credentials. */
export const FhirLive = Layer.mergeAll(FhirClient.layer, BackendServices.layer).pipe(
  Layer.provideMerge(SmartServers.layerConfig()),
  Layer.provide(ClientAuthenticationConfig.layer),
  Layer.provide(NodeTransport.layer())
)

/** How long a killed machine keeps its work: `FLEET_EXPIRY`, by default 35 seconds. */
const expiry = Config.withDefault(Config.duration("FLEET_EXPIRY"), Duration.seconds(35))

/** Equal on every runner. */
const SHARDS = 60

const timings = Effect.map(
  expiry,
  (expiry) => ({
    shardsPerGroup: SHARDS,
    shardLockExpiration: expiry,
    refreshAssignmentsInterval: Duration.times(expiry, 0.1),
    runnerHealthCheckInterval: Duration.times(expiry, 0.5),
    // The granularity of durable waits.
    entityMessagePollInterval: Duration.times(expiry, 0.1),
    entityTerminationTimeout: Duration.seconds(5)
  })
)

/** A machine that runs workflows. The others reach it at `FLEET_HOST` (127.0.0.1) and `FLEET_PORT`. */
export const RunnerLive = ClusterWorkflowEngine.layer.pipe(
  Layer.provideMerge(Layer.unwrapEffect(Effect.gen(function*() {
    const host = yield* Config.withDefault(Config.string("FLEET_HOST"), "127.0.0.1")
    const port = yield* Config.port("FLEET_PORT")
    return NodeClusterSocket.layer({
      shardingConfig: { ...(yield* timings), runnerAddress: Option.some(RunnerAddress.make(host, port)) }
    })
  })))
)

/** Ends when this machine takes no part in the cluster any more. */
export const isStuck = Effect.flatMap(expiry, (limit) => hasNoShard(SHARDS, Duration.times(limit, 3)))

/** A program that only starts workflows. */
export const ClientLive = ClusterWorkflowEngine.layer.pipe(
  Layer.provideMerge(
    Layer.unwrapEffect(
      Effect.map(timings, (shardingConfig) => NodeClusterSocket.layer({ clientOnly: true, shardingConfig }))
    )
  )
)
