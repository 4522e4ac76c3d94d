import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"

/** The end of the year 9999, beyond which dates are not written as four digits. */
const LAST_MILLIS = 253_402_300_799_999

/**
 * A moment that can be stored: an endless duration leads to the last one there is, rather than to a date that cannot be written.
 *
 * @internal
 */
export const later = (now: DateTime.Utc, duration: Duration.DurationInput): DateTime.Utc =>
  DateTime.unsafeMake(Math.min(DateTime.toEpochMillis(now) + Duration.toMillis(duration), LAST_MILLIS))
