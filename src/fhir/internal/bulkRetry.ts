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
import { FhirError, isFhirError } from "../FhirError.js"
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
   * failures are repeated after 1 second, growing to a minute, or after `Retry-After`. Default 15 minutes. A file whose
   * server itself asks to wait, with `Retry-After` or the code `transient`, has at least a day.
   */
  readonly maxOutage?: Duration.DurationInput | undefined
  /** The longest wait for a `Retry-After`; a longer one is shortened to it. Default 15 minutes. */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
}

const DEFAULT_MAX_OUTAGE = Duration.minutes(15)
const DEFAULT_MAX_RETRY_AFTER = Duration.minutes(15)
const DEFAULT_MAX_BUSY = Duration.days(1)
const FIRST_DELAY_MILLIS = 1_000
const MAX_DELAY_MILLIS = 60_000

/**
 * The wait for a `Retry-After`, at most `maxRetryAfter`. The standard delay replaces zero, which is also a date in the
 * past, such as that of a server whose clock is behind.
 */
export const boundRetryAfter = (
  retryAfter: Duration.Duration | undefined,
  standard: Duration.Duration,
  { maxRetryAfter = DEFAULT_MAX_RETRY_AFTER }: RetryOptions
): Duration.Duration =>
  retryAfter === undefined || Duration.toMillis(retryAfter) === 0 ? standard : Duration.min(retryAfter, maxRetryAfter)

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
  /** Fails with the error if it is final; its `attempts` are those since the last progress. */
  readonly next: <E extends Temporary>(error: E) => Effect.Effect<Duration.Duration, E>
}

/** `maxBusy`: how long the server itself may ask to wait. */
export const makePatience = (options: RetryOptions, maxBusy: Duration.DurationInput = DEFAULT_MAX_BUSY): Patience => {
  const maxOutage = Duration.toMillis(options.maxOutage ?? DEFAULT_MAX_OUTAGE)
  const maxTotal = Math.max(maxOutage, Duration.toMillis(maxBusy))
  let first: number | undefined
  let since: number | undefined
  let delay = FIRST_DELAY_MILLIS
  let attempts = 0
  const reset = () => {
    first = undefined
    since = undefined
    delay = FIRST_DELAY_MILLIS
    attempts = 0
  }
  return {
    reset,
    next: <E extends Temporary>(error: E) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        attempts += 1
        first ??= now
        since = isAskedToWait(error) ? undefined : since ?? now
        if (now - first >= maxTotal || (since !== undefined && now - since >= maxOutage)) {
          return Effect.fail(isFhirError(error) ? new FhirError({ ...error, attempts }) as unknown as E : error)
        }
        const current = delay
        delay = Math.min(delay * 2, MAX_DELAY_MILLIS)
        return Effect.succeed(boundRetryAfter(error.retryAfter, Duration.millis(current), options))
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
