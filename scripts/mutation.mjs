// Mutation tests: `npm run mutation` for all folders, `npm run mutation -- launch token` for some. Stryker changes the
// code of a folder in every way that it knows, and runs the tests that cover the change. A mutant that no test
// notices survives: a test is missing, or the code is not needed, or the mutant means the same.
//
// `--file src/launch/Pkce.ts` mutates one file, `--test test/launch/Pkce.test.ts` runs one file of tests, and `--table`
// prints the results of the last runs again. The results are in reports/mutation. Mutants of unchanged code and tests
// keep their result; `--force` runs all of them.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { FOLDERS, resultOf } from "./mutation/folders.mjs"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    file: { multiple: true, type: "string" },
    force: { type: "boolean" },
    test: { multiple: true, type: "string" },
    table: { type: "boolean" }
  }
})
const folders = values.file === undefined
  ? positionals.length === 0 ? FOLDERS : positionals
  : [...new Set(values.file.map((file) => file.split("/")[1]))]

for (const folder of values.table ? [] : folders) {
  const files = values.file?.filter((file) => file.startsWith(`src/${folder}/`))
  spawnSync("nice", [
    "-n",
    "19",
    "node_modules/.bin/stryker",
    "run",
    ...(values.force ? ["--force"] : []),
    "scripts/mutation/stryker.config.mjs"
  ], {
    env: { ...process.env, MUTATION_FOLDER: folder, MUTATION_FILES: files?.join(","), MUTATION_TESTS: values.test?.join(",") },
    stdio: "inherit"
  })
}

const equivalent = JSON.parse(readFileSync("scripts/mutation/equivalent.json", "utf8"))

for (const { file, line } of equivalent) {
  const source = existsSync(file) ? readFileSync(file, "utf8") : ""
  if (!source.split("\n").some((one) => one.trim() === line)) {
    console.warn(`scripts/mutation/equivalent.json: ${file} has no line ${line}`)
  }
}

const isEquivalent = (file, mutant, lines) =>
  equivalent.some((entry) =>
    entry.file === file && entry.mutator === mutant.mutatorName && entry.replacement === mutant.replacement &&
    lines[mutant.location.start.line - 1].trim() === entry.line
  )

console.log("| folder | mutants | killed | timeout | survived | equivalent | not covered | score |")
console.log("|---|---|---|---|---|---|---|---|")
for (const folder of folders) {
  const path = resultOf(folder)
  if (!existsSync(path)) continue
  const counts = { Killed: 0, Timeout: 0, Survived: 0, Equivalent: 0, NoCoverage: 0 }
  for (const [file, { mutants, source }] of Object.entries(JSON.parse(readFileSync(path, "utf8")).files)) {
    const lines = source.split("\n")
    for (const mutant of mutants) {
      // Code that runs once, when its module is imported: not mutated.
      if (mutant.static === true && mutant.status === "NoCoverage") continue
      const status = mutant.status === "Survived" && isEquivalent(file, mutant, lines) ? "Equivalent" : mutant.status
      if (status in counts) counts[status]++
    }
  }
  const { Equivalent, Killed, NoCoverage, Survived, Timeout } = counts
  const valid = Killed + Timeout + Survived + NoCoverage
  const score = (100 * (Killed + Timeout) / valid).toFixed(1)
  console.log(`| \`${folder}\` | ${[valid + Equivalent, Killed, Timeout, Survived, Equivalent, NoCoverage].join(" | ")} | ${score} % |`)
}
