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

const WARM_UP_MILLIS = 1000
const MILLIS = 500

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
    operations += (await sample(child, { work, concurrency, millis: WARM_UP_MILLIS })).operations
  } while (operations < Math.min(2 * size, MOST_FIRST_USES))
  const found: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    found.push(cpuOf(await sample(child, { work, concurrency, millis: MILLIS })))
  }
  return spread(found).median
}

/** One result for each of `works`, by its title. */
const filled = async (
  child: Child.Child,
  what: string,
  works: Readonly<Record<string, string>>,
  sizes: ReadonlyArray<number>,
  concurrency: number,
  rounds: number
): Promise<ReadonlyArray<GrowthResult>> => {
  const results = Object.entries(works).map(([title, work]) => ({
    title,
    work,
    cpuMicros: new Array<readonly [number, number]>()
  }))
  for (const size of sizes) {
    // A deadline that has passed: once.
    await sample(child, { work: `fill-${what}-${size}`, concurrency: 1, millis: 0 })
    for (const { cpuMicros, work } of results) {
      cpuMicros.push([size, await cost(child, work, concurrency, rounds, size)])
    }
  }
  return results
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
    const works = { [TITLES[name]]: `grown-${name}` }
    results.push(...await filled(store, name, works, sizes, name === "memory" ? 1 : 16, rounds))
  }
  const app = await of("effect-safire" satisfies Name)
  const lookups = {
    "the server of a launch, in a registry": "grown-servers",
    "the server of a launch, in a Map by hand": "grown-servers-by-hand"
  }
  results.push(...await filled(app, "servers", lookups, SERVERS, 1, rounds))
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
