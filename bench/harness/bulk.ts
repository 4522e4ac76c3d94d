/**
 * Bulk files: the throughput of a download to a disk with a check of each line, and the memory for a large file.
 */
import * as Build from "./build.js"
import * as Child from "./Child.js"
import type { Spread } from "./statistics.js"
import { ratios } from "./statistics.js"

export interface BulkResult {
  readonly contender: string
  readonly megabytesPerSecond: number
  readonly megabytesPerCpuSecond: number
  readonly peakMegabytes: number
}

export interface BulkResults {
  readonly all: ReadonlyArray<BulkResult>
  /** The throughput of this library, to undici without checks and to undici with `JSON.parse` of every line. */
  readonly toUndici: Spread
  readonly toParsing: Spread
  /** The peak of this library with a file of 2 GB. */
  readonly largePeakMegabytes: number
}

const CONTENDERS = ["effect-safire", "undici, JSON.parse", "undici"] as const
const SIZE = 200_000_000
const LARGE = 2_000_000_000

interface Measured {
  readonly millis: number
  readonly cpuMillis: number
  readonly peak: number
}

const isMeasured = (value: unknown): value is Measured => typeof value === "object" && value !== null && "peak" in value

const run = async (contender: string, size: number, target: "file" | "nothing"): Promise<Measured> => {
  const server = await Child.start("the bulk server", Build.built("processes/bulkServer"), { args: [String(size)] })
  try {
    const { port } = server.greeting as { readonly port: number }
    const child = await Child.start(contender, Build.built("processes/bulk"), {
      args: [contender, String(port), target],
      patienceMillis: 600_000
    })
    if (!isMeasured(child.greeting)) throw new Error("not measured")
    await child.stop()
    return child.greeting
  } finally {
    await server.stop()
  }
}

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0

export const measure = async (rounds: number): Promise<BulkResults> => {
  const samples = new Map<string, Array<Measured>>(CONTENDERS.map((name) => [name, []]))
  for (let round = 0; round < Math.min(rounds, 5); round++) {
    for (const contender of CONTENDERS) samples.get(contender)?.push(await run(contender, SIZE, "file"))
  }
  const millis = (name: string) => (samples.get(name) ?? []).map((one) => one.millis)
  const speeds = (name: string) => millis(name).map((one) => 1 / one)
  const large = await run("effect-safire", LARGE, "nothing")
  return {
    all: CONTENDERS.map((contender) => {
      const found = samples.get(contender) ?? []
      return {
        contender,
        megabytesPerSecond: SIZE / 1000 / median(found.map((one) => one.millis)),
        megabytesPerCpuSecond: SIZE / 1000 / median(found.map(({ cpuMillis }) => cpuMillis)),
        peakMegabytes: median(found.map(({ peak }) => peak)) / 1_000_000
      }
    }),
    toUndici: ratios(speeds("effect-safire"), speeds("undici")),
    toParsing: ratios(speeds("effect-safire"), speeds("undici, JSON.parse")),
    largePeakMegabytes: large.peak / 1_000_000
  }
}
