/**
 * What an operation costs when there is more of everything: sessions in a store, servers in a registry, callers at
 * once.
 */
import type * as Child from "./Child.js"
import type { Name } from "./Contender.js"
import { isAvailable } from "./databases.js"
import { CALLERS, MOST_SESSIONS, SERVERS, SESSIONS, type StoreName } from "./growthSizes.js"
import { cpuOf, sample, type Workers } from "./rounds.js"
import type { Stores } from "./Setting.js"
import { spread } from "./statistics.js"

export interface GrowthResult {
  readonly title: string
  /** Microseconds of processor time for one operation, by size. */
  readonly cpuMicros: ReadonlyArray<readonly [size: number, micros: number]>
}

/** Each of ten thousand callers makes some requests in this time. */
const MILLIS = 2000

/** The client of a server is made at its first use, which is not growth. */
const MOST_FIRST_USES = 20_000

/** Of some rounds at one size. */
const cost = async (
  child: Child.Child,
  work: string,
  concurrency: number,
  rounds: number,
  size = 0
): Promise<number> => {
  let operations = 0
  do {
    operations += (await sample(child, { work, concurrency, millis: MILLIS })).operations
  } while (operations < Math.min(2 * size, MOST_FIRST_USES))
  const found: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    found.push(cpuOf(await sample(child, { work, concurrency, millis: MILLIS })))
  }
  return spread(found).median
}

const filled = async (
  child: Child.Child,
  title: string,
  what: string,
  sizes: ReadonlyArray<number>,
  concurrency: number,
  rounds: number
): Promise<GrowthResult> => {
  const cpuMicros: Array<readonly [number, number]> = []
  for (const size of sizes) {
    // A deadline that has passed: once.
    await sample(child, { work: `fill-${what}-${size}`, concurrency: 1, millis: 0 })
    cpuMicros.push([size, await cost(child, `grown-${what}`, concurrency, rounds, size)])
  }
  return { title, cpuMicros }
}

const TITLES: Readonly<Record<StoreName, string>> = {
  memory: "a session read, in memory",
  files: "a session read, in files",
  sqlite: "a session read, in SQLite",
  postgres: "a session read, in PostgreSQL",
  redis: "a session read, in Redis"
}

const STORES: ReadonlyArray<StoreName> = ["memory", "files", "sqlite", "postgres", "redis"]

export const measure = async (
  { of }: Workers,
  stores: Stores,
  rounds: number
): Promise<ReadonlyArray<GrowthResult>> => {
  const results: Array<GrowthResult> = []
  const store = await of("SessionStore" satisfies Name)
  for (const name of STORES.filter((one) => isAvailable(stores, one))) {
    const sizes = SESSIONS.filter((size) => size <= MOST_SESSIONS[name])
    results.push(await filled(store, TITLES[name], name, sizes, name === "memory" ? 1 : 16, rounds))
  }
  const app = await of("effect-safire" satisfies Name)
  results.push(await filled(app, "the server of a launch, in a registry", "servers", SERVERS, 1, rounds))
  const bare = await of("NodeTransport used bare" satisfies Name)
  for (const [work, what] of [["fhir-get", "FHIR read"], ["exchange-public", "code exchange"]] as const) {
    for (const [child, title] of [[app, what], [bare, `${what} over the transport used bare`]] as const) {
      const cpuMicros: Array<readonly [number, number]> = []
      for (const callers of CALLERS) cpuMicros.push([callers, await cost(child, work, callers, rounds)])
      results.push({ title: `${title}, by callers at once`, cpuMicros })
    }
  }
  return results
}
