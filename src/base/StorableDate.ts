import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"

/** The end of the year 9999: later years have more than four digits. */
const LAST_MILLIS = 253_402_300_799_999

/**
 * The date after a duration, at most the last date that can be stored.
 *
 * @internal
 */
export const later = (now: DateTime.Utc, duration: Duration.DurationInput): DateTime.Utc =>
  DateTime.unsafeMake(Math.min(DateTime.toEpochMillis(now) + Duration.toMillis(duration), LAST_MILLIS))
