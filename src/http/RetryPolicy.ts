/**
 * How often and after which delays failed requests are repeated. The library decides which requests may be repeated;
 * your `Schedule` decides the rest.
 *
 * The policy of a call (`withPolicy`) has precedence over that of a service's layer (`layer`), and that over
 * `transient`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import { catchFailure } from "../base/CatchFailure.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import * as Span from "../base/Span.js"

/**
 * The part of an error that decides about a retry. Structural, because this folder does not import the error classes.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryableError {
  readonly _tag: string
  readonly isRetryable: boolean
  readonly status?: number | undefined
  readonly retryAfter?: Duration.Duration | undefined
  /** `no`: the server did not act. `partly`: it processed some of several requests. `unknown`: it may have acted. */
  readonly processed?: "no" | "partly" | "unknown" | undefined
}

/**
 * The policy of retries: their number and delays. Its input is the error of the failed attempt.
 *
 * @since 0.1.0
 * @category models
 */
export type Policy = Schedule.Schedule<unknown, RetryableError>

/**
 * The longest `Retry-After` that a retry waits for: 30 seconds. A longer one ends the retries; the error has it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const retryAfterCap: Duration.Duration = Duration.seconds(30)

/**
 * One attempt.
 *
 * @since 0.1.0
 * @category constructors
 */
export const none: Policy = Schedule.stop

/**
 * Three attempts, exponential from 200 ms, with jitter.
 *
 * @since 0.1.0
 * @category constructors
 */
export const transient: Policy = Schedule.exponential("200 millis").pipe(
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(2))
)

/**
 * The policy of a service or a call. Default: `transient`.
 *
 * @since 0.1.0
 * @category tags
 */
export class RetryPolicy extends Context.Reference<RetryPolicy>()("effect-safire/RetryPolicy", {
  defaultValue: (): Policy => transient
}) {}

/**
 * The policy of all services that this layer is provided to.
 *
 * @example
 * import { RetryPolicy } from "effect-safire"
 * import * as Schedule from "effect/Schedule"
 *
 * export const persistent = RetryPolicy.layer(Schedule.intersect(Schedule.spaced("5 seconds"), Schedule.recurs(10)))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (policy: Policy): Layer.Layer<never> => Layer.succeed(RetryPolicy, policy)

/**
 * The policy of one call: `client.refresh(tokens).pipe(RetryPolicy.withPolicy(RetryPolicy.none))`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPolicy: {
  (policy: Policy): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, RetryPolicy>>
  <A, E, R>(self: Effect.Effect<A, E, R>, policy: Policy): Effect.Effect<A, E, Exclude<R, RetryPolicy>>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, policy: Policy) => Effect.provideService(self, RetryPolicy, policy))

/**
 * `withBuildTimeDefault` of the policy.
 *
 * @internal
 */
export const capture: Effect.Effect<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> =
  withBuildTimeDefault(RetryPolicy)

const retries = Metric.counter("effect_safire_retries_total", {
  description: "Repeated attempts, by the error of the failed attempt",
  incremental: true
})

/** The failed attempt in the event of its span. A message may mention a patient, so it is not in it. */
const attributesOf = (error: RetryableError): Readonly<Record<string, unknown>> => ({
  "error.type": error._tag,
  ...("reason" in error && typeof error.reason === "string" ? { "error.reason": error.reason } : {}),
  ...(error.status === undefined ? {} : { "http.response.status_code": error.status })
})

/**
 * Repeats `attempt`, which must build a new request each time it runs. Only `isRetryable` errors are repeated, and
 * `Retry-After` is the minimum of the schedule's delays. `unknown` applies after an error that leaves open whether the
 * server acted: repeat as after any other (`always`, for requests that change nothing), at most once more (`once`), or
 * not at all (`never`). Errors that are not `isOurs` are not repeated.
 *
 * @internal
 */
export const retryOurs =
  <E, Ours extends E & RetryableError>(unknown: "always" | "once" | "never", isOurs: (error: E) => error is Ours) =>
  <A, R>(attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    // Most attempts succeed: the schedule is set up after the first failure, which counts as the failure of its first
    // attempt.
    catchFailure(attempt, (first) => {
      if (!isOurs(first)) return Effect.fail(first)
      let mayHaveActed = false
      const mayRepeat = (error: RetryableError): boolean => {
        if (!error.isRetryable) return false
        if (error.retryAfter !== undefined && Duration.greaterThan(error.retryAfter, retryAfterCap)) return false
        if (unknown === "always") return true
        if (mayHaveActed) return false
        mayHaveActed = error.processed !== undefined && error.processed !== "no"
        return !mayHaveActed || unknown === "once"
      }
      const outcome: Effect.Effect<Effect.Effect<A, E>, Ours, R> = Effect.matchEffect(attempt, {
        onFailure: (error) => isOurs(error) ? Effect.fail(error) : Effect.succeed(Effect.fail(error)),
        onSuccess: (value) => Effect.succeed(Effect.succeed(value))
      })
      let isFirst = true
      const next = Effect.suspend(() => {
        if (!isFirst) return outcome
        isFirst = false
        return Effect.fail(first)
      })
      return Effect.flatMap(RetryPolicy, (policy) =>
        Effect.flatten(Effect.retry(
          next,
          policy.pipe(
            Schedule.whileInput(mayRepeat),
            Schedule.passthrough,
            // Runs only if another attempt follows.
            Schedule.modifyDelayEffect((error, delay) =>
              Effect.suspend(() => {
                const pause = Duration.max(delay, error.retryAfter ?? Duration.zero)
                return Effect.as(
                  Effect.zipRight(
                    Metric.increment(Metric.tagged(retries, "error", error._tag)),
                    Span.event("retry", { ...attributesOf(error), "retry.delay_ms": Duration.toMillis(pause) })
                  ),
                  pause
                )
              })
            )
          )
        )))
    })

const isAny = <E>(_error: E): _error is E => true

/**
 * `retryOurs` for all errors.
 *
 * @internal
 */
export const retry =
  (unknown: "always" | "once" | "never") =>
  <A, E extends RetryableError, R>(attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    retryOurs<E, E>(unknown, isAny)(attempt)
