/**
 * The results as tables, for a terminal and for Markdown.
 */
import type { GrowthResult } from "./growth.js"
import type { Results } from "./Results.js"
import type { RowResult } from "./rounds.js"
import type { Spread } from "./statistics.js"
import type { Verdict } from "./targets.js"

export interface Table {
  readonly title: string
  readonly note?: string
  readonly head: ReadonlyArray<string>
  readonly body: ReadonlyArray<ReadonlyArray<string>>
}

const digitsFor = (value: number) => value >= 100 ? 0 : value >= 10 ? 1 : 2
const number = (value: number): string => value.toFixed(digitsFor(Math.abs(value)))
const whole = (value: number): string => Math.round(value).toLocaleString("en-US")
const ratio = ({ high, low, median }: Spread): string =>
  low === high ? number(median) : `${number(median)} (${number(low)}–${number(high)})`
const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(1)

export const rowTable = ({ row, standings }: RowResult): Table => ({
  title: row.title,
  note: `${row.concurrency === 1 ? "One at a time" : `${row.concurrency} at once`}; ratios to ${row.reference}.`,
  head: ["", "per second", "ratio", "µs of CPU each", "ratio"],
  body: standings.map(({ contender, cpu, cpuMicros, perSecond, throughput }) => [
    contender,
    whole(perSecond.median),
    ratio(throughput),
    number(cpuMicros.median),
    ratio(cpu)
  ])
})

export const verdictTable = (verdicts: ReadonlyArray<Verdict>): Table => ({
  title: "Targets",
  head: ["", "wanted", "found", ""],
  body: verdicts.map(({ found, met, title, wanted }) => [title, wanted, found, met ? "met" : "missed"])
})

const sizesOf = (growth: ReadonlyArray<GrowthResult>): ReadonlyArray<number> =>
  [...new Set(growth.flatMap(({ cpuMicros }) => cpuMicros.map(([size]) => size)))].sort((a, b) => a - b)

export const otherTables = ({ bulk, bundles, growth, heaps, stampede, startups }: Results): ReadonlyArray<Table> => [
  ...(stampede === undefined ? [] : [{
    title: "The stampede",
    note: "1,000 callers at once want the token of a session that has expired.",
    head: ["", "token requests", "ms until all have it"],
    body: stampede.map(({ contender, millis, requests }) => [contender, whole(requests), ratio(millis)])
  }]),
  ...(growth === undefined ? [] : [{
    title: "Growth",
    note: "Microseconds of CPU for one operation, when there is more of everything. An empty cell was not measured.",
    head: ["", ...sizesOf(growth).map(whole)],
    body: growth.map(({ cpuMicros, title }) => [
      title,
      ...sizesOf(growth).map((size) => {
        const found = cpuMicros.find(([one]) => one === size)
        return found === undefined ? "" : number(found[1])
      })
    ])
  }]),
  ...(heaps === undefined ? [] : [{
    title: "Heap",
    note: "Of 10,000, bytes each.",
    head: ["", "", "bytes"],
    body: heaps.map(({ bytes, contender, what }) => [what, contender, whole(bytes)])
  }]),
  ...(bulk === undefined ? [] : [{
    title: "A bulk file of 200 MB onto a disk",
    note: `The second download of a process. effect-safire and the second row check every line. effect-safire took ${
      whole(bulk.largePeakMegabytes)
    } MB at most for a file of 2 GB.`,
    head: ["", "MB/s", "MB per second of CPU", "MB of memory at most"],
    body: bulk.all.map(({ contender, megabytesPerCpuSecond, megabytesPerSecond, peakMegabytes }) => [
      contender,
      whole(megabytesPerSecond),
      whole(megabytesPerCpuSecond),
      whole(peakMegabytes)
    ])
  }]),
  ...(startups === undefined ? [] : [{
    title: "Start-up",
    note: "From the start of the process to an authorization URL; Node by itself is subtracted from all but itself.",
    head: ["", "ms", "ms of CPU"],
    body: startups.map(({ cpuMillis, millis, title }) => [title, ratio(millis), ratio(cpuMillis)])
  }]),
  ...(bundles === undefined ? [] : [{
    title: "Browser bundle",
    note:
      "With splitting, minified, gzip; kB. An app with the same modules of Effect whole is subtracted, or one that uses Effect, platform and Schema as most do. The last column includes chunks that are loaded on demand, such as the one that verifies id_tokens. Vite bundles with Rollup.",
    head: ["", "bundler", "entry", "over the same modules", "over such an app", "with all chunks"],
    body: bundles.map(({ bundler, gzip, overApp, overSameModules, title, total }) => [
      title,
      bundler,
      kilobytes(gzip),
      kilobytes(overSameModules),
      kilobytes(overApp),
      kilobytes(total)
    ])
  }])
]

export const toText = ({ body, head, note, title }: Table): string => {
  const lines = [head, ...body]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const print = (line: ReadonlyArray<string>) =>
    `  ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd()
  return `\n${title}${note === undefined ? "" : `. ${note}`}\n${lines.map(print).join("\n")}\n`
}

const tableOf = ({ body, head }: Table): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n")
}

const WIDTH = 120

/** Prose in lines of at most 120 characters. */
const wrapped = (text: string): string => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join("\n")
}

const sectionOf = (table: Table): string =>
  [`### ${table.title}`, ...(table.note === undefined ? [] : [wrapped(table.note)]), tableOf(table)].join("\n\n")

const settingOf = ({ before, load, rounds, skipped }: Results): string =>
  wrapped([
    `${before.cpu}, ${before.cores} cores, ${before.memoryGiB} GiB, ${before.system}, Node ${before.node};`,
    `load ${before.load} before the run, ${load} in it; ${rounds} rounds.`,
    `${Object.entries(before.versions).map(([name, version]) => `${name} ${version}`).join(", ")}.`,
    ...skipped.map((reason) => `Not measured: ${reason}.`)
  ].join(" "))

export const toMarkdown = (results: Results, verdicts: ReadonlyArray<Verdict>): string =>
  [
    settingOf(results),
    ...[verdictTable(verdicts), ...results.rows.map(rowTable), ...otherTables(results)].map(sectionOf)
  ].join("\n\n")
