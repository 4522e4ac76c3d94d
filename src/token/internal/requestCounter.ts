/** The counter of requests to token, introspection and revocation endpoints, for operators. */
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import type { Operation } from "../TokenError.js"

const requests = MetricKey.counter("effect_safire_token_requests_total", {
  description: "Requests to token, introspection and revocation endpoints, by operation and result",
  incremental: true
})

/** By operation and result, of which there are few. `Metric.tagged` would look up the counter at each increment. */
const counters = new Map<string, Metric.Metric.Counter<number>>()

/** Not an effect, which would take longer than all else here. */
export const count = (operation: Operation, result: string, fiber: Fiber.RuntimeFiber<unknown, unknown>): void => {
  const key = `${operation} ${result}`
  const counter = counters.get(key) ?? Metric.fromMetricKey(
    requests.pipe(MetricKey.tagged("operation", operation), MetricKey.tagged("result", result))
  )
  counters.set(key, counter)
  counter.unsafeUpdate(1, fiber.getFiberRef(FiberRef.currentMetricLabels))
}
