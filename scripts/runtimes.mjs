// Runs the tests of the core in other runtimes: `npm run runtimes -- node@22 node@24 bun deno`. They are npm packages,
// installed into a temporary directory. Bun and Deno have their own fetch; the library's transport over undici and the
// stock undici layer are for Node, so their tests are left out there.
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const CORE = ["base", "http", "server", "client", "launch", "token", "smart", "everyKindOfClient", "security/hostile"]
const UNDICI = ["test/http/OutgoingRequest.test.ts", "test/smart/SmartServers.contract.test.ts"]

const RUNTIMES = {
  "node@22": { package: "node@22", command: ["node"] },
  "node@24": { package: "node@24", command: ["node"] },
  bun: { package: "bun@1", command: ["bun", "--bun"], exclude: UNDICI },
  deno: { package: "deno@2", command: ["deno", "run", "-A"], exclude: UNDICI }
}

const asked = process.argv.slice(2)
let failed = false
for (const name of asked.length === 0 ? Object.keys(RUNTIMES) : asked) {
  const runtime = RUNTIMES[name]
  if (runtime === undefined) throw new Error(`unknown runtime ${name}; known: ${Object.keys(RUNTIMES).join(", ")}`)
  const directory = mkdtempSync(join(tmpdir(), "runtime-"))
  try {
    execFileSync("npm", ["install", "--prefix", directory, "--no-audit", "--no-fund", "--silent", runtime.package])
    const [command, ...options] = runtime.command
    const report = join(directory, "report.json")
    spawnSync(join(directory, "node_modules/.bin", command), [
      ...options,
      "node_modules/vitest/vitest.mjs",
      "run",
      ...CORE.map((folder) => `test/${folder}`),
      ...(runtime.exclude ?? []).flatMap((file) => ["--exclude", file]),
      "--pool=forks",
      "--reporter=json",
      `--outputFile=${report}`
    ], { stdio: "ignore" })
    const { numFailedTests, numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8"))
    console.log(`${name}: ${numPassedTests} passed, ${numFailedTests} failed`)
    for (const { assertionResults, message, name: file, status } of testResults) {
      if (status === "failed" && assertionResults.length === 0) console.log(`  ${file}: ${message}`)
      for (const { failureMessages, fullName, status } of assertionResults) {
        if (status === "failed") console.log(`  ${fullName}: ${failureMessages[0]?.split("\n", 1)[0]}`)
      }
      failed ||= status === "failed"
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
process.exitCode = failed ? 1 : 0
