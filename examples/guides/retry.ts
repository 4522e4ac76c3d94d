import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { TokenSet } from "effect-safire"
import { RetryPolicy, SmartClient } from "effect-safire"
import { SmartLive } from "./live.js"

const patient = Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(8)))

/** For everything that a layer builds. */
export const PatientLive = SmartLive.pipe(Layer.provide(RetryPolicy.layer(patient)))

/** For one call: it has priority over the policy of the layer. */
export const refreshOnce = (tokens: TokenSet.TokenSet) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens)).pipe(
    RetryPolicy.withPolicy(RetryPolicy.none)
  )
