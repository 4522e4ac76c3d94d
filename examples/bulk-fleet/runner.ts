/**
 * One machine of the fleet: `FLEET_PORT=34501 npx tsx examples/bulk-fleet/runner.ts`. Start as many as you like, under
 * a supervisor that starts a program again when it has ended.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DatabaseLive, FhirLive, isStuck, RunnerLive } from "./cluster.js"
import * as Tables from "./tables.js"
import { WorkflowsLive } from "./workflows.js"

/** A machine that is stuck does not shut down cleanly either. */
const exitIfStuck = Effect.zipRight(
  isStuck,
  Effect.zipRight(
    Effect.logFatal("this machine has had no shard for too long: start it again"),
    Effect.sync(() => process.exit(1))
  )
)

WorkflowsLive.pipe(
  Layer.merge(Layer.scopedDiscard(Effect.forkScoped(exitIfStuck))),
  Layer.provide(RunnerLive),
  Layer.tap(() => Console.log("ready")),
  Layer.provide(FhirLive),
  Layer.provideMerge(Layer.effectDiscard(Tables.create)),
  Layer.provide(DatabaseLive),
  Layer.launch,
  NodeRuntime.runMain
)
