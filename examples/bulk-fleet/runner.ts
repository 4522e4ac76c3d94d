/** One machine of the fleet: `FLEET_PORT=34501 npx tsx examples/bulk-fleet/runner.ts`. Start as many as you like. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Layer from "effect/Layer"
import { DatabaseLive, FhirLive, RunnerLive } from "./cluster.js"
import * as Tables from "./tables.js"
import { WorkflowsLive } from "./workflows.js"

WorkflowsLive.pipe(
  Layer.provide(RunnerLive),
  Layer.tap(() => Console.log("ready")),
  Layer.provide(FhirLive),
  Layer.provideMerge(Layer.effectDiscard(Tables.create)),
  Layer.provide(DatabaseLive),
  Layer.launch,
  NodeRuntime.runMain
)
