/** The counter of requests by operation and result. */
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import type { Operation } from "../TokenError.js"

const requests = MetricKey.counter("effect_safire_token_requests_total", {
  description: "Requests to token, introspection and revocation endpoints, by operation and result",
  incremental: true
})

/** By operation and result, of which there are few. `Metric.tagged` would look up the counter at each increment. */
const counters = new Map<string, Metric.Metric.Counter<number>>()

const counterOf = (operation: Operation, result: string): Metric.Metric.Counter<number> => {
  const key = `${operation} ${result}`
  const known = counters.get(key)
  if (known !== undefined) return known
  const counter = Metric.fromMetricKey(
    requests.pipe(MetricKey.tagged("operation", operation), MetricKey.tagged("result", result))
  )
  counters.set(key, counter)
  return counter
}

export const count = (operation: Operation, result: string): Effect.Effect<void> =>
  Metric.increment(counterOf(operation, result))
