/**
 * The freshness lifetime that a response declares, in milliseconds (RFC 9111, section 4.2.1, for a private cache).
 *
 * @internal
 */
export const millis = (
  headers: Readonly<Record<string, string | undefined>>,
  nowMillis: number
): number | undefined => {
  const directives = (headers["cache-control"] ?? "").toLowerCase().split(",").map((directive) => directive.trim())
  if (directives.includes("no-store") || directives.includes("no-cache")) return 0
  const maxAge = directives.map((directive) => /^max-age="?(\d+)"?$/.exec(directive)?.[1]).find((value) =>
    value !== undefined
  )
  if (maxAge !== undefined) {
    const age = Number(headers["age"] ?? 0)
    return Math.max(0, Number(maxAge) - (Number.isFinite(age) ? age : 0)) * 1000
  }
  const expires = headers["expires"]
  if (expires === undefined) return undefined
  // RFC 9111, section 5.3: an invalid date, "0" above all, means already expired. Date.parse reads "0" as a year.
  const at = /^[A-Za-z]{3,9},? /.test(expires) ? Date.parse(expires) : Number.NaN
  return Number.isNaN(at) ? 0 : Math.max(0, at - nowMillis)
}
