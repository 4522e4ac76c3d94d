/**
 * Dates in HTTP headers (RFC 9110, section 5.6.7).
 */

/**
 * Epoch milliseconds, or `NaN` for a text that is not an HTTP date. `Date.parse` accepts more than HTTP dates ("-5",
 * "3.5", "0"); an HTTP date begins with the name of its day.
 *
 * @internal
 */
export const parse = (text: string): number => {
  if (!/^[A-Za-z]{3,9},? /.test(text)) return Number.NaN
  // The form of `asctime` has no time zone. It means UTC, and `Date.parse` reads it as local time.
  return Date.parse(/ \d{4}$/.test(text) ? `${text} GMT` : text)
}
