/**
 * The benchmarks: this library, its peers and the same work without a library, in one run.
 *
 * `npm run bench -- --only fhir-get --only heap --rounds 11 --json results.json --markdown results.md --source
 * ../other/src`
 */
import { existsSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { loadavg } from "node:os"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import * as Build from "./harness/build.js"
import * as Bulk from "./harness/bulk.js"
import * as Bundles from "./harness/bundles.js"
import * as Child from "./harness/Child.js"
import * as Databases from "./harness/databases.js"
import { isAvailable } from "./harness/databases.js"
import * as Growth from "./harness/growth.js"
import * as Heaps from "./harness/heaps.js"
import * as Machine from "./harness/machine.js"
import * as Report from "./harness/report.js"
import type { Results } from "./harness/Results.js"
import * as Rounds from "./harness/rounds.js"
import { rows, storeOf } from "./harness/Row.js"
import type { Setting } from "./harness/Setting.js"
import * as Stampede from "./harness/stampede.js"
import * as Startups from "./harness/startups.js"
import * as Targets from "./harness/targets.js"

const OTHERS = ["stampede", "heap", "bulk", "startup", "bundle", "growth"]
/** Only where they are named, because they take minutes. */
const OPT_IN = ["growth"]

const { values } = parseArgs({
  options: {
    /** A row; repeatable. Default: all. */
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "7" },
    /** Also the rows of growth. */
    growth: { type: "boolean", default: false },
    /** All measurements of each round. */
    json: { type: "string" },
    /** The tables. In a file with the two comments below, they are written between them. */
    markdown: { type: "string" },
    /** Another copy of `src` to measure, such as one from before a change. */
    source: { type: "string", default: Build.at("src") }
  }
})

const known = [...rows.map(({ id }) => id), ...OTHERS]
const unknown = (values.only ?? []).filter((id) => !known.includes(id))
const rounds = Number(values.rounds)
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write(`--only takes ${known.join(", ")}; --rounds a number\n`)
  process.exit(2)
}
if (!existsSync(Build.at("bench/node_modules/openid-client"))) {
  process.stderr.write("what the library is measured beside is not there: npm ci --prefix bench\n")
  process.exit(2)
}
const isWanted = (id: string): boolean =>
  values.only === undefined ? !OPT_IN.includes(id) || values.growth : values.only.includes(id)

const [BEGIN, END] = ["<!-- results: npm run bench -- --markdown docs/performance.md -->", "<!-- end of results -->"]

const intoMarkdown = async (path: string, tables: string): Promise<void> => {
  const text = existsSync(path) ? await readFile(path, "utf8") : ""
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  const whole = begin < 0 || end < begin
    ? `${tables}\n`
    : `${text.slice(0, begin + BEGIN.length)}\n\n${tables}\n\n${text.slice(end)}`
  await writeFile(path, whole)
}

const tell = (table: Report.Table): void => void process.stdout.write(Report.toText(table))

const measure = async (source: string): Promise<Results> => {
  const before = Machine.look()
  await Build.all(source)
  const bundles = isWanted("bundle") ? await Bundles.measure() : undefined
  const heaps = isWanted("heap") ? await Heaps.measure() : undefined
  const bulk = isWanted("bulk") ? await Bulk.measure(rounds) : undefined
  const startups = isWanted("startup") ? await Startups.measure(rounds) : undefined
  const server = await Child.start("the server", Build.at("bench/processes/server.ts"))
  const wanted = rows.filter(({ id }) => isWanted(id))
  const databases = wanted.some((row) => storeOf(row) !== undefined) || isWanted("growth")
    ? await Databases.start()
    : undefined
  const stores = databases?.stores ?? {}
  // For a million sessions in memory. With so large a heap, Node collects less often, and all other rows get slower.
  const execArgv = isWanted("growth") ? ["--max-old-space-size=8192"] : []
  const workers = Rounds.workers({ ...(server.greeting as Setting), stores }, execArgv)
  const done: Array<Rounds.RowResult> = []
  try {
    for (const row of wanted.filter((row) => isAvailable(stores, storeOf(row)))) {
      if (row.work !== done.at(-1)?.row.work) await workers.stop()
      const result = await Rounds.run(row, workers, rounds)
      tell(Report.rowTable(result))
      done.push(result)
    }
    await workers.stop()
    const stampede = isWanted("stampede") ? await Stampede.measure(workers, server, rounds) : undefined
    const growth = isWanted("growth") ? await Growth.measure(workers, stores, Math.min(rounds, 3)) : undefined
    return {
      rounds,
      before,
      skipped: databases?.skipped ?? [],
      load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
      rows: done,
      ...(stampede === undefined ? {} : { stampede }),
      ...(growth === undefined ? {} : { growth }),
      ...(heaps === undefined ? {} : { heaps }),
      ...(bulk === undefined ? {} : { bulk }),
      ...(startups === undefined ? {} : { startups }),
      ...(bundles === undefined ? {} : { bundles })
    }
  } finally {
    await workers.stop()
    await databases?.stop()
    await server.stop()
  }
}

const started = performance.now()
const results = await measure(resolve(values.source))
const verdicts = Targets.judge(results)
for (const table of Report.otherTables(results)) tell(table)
if (verdicts.length > 0) tell(Report.verdictTable(verdicts))
process.stdout.write(`\n${Math.round((performance.now() - started) / 1000)} seconds\n`)
if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ ...results, verdicts }, undefined, 2))
if (values.markdown !== undefined) await intoMarkdown(values.markdown, Report.toMarkdown(results, verdicts))
