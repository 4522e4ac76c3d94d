/**
 * Three defences against machines that are killed. A machine whose locks could not be renewed in time can keep them
 * without working: it ends, and its supervisor starts it again. A wake-up that was lost is repeated. So is a message
 * whose connection broke.
 */
import * as ShardId from "@effect/cluster/ShardId"
import * as Sharding from "@effect/cluster/Sharding"
import type * as Workflow from "@effect/workflow/Workflow"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** Ends when this machine has had no shard for the time; `shards` is the number of shards of the cluster. */
export const hasNoShard = (shards: number, limit: Duration.DurationInput) =>
  Effect.gen(function*() {
    const sharding = yield* Sharding.Sharding
    const limitMillis = Duration.toMillis(limit)
    const ids = Array.from({ length: shards }, (_, index) => ShardId.make("default", index + 1))
    let since = yield* Clock.currentTimeMillis
    while (true) {
      const now = yield* Clock.currentTimeMillis
      if (ids.some((id) => sharding.hasShardId(id))) since = now
      if (now - since >= limitMillis) return
      yield* Effect.sleep(limitMillis / 10)
    }
  })

const POLL_MILLIS = 500
const POLLS_BETWEEN_RESUMES = 60

/**
 * The exit of a workflow. A database that restarts is a defect of `poll`, which is repeated. After each 30 seconds
 * without a result, `resume` wakes the workflow and its children: it has no effect on those that run.
 */
export const resultOf = <A, E, R, E2, R2>(
  poll: Effect.Effect<Workflow.Result<A, E> | undefined, never, R>,
  resume: Effect.Effect<void, E2, R2>
) =>
  Effect.gen(function*() {
    for (let polls = 1;; polls++) {
      const result = yield* poll.pipe(Effect.sandbox, Effect.retry(Schedule.spaced("1 second")))
      if (result?._tag === "Complete") return result.exit
      if (polls % POLLS_BETWEEN_RESUMES === 0) {
        yield* Effect.catchAllCause(resume, (cause) => Effect.logWarning("the workflow could not be resumed", cause))
      }
      yield* Effect.sleep(POLL_MILLIS)
    }
  })

/**
 * Starts a workflow. A connection that breaks while the message is written is a defect: the message is sent again, for
 * up to a minute. The same execution then starts once, because its id comes from its payload.
 */
export const startAgain = <A, E, R>(start: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  start.pipe(
    Effect.sandbox,
    Effect.retry({ schedule: Schedule.spaced("1 second"), times: 60, while: Cause.isDie }),
    Effect.unsandbox
  )
