/**
 * The `Retry-After` header (RFC 9110, section 10.2.3), in both of its forms.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as HttpDate from "../base/HttpDate.js"

/** A week. A server may send a number that neither a timer (24 days) nor a store can hold. */
const LONGEST_MILLIS = 604_800_000

/** From zero to a week; `NaN` counts as zero. */
const bounded = (millis: number): number => Math.min(Math.max(0, Number.isNaN(millis) ? 0 : millis), LONGEST_MILLIS)

/**
 * The time to wait from `nowMillis` on, a week at most: zero for a date in the past, `undefined` for an invalid header.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (header: string | undefined, nowMillis: number): Duration.Duration | undefined => {
  const value = (header ?? "").trim()
  if (/^\d+$/.test(value)) return Duration.millis(bounded(Number(value) * 1000))
  const at = HttpDate.parse(value)
  return Number.isNaN(at) ? undefined : Duration.millis(bounded(at - nowMillis))
}

/**
 * The encoding in errors: milliseconds within the same limit, so that every encoded error can be decoded.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FromMillis: Schema.Schema<Duration.Duration, number> = Schema.transform(
  Schema.Number,
  Schema.DurationFromSelf,
  {
    strict: true,
    decode: (millis) => Duration.millis(bounded(millis)),
    encode: (duration) => bounded(Duration.toMillis(duration))
  }
).annotations({
  identifier: "RetryAfter",
  arbitrary: () => (fc) => fc.integer({ min: 0, max: LONGEST_MILLIS }).map((millis) => Duration.millis(millis))
})

/** For a message, after what happened. */
export const print = (retryAfter: Duration.Duration | undefined): string =>
  retryAfter === undefined ? "" : `, Retry-After ${Duration.format(retryAfter)}`
