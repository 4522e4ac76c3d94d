/**
 * The `Retry-After` header (RFC 9110, section 10.2.3), in both of its forms.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * The time to wait from `nowMillis` on. A date that has passed means no wait; what is neither seconds nor a date means nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (header: string | undefined, nowMillis: number): Duration.Duration | undefined => {
  const value = header?.trim()
  if (value === undefined || value === "") return undefined
  if (/^\d+$/.test(value)) return Duration.seconds(Number(value))
  // Date.parse reads far more than HTTP dates do ("-5", "3.5"); an HTTP date begins with the name of its day.
  if (!/^[A-Za-z]{3,9},? /.test(value)) return undefined
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Duration.millis(Math.max(0, at - nowMillis))
}
