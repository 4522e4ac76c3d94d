/**
 * A limit on the FHIR requests to each server, in one place for all callers: how many run at the same time, how many
 * start within an interval, and the limits that the server states in `Retry-After` (RFC 9110, section 10.2.3) and
 * `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { RateLimiter } from "./internal/rateLimiter.js"
import * as Limiter from "./internal/rateLimiter.js"

/**
 * How many requests, and how many at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many requests to one server run at the same time. A download counts until it begins. Default: no limit. */
  readonly concurrency?: number | undefined
  /** How many requests to one server start within any `interval`. Default: no limit. */
  readonly requests?: number | undefined
  /** Default 1 second. */
  readonly interval?: Duration.DurationInput | undefined
  /**
   * The longest pause that a server can demand. During a longer one, requests fail at once with a `FhirError` of the
   * reason `RateLimited`, and are not sent. Default 2 minutes.
   */
  readonly maxDelay?: Duration.DurationInput | undefined
}

/**
 * The limiter of the `FhirClient`s that are built with it; by default none.
 *
 * @since 0.1.0
 * @category tags
 */
export class RateLimit extends Context.Reference<RateLimit>()("effect-safire/RateLimit", {
  defaultValue: (): RateLimiter | undefined => undefined
}) {}

/**
 * Provide it to `FhirClient.layer` or to a layer that contains it. All clients of one build that have the same layer
 * share the limit. Requests start in the order in which they were made; an interrupted one gives up its place. The time
 * limit of a request begins when it starts.
 *
 * A unit of the server's quota counts as one request. If its requests cost more, the `RateLimit` header of the next
 * response corrects the count.
 *
 * @example
 * import { FhirClient, RateLimit } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const FhirLive = FhirClient.layer.pipe(
 *   Layer.provide(RateLimit.layer({ concurrency: 8, requests: 100, interval: "1 minute" }))
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  { concurrency = Infinity, interval = "1 second", maxDelay = "2 minutes", requests = Infinity }: Options = {}
): Layer.Layer<never> =>
  Layer.effect(
    RateLimit,
    Effect.sync(() =>
      Limiter.make({ concurrency: Math.max(1, concurrency), interval, maxDelay, requests: Math.max(1, requests) })
    )
  )
