/**
 * The targets of the library, and whether a run meets them.
 */
import type { Bundler, EntryId } from "./bundles.js"
import type { Name, Sample } from "./Contender.js"
import type { Results } from "./Results.js"
import type { RowResult } from "./rounds.js"
import { cpuOf, perSecond } from "./rounds.js"
import { ratios } from "./statistics.js"

export interface Verdict {
  readonly title: string
  readonly wanted: string
  readonly found: string
  readonly met: boolean
}

interface Target {
  readonly title: string
  /** The value and its unit; none if the run did not measure it. */
  readonly value: (results: Results) => number | undefined
  readonly least?: number
  readonly most?: number
  readonly unit?: string
  readonly digits?: number
}

const OURS = "effect-safire"
const UNTRACED = "effect-safire, tracing off"
const UDAP = "effect-safire, UDAP"
const PEERS: ReadonlyArray<Name> = ["openid-client", "oauth4webapi", "fhirclient"]

const rowOf = ({ rows }: Results, id: string): RowResult | undefined => rows.find(({ row }) => row.id === id)

const between = (id: string, one: Name, other: Name, value: (sample: Sample) => number) => (results: Results) => {
  const samples = rowOf(results, id)?.samples
  const [a, b] = [samples?.[one], samples?.[other]]
  return a === undefined || b === undefined ? undefined : ratios(a.map(value), b.map(value)).median
}

/** The smallest of the ratios to each peer. */
const toFastest = (id: string) => (results: Results) => {
  const found = PEERS.flatMap((peer) => between(id, OURS, peer, perSecond)(results) ?? [])
  return found.length === 0 ? undefined : Math.min(...found)
}

const cpuMicros = (id: string, name: Name = OURS) => (results: Results) =>
  rowOf(results, id)?.standings.find(({ contender }) => contender === name)?.cpuMicros.median

const heap = (what: string) => ({ heaps }: Results) =>
  heaps?.find((one) => one.contender === OURS && one.what === what)?.bytes

const bundled = ({ bundles }: Results, id: EntryId, bundler: Bundler) =>
  bundles?.find((one) => one.id === id && one.bundler === bundler)

const bundle = (id: EntryId, bundler: Bundler): Target => ({
  title: `Browser bundle, a public client's launch, ${bundler}`,
  value: (results) => {
    const found = bundled(results, id, bundler)
    return found === undefined ? undefined : found.overSameModules / 1000
  },
  most: 25,
  unit: " kB",
  digits: 1
})

/** What an import through the index adds to imports by module. */
const throughIndex = (bundler: Bundler): Target => ({
  title: `Browser bundle, the same through the index, ${bundler}: more than by module`,
  value: (results) => {
    const [byModule, index] = [bundled(results, "exchange", bundler), bundled(results, "index", bundler)]
    return byModule === undefined || index === undefined ? undefined : (index.gzip - byModule.gzip) / 1000
  },
  most: 2,
  unit: " kB",
  digits: 1
})

const startup = (title: string) => ({ startups }: Results) => {
  const cpu = (one: string) => startups?.find(({ title }) => title === one)?.cpuMillis.median
  const [found, base] = [cpu(title), cpu("Effect, platform and Schema")]
  return found === undefined || base === undefined ? undefined : found / base
}

/** How much more an operation costs at the largest size than at the smallest that is at least `from`. */
const growing = (title: string, from: number) => ({ growth }: Results) => {
  const sizes = growth?.find((one) => one.title === title)?.cpuMicros.filter(([size]) => size >= from) ?? []
  const [first, last] = [sizes[0], sizes.at(-1)]
  return first === undefined || last === undefined ? undefined : last[1] / first[1]
}

/** As `growing`, to the growth of the floor. */
const growingBeside = (title: string, floor: string, from: number) => (results: Results) => {
  const [ours, theirs] = [growing(title, from)(results), growing(floor, from)(results)]
  return ours === undefined || theirs === undefined ? undefined : ours / theirs
}

/** From their floors: see "How the targets of the stores follow from their floors" in docs/performance.md. */
const store = (id: string, title: string, read: number, modify: number): ReadonlyArray<Target> => [
  {
    title: `A session read from ${title}: processor time, to the driver by hand`,
    value: between(`store-read-${id}`, "SessionStore", "the driver by hand", cpuOf),
    most: read,
    unit: "x"
  },
  {
    title: `A session changed in ${title}: processor time, to the driver by hand`,
    value: between(`store-modify-${id}`, "SessionStore", "the driver by hand", cpuOf),
    most: modify,
    unit: "x"
  }
]

const beside = (id: string, title: string, fastest: number): ReadonlyArray<Target> => [
  {
    title: `${title}: throughput, to openid-client`,
    value: between(id, OURS, "openid-client", perSecond),
    least: 2.5,
    unit: "x"
  },
  { title: `${title}: throughput, to the fastest peer`, value: toFastest(id), least: fastest, unit: "x" },
  {
    title: `${title}: processor time, to openid-client`,
    value: between(id, OURS, "openid-client", cpuOf),
    most: 0.45,
    unit: "x"
  }
]

/** How long a thousand callers wait for the token of an expired session. */
const stampede = ({ stampede: results }: Results): number | undefined => {
  const millisOf = (name: Name) => results?.find(({ contender }) => contender === name)?.millis.median
  const [ours, peer] = [millisOf(OURS), millisOf("fhirclient")]
  return ours === undefined || peer === undefined ? undefined : ours / peer
}

const signing = (algorithm: string): Target => ({
  title: `${algorithm} assertion: throughput, to bare jose`,
  value: between(`assertion-${algorithm}`, OURS, "bare jose", perSecond),
  least: 0.9,
  unit: "x"
})

const targets: ReadonlyArray<Target> = [
  ...beside("fhir-get", "FHIR read", 1.5),
  {
    title: "FHIR read, tracing off: processor time, to the transport used bare",
    value: between("fhir-get", UNTRACED, "NodeTransport used bare", cpuOf),
    most: 1.4,
    unit: "x"
  },
  {
    title: "FHIR read on the stock undici layer: throughput, to openid-client",
    value: between("fhir-get", "effect-safire on stock undici layer", "openid-client", perSecond),
    least: 1,
    unit: "x"
  },
  {
    title: "FHIR read on the stock fetch layer: throughput, to openid-client",
    value: between("fhir-get", "effect-safire on stock fetch layer", "openid-client", perSecond),
    least: 0.35,
    unit: "x"
  },
  {
    title: "FHIR search, 100 pages: processor time, to raw undici and JSON.parse",
    value: between("fhir-search", OURS, "raw undici", cpuOf),
    most: 1.5,
    unit: "x"
  },
  {
    title: "FHIR read: processor time, to the transport used bare",
    value: between("fhir-get", OURS, "NodeTransport used bare", cpuOf),
    most: 1.4,
    unit: "x"
  },
  {
    title: "FHIR transaction, 500 entries: processor time, to raw undici and JSON.parse",
    value: between("fhir-transaction", OURS, "raw undici", cpuOf),
    most: 1.5,
    unit: "x"
  },
  ...beside("exchange-public", "Code exchange, public client", 1.2),
  ...beside("exchange-basic", "Code exchange, client secret", 1.2),
  {
    title: "Code exchange on the stock undici layer: throughput, to openid-client",
    value: between("exchange-public", "effect-safire on stock undici layer", "openid-client", perSecond),
    least: 1,
    unit: "x"
  },
  {
    title: "Code exchange on the stock fetch layer: throughput, to openid-client",
    value: between("exchange-public", "effect-safire on stock fetch layer", "openid-client", perSecond),
    least: 0.4,
    unit: "x"
  },
  {
    title: "Code exchange: processor time, to the transport used bare",
    value: between("exchange-public", OURS, "NodeTransport used bare", cpuOf),
    most: 1.8,
    unit: "x"
  },
  {
    title: "Authorization URL: processor time, to openid-client",
    value: between("authorization-url", OURS, "openid-client", cpuOf),
    most: 1.2,
    unit: "x"
  },
  {
    title: "Discovery, nothing cached: throughput, to oauth4webapi",
    value: between("discovery-cold", OURS, "oauth4webapi", perSecond),
    least: 1.5,
    unit: "x"
  },
  signing("RS384"),
  signing("ES384"),
  { title: "A token from a session that has one", value: cpuMicros("fresh-token"), most: 10, unit: " µs" },
  { title: "1,000 callers with an expired session: time, to fhirclient", value: stampede, most: 3, unit: "x" },
  { title: "Discovery, cached", value: cpuMicros("discovery-warm"), most: 5, unit: " µs" },
  {
    title: "UDAP, a chain with two CRLs: processor time, to pkijs's engine",
    value: between("udap-chain", UDAP, "pkijs's engine", cpuOf),
    most: 2,
    unit: "x"
  },
  { title: "UDAP metadata, cached and still trusted", value: cpuMicros("udap-cached", UDAP), most: 20, unit: " µs" },
  {
    title: "UDAP, the worst chain within the limits",
    value: cpuMicros("udap-hostile", UDAP),
    most: 50_000,
    unit: " µs",
    digits: 0
  },
  { title: "Heap of a configured server", value: heap("a server, configured"), most: 4096, unit: " bytes", digits: 0 },
  { title: "Heap of a session", value: heap("a session, in memory"), most: 4096, unit: " bytes", digits: 0 },
  {
    title: "Bulk file, every line checked: throughput, to undici without checks",
    value: ({ bulk }) => bulk?.toUndici.median,
    least: 0.7
  },
  {
    title: "Bulk file: throughput, to undici with JSON.parse of every line",
    value: ({ bulk }) => bulk?.toParsing.median,
    least: 0.7
  },
  {
    title: "Bulk file of 2 GB: memory",
    value: ({ bulk }) => bulk?.largePeakMegabytes,
    most: 400,
    unit: " MB",
    digits: 0
  },
  bundle("exchange", "esbuild"),
  bundle("exchange", "Rollup"),
  throughIndex("esbuild"),
  throughIndex("Rollup"),
  {
    title: "Start-up to an authorization URL, by module: processor time, to loading Effect, platform and Schema",
    value: startup("effect-safire, an entry point to each module"),
    most: 1.15,
    unit: "x"
  },
  {
    title: "A key set fetched: processor time, to bare jose",
    value: between("jwks-cold", OURS, "bare jose", cpuOf),
    most: 0.75,
    unit: "x"
  },
  {
    title: "An id_token verified: processor time, to bare jose",
    value: between("id-token", OURS, "bare jose", cpuOf),
    most: 1.5,
    unit: "x"
  },
  {
    title: "Login over HTTP: processor time, to routes by hand over SmartClient and SessionStore",
    value: between("login", "effect-safire/web", "routes by hand over SmartClient and SessionStore", cpuOf),
    most: 1.25,
    unit: "x"
  },
  { title: "A session read from memory", value: cpuMicros("store-read-memory", "SessionStore"), most: 2, unit: " µs" },
  {
    title: "A session changed under its lock in memory",
    value: cpuMicros("store-modify-memory", "SessionStore"),
    most: 44,
    unit: " µs"
  },
  ...store("files", "files", 2.3, 3),
  ...store("sqlite", "SQLite", 10, 5.6),
  ...store("postgres", "PostgreSQL", 3.8, 4.2),
  ...store("redis", "Redis", 4.6, 5.9),
  {
    // Of 1,000 sessions, each is decoded once and then in memory.
    title: "A session read from memory, among 1,000,000, to one among 10,000",
    value: growing("a session read, in memory", 10_000),
    most: 2,
    unit: "x"
  },
  {
    title: "A session read from SQLite, among 1,000,000, to one among 10,000",
    value: growing("a session read, in SQLite", 10_000),
    most: 1.5,
    unit: "x"
  },
  {
    title: "The server of a launch, among 10,000, to one among 10",
    // A Map by hand: 2.4.
    value: growing("the server of a launch, in a registry", 10),
    most: 3,
    unit: "x"
  },
  ...["FHIR read", "code exchange"].map((what): Target => ({
    title: `${what}, 10,000 and 100 callers at once: growth, to that of the transport used bare`,
    value: growingBeside(
      `${what}, by callers at once`,
      `${what} over the transport used bare, by callers at once`,
      100
    ),
    most: 1.25,
    unit: "x"
  }))
]

export const judge = (results: Results): ReadonlyArray<Verdict> =>
  targets.flatMap(({ digits = 2, least, most, title, unit = "", value }) => {
    const found = value(results)
    if (found === undefined) return []
    return [{
      title,
      wanted: least === undefined ? `at most ${most}${unit}` : `at least ${least}${unit}`,
      found: `${found.toFixed(digits)}${unit}`,
      met: (least === undefined || found >= least) && (most === undefined || found <= most)
    }]
  })
