/**
 * The rate limits that a server states in its responses: `RateLimit` (draft-ietf-httpapi-ratelimit-headers, also with
 * several policies, as Medplum sends it) and the headers of its earlier drafts.
 *
 * @internal
 */

/** What a server still accepts within a window. */
export interface Quota {
  readonly policy: string
  readonly remaining: number
  /** The end of the window, in milliseconds from now. */
  readonly resetMillis: number
}

type HeaderMap = Readonly<Record<string, string | undefined>>

const MAX_HEADER = 2_000
const MAX_POLICIES = 10
/** A week. */
const MAX_RESET_MILLIS = 604_800_000

/** Some servers send the time of the end since 1970 instead of the seconds until then. */
const MIN_EPOCH_SECONDS = 1_000_000_000

/** The milliseconds until a window ends. */
const resetOf = (seconds: number, now: number): number =>
  Math.min(Math.max(0, seconds * 1000 - (seconds < MIN_EPOCH_SECONDS ? 0 : now)), MAX_RESET_MILLIS)

const quota = (
  policy: string,
  remaining: string | undefined,
  reset: string | undefined,
  now: number
): ReadonlyArray<Quota> =>
  remaining === undefined || reset === undefined || !/^\d{1,15}$/.test(remaining) || !/^\d{1,15}$/.test(reset)
    ? []
    : [{ policy, remaining: Number(remaining), resetMillis: resetOf(Number(reset), now) }]

/** `a=1;b=2` as a record. */
const parametersOf = (text: string): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(
    text.split(/[;,]/).map((parameter) => {
      const [name = "", value = ""] = parameter.split("=")
      return [name.trim().toLowerCase(), value.trim()]
    })
  )

/** `"requests";r=10;t=60, "fhirInteractions";r=400;t=60`, or `limit=100, remaining=10, reset=60` of draft 7. */
const fromRateLimit = (header: string, now: number): ReadonlyArray<Quota> => {
  const items = [...header.matchAll(/"([^"]{0,100})"([^"]*)/g)].slice(0, MAX_POLICIES)
  if (items.length === 0) {
    const { remaining, reset } = parametersOf(header)
    return quota("", remaining, reset, now)
  }
  return items.flatMap(([, policy = "", text = ""]) => {
    const { r, t } = parametersOf(text)
    return quota(policy, r, t, now)
  })
}

export const parse = (headers: HeaderMap, now: number): ReadonlyArray<Quota> => {
  const header = headers["ratelimit"]
  return header !== undefined
    ? fromRateLimit(header.slice(0, MAX_HEADER), now)
    : quota("", headers["ratelimit-remaining"]?.trim(), headers["ratelimit-reset"]?.trim(), now)
}
