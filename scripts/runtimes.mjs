// Runs the tests of the core in other runtimes: `npm run runtimes -- node@22 node@24 bun deno`. They are npm packages,
// installed into a temporary directory. Bun and Deno have their own fetch; the library's transport over undici and the
// stock undici layer are for Node, so their tests are left out there. `npm run runtimes -- lowest` runs them on this
// Node with the lowest version of each peer that package.json admits, in a copy of the project.
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const CORE = ["base", "http", "server", "client", "launch", "token", "smart", "everyKindOfClient", "security/hostile"]
const UNDICI = ["test/http/OutgoingRequest.transports.test.ts", "test/smart/SmartServers.contract.test.ts"]

const RUNTIMES = {
  "node@22": { package: "node@22", command: ["node"] },
  "node@24": { package: "node@24", command: ["node"] },
  bun: { package: "bun@1", command: ["bun", "--bun"], exclude: UNDICI },
  deno: { package: "deno@2", command: ["deno", "run", "-A"], exclude: UNDICI },
  lowest: { command: ["node"] }
}

/** The first version that each range names is the lowest that it admits. */
const lowestPeers = () =>
  Object.entries(JSON.parse(readFileSync("package.json", "utf8")).peerDependencies)
    .map(([name, range]) => `${name}@${/\d+\.\d+\.\d+/.exec(range)[0]}`)

const npmInstall = (...options) => execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent", ...options])

/** The project with its lowest peers. Hard links: npm replaces files and does not change them. */
const copyWithLowestPeers = (directory) => {
  const files = ["package.json", "package-lock.json", "tsconfig.base.json", "tsconfig.json", "vitest.config.ts"]
  execFileSync("cp", ["-a", "src", "test", "examples", "docs", ...files, directory])
  execFileSync("cp", ["-al", "node_modules", directory])
  const peers = lowestPeers()
  npmInstall("--prefix", directory, "--no-save", "--legacy-peer-deps", "--ignore-scripts", ...peers)
  return peers
}

const requested = process.argv.slice(2)
let failed = false
for (const name of requested.length === 0 ? Object.keys(RUNTIMES) : requested) {
  const runtime = RUNTIMES[name]
  if (runtime === undefined) throw new Error(`unknown runtime ${name}; known: ${Object.keys(RUNTIMES).join(", ")}`)
  const directory = mkdtempSync(join(tmpdir(), "runtime-"))
  try {
    const isCopy = runtime.package === undefined
    if (isCopy) console.log(`${name}: ${copyWithLowestPeers(directory).join(" ")}`)
    else npmInstall("--prefix", directory, runtime.package)
    const [command, ...options] = runtime.command
    const report = join(directory, "report.json")
    spawnSync(isCopy ? process.execPath : join(directory, "node_modules/.bin", command), [
      ...options,
      "node_modules/vitest/vitest.mjs",
      "run",
      ...CORE.map((folder) => `test/${folder}`),
      ...(runtime.exclude ?? []).flatMap((file) => ["--exclude", file]),
      "--pool=forks",
      "--reporter=json",
      `--outputFile=${report}`
    ], { cwd: isCopy ? directory : process.cwd(), stdio: "ignore" })
    if (!existsSync(report)) throw new Error(`${name}: the tests did not run`)
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
