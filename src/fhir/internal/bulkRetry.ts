/**
 * How long a bulk export waits for a server that is busy or down. An export runs for hours: a restart of the server or
 * a rate limit must not end it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { type FhirError, isFhirError } from "../FhirError.js"
import type { Progress } from "./bulkCheckpoint.js"

/**
 * How often and after which delays a file is requested again.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  /**
   * How long the status requests or a file may fail temporarily, without progress, before the export fails. Temporary
   * failures are repeated after 1 second, growing to a minute, or after `Retry-After`. Default 15 minutes.
   */
  readonly maxOutage?: Duration.DurationInput | undefined
  /** The longest wait for a `Retry-After`; a longer one is shortened to it. Default 15 minutes. */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
}

const DEFAULT_MAX_OUTAGE = Duration.minutes(15)
const DEFAULT_MAX_RETRY_AFTER = Duration.minutes(15)
const FIRST_DELAY_MILLIS = 1_000
const MAX_DELAY_MILLIS = 60_000

/** Also `Retry-After: 0` gets a pause. */
const MIN_RETRY_AFTER = Duration.millis(100)

/** The wait for a `Retry-After`, within bounds. */
export const boundRetryAfter = (
  retryAfter: Duration.Duration,
  { maxRetryAfter = DEFAULT_MAX_RETRY_AFTER }: RetryOptions
): Duration.Duration => Duration.max(Duration.min(retryAfter, maxRetryAfter), MIN_RETRY_AFTER)

/** A failure that the same request may not repeat. */
export interface Temporary {
  readonly _tag: string
  readonly message: string
  readonly retryAfter?: Duration.Duration | undefined
}

const isTransientIssue = ({ issues }: FhirError): boolean => issues.some(({ code }) => code === "transient")

/**
 * Whether the request may succeed later. A 5xx with an OperationOutcome is final, unless an issue has the code
 * `transient`; one without comes from a proxy (Bulk Data Access 3.0, "Error Status").
 */
export const isTemporary = <E>(error: FhirError | E): error is (FhirError | E) & Temporary =>
  isFhirError(error)
    ? error.isRetryable || isTransientIssue(error) ||
      (error.reason === "Unavailable" && error.issues.length === 0)
    // The token source failed.
    : Predicate.isRecord(error) && Predicate.isString(error["message"]) && error["isRetryable"] === true

/** Whether the server itself asks to wait: this is not an outage. */
export const isAskedToWait = (error: Temporary): boolean =>
  isFhirError(error) &&
  (isTransientIssue(error) || error.reason === "RateLimited" ||
    (error.reason === "Unavailable" && error.retryAfter !== undefined))

/** Decides after each failure of one kind of request how long to wait, or that the failure is final. */
export interface Patience {
  /** Forgets the failures before, because there was progress. */
  readonly reset: () => void
  readonly next: (error: Temporary) => Effect.Effect<Duration.Duration | undefined>
}

export const makePatience = (options: RetryOptions): Patience => {
  const maxOutage = Duration.toMillis(options.maxOutage ?? DEFAULT_MAX_OUTAGE)
  let since: number | undefined
  let delay = FIRST_DELAY_MILLIS
  const reset = () => {
    since = undefined
    delay = FIRST_DELAY_MILLIS
  }
  return {
    reset,
    next: (error) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        since = isAskedToWait(error) ? undefined : since ?? now
        if (since !== undefined && now - since >= maxOutage) return undefined
        const current = delay
        delay = Math.min(delay * 2, MAX_DELAY_MILLIS)
        return error.retryAfter === undefined ? Duration.millis(current) : boundRetryAfter(error.retryAfter, options)
      })
  }
}

/** The members of a progress report that depend on the phase. */
export type Wait = Pick<Progress, "phase" | "message" | "delay" | "retryAfter" | "error">

/** The members of a progress report during a wait. */
export const waiting = (
  delay: Duration.Duration,
  about: {
    readonly error?: Temporary | undefined
    readonly message?: string | undefined
    readonly retryAfter?: Duration.Duration | undefined
  }
): Wait => ({
  phase: "Waiting",
  message: about.message,
  delay,
  retryAfter: about.retryAfter ?? about.error?.retryAfter,
  error: about.error
})
