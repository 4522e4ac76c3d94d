/**
 * The cost of the parts of an operation of a session store, from which its targets follow: `npx tsx bench/parts.ts`.
 */
import { spawnSync } from "node:child_process"
import * as Build from "./harness/build.js"

await Build.all(Build.at("src"))
const { status } = spawnSync(
  process.execPath,
  [Build.built("processes/parts"), Build.at("bench/harness/storedSession.mjs"), Build.modules],
  { stdio: "inherit" }
)
process.exit(status ?? 1)
