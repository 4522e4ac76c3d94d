/**
 * One row of the benchmark: each contender in its own process. They take turns in rounds, so that other work of the
 * machine affects all of them.
 */
import * as Build from "./build.js"
import * as Child from "./Child.js"
import type { Job, Name, Sample } from "./Contender.js"
import { named } from "./Contender.js"
import type { Row } from "./Row.js"
import type { Setting } from "./Setting.js"
import type { Spread } from "./statistics.js"
import { ratios, spread } from "./statistics.js"

export interface Standing {
  readonly contender: Name
  readonly perSecond: Spread
  readonly cpuMicros: Spread
  /** The ratio to the row's reference in each round. */
  readonly throughput: Spread
  readonly cpu: Spread
}

export interface RowResult {
  readonly row: Row
  readonly standings: ReadonlyArray<Standing>
  /** Ratios of any two contenders, from the same rounds. */
  readonly samples: Readonly<Partial<Record<Name, ReadonlyArray<Sample>>>>
}

export const perSecond = ({ operations, wallMicros }: Sample): number => operations / wallMicros * 1e6
export const cpuOf = ({ cpuMicros, operations }: Sample): number => cpuMicros / operations

/**
 * The contenders' processes. They are started again for each work: what a process did before changes how its code is
 * optimised and what its heap contains.
 */
export interface Workers {
  readonly of: (name: Name) => Promise<Child.Child>
  /** The contenders and rows that are warmed up. */
  readonly warm: Set<string>
  /** Stops all; the next use starts them again. */
  readonly stop: () => Promise<void>
}

export const workers = (setting: Setting, execArgv: ReadonlyArray<string>): Workers => {
  const started = new Map<Name, Child.Child>()
  const warm = new Set<string>()
  return {
    of: async (name) => {
      const { module, variant } = named(name)
      const child = started.get(name) ?? await Child.start(name, Build.built("processes/worker"), {
        args: [Build.built(module), variant, JSON.stringify(setting)],
        execArgv,
        // The time that it takes to fill a store.
        patienceMillis: 600_000
      })
      started.set(name, child)
      return child
    },
    warm,
    stop: async () => {
      for (const child of started.values()) await child.stop()
      started.clear()
      warm.clear()
    }
  }
}

const isSample = (message: unknown): message is Sample =>
  typeof message === "object" && message !== null && "operations" in message && "cpuMicros" in message

export const sample = async (child: Child.Child, job: Job): Promise<Sample> => {
  const answer = await child.ask(job)
  if (!isSample(answer)) throw new Error("a worker answered something else than a sample")
  return answer
}

/** A contender is warm when its cost falls by less than this in two seconds of processor time. */
const LEAST_GAIN = 0.05

const MOST_WARM_UP_MILLIS = 40_000

/**
 * The compiler works in other threads, and is slow on a busy machine. A login of this library takes ten thousand
 * repetitions until all of its steps are optimised, an authorization URL a tenth of that time.
 */
export const warmUp = async (child: Child.Child, job: Job): Promise<void> => {
  const until = performance.now() + MOST_WARM_UP_MILLIS
  let least = Number.POSITIVE_INFINITY
  let unchanged = 0
  while (unchanged < 2 && performance.now() < until) {
    let [cpu, operations] = [0, 0]
    while (cpu < 1_000_000 && performance.now() < until) {
      const taken = await sample(child, job)
      cpu += taken.cpuMicros
      operations += taken.operations
    }
    const cost = cpu / operations
    unchanged = cost > least * (1 - LEAST_GAIN) ? unchanged + 1 : 0
    least = Math.min(least, cost)
  }
}

/** While the others are warmed up, a process is idle, and the system takes memory from it. */
const UNCOUNTED_ROUNDS = 3

/**
 * Of each turn, this part does not count: while the others had their turns, the process was idle, its caches were lost
 * and its young generation may have shrunk.
 */
const UNCOUNTED_PART = 0.25

const turn = async (child: Child.Child, job: Job): Promise<Sample> => {
  await sample(child, { ...job, millis: job.millis * UNCOUNTED_PART })
  return sample(child, job)
}

export const run = async (row: Row, { of, warm }: Workers, rounds: number): Promise<RowResult> => {
  const { concurrency, contenders, work } = row
  const samples = new Map<Name, Array<Sample>>(contenders.map((name) => [name, []]))
  for (const name of contenders) {
    if (warm.has(`${name} ${work}`)) await sample(await of(name), { work, concurrency, millis: row.millis })
    else await warmUp(await of(name), { work, concurrency, millis: 250 })
    warm.add(`${name} ${work}`)
  }
  for (let round = -UNCOUNTED_ROUNDS; round < rounds; round++) {
    for (const [name, measured] of samples) {
      const taken = await turn(await of(name), { work, concurrency, millis: row.millis })
      if (round >= 0) measured.push(taken)
    }
  }
  const read = (name: Name, value: (sample: Sample) => number) => (samples.get(name) ?? []).map(value)
  return {
    row,
    samples: Object.fromEntries(samples),
    standings: contenders.map((contender) => ({
      contender,
      perSecond: spread(read(contender, perSecond)),
      cpuMicros: spread(read(contender, cpuOf)),
      throughput: ratios(read(contender, perSecond), read(row.reference, perSecond)),
      cpu: ratios(read(contender, cpuOf), read(row.reference, cpuOf))
    }))
  }
}
