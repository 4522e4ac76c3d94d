/** Text for dates and durations. */

/** The day of a FHIR date, which may be only a year or a month. */
export const day = (fhirDate: string | undefined): string =>
  /^\d{4}(-\d{2}(-\d{2})?)?/.exec(fhirDate ?? "")?.[0] ?? "unknown date"

const counted = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? "" : "s"}`

/** `4 minutes 12 seconds`, `3 hours`. */
export const duration = (millis: number): string => {
  const seconds = Math.max(0, Math.round(millis / 1000))
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60
  ]
  if (days > 0) return [counted(days, "day"), ...(hours > 0 ? [counted(hours, "hour")] : [])].join(" ")
  if (hours > 0) return [counted(hours, "hour"), ...(minutes > 0 ? [counted(minutes, "minute")] : [])].join(" ")
  if (minutes > 0) {
    return [counted(minutes, "minute"), ...(seconds % 60 > 0 ? [counted(seconds % 60, "second")] : [])].join(" ")
  }
  return counted(seconds, "second")
}

/** What a step took. */
export const took = (millis: number): string =>
  millis < 10 ? `${millis.toFixed(1)} ms` : millis < 10_000 ? `${Math.round(millis)} ms` : duration(millis)
