import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { AuthorizationCallback, PendingAuthorization } from "effect-safire"
import { RetryPolicy, SmartClient } from "effect-safire"

/** After 2 and 4 seconds, more or less, and not again. */
const backoff = Schedule.exponential("2 seconds").pipe(
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(2))
)

/** For this call. `RetryPolicy.layer(backoff)` is for everything that a layer builds. */
export const exchangeWithRetry = (
  url: AuthorizationCallback.Callback,
  pending: PendingAuthorization.PendingAuthorization
) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.exchange(url, pending)).pipe(
    RetryPolicy.withPolicy(backoff)
  )
