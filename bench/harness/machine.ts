/**
 * The versions and the machine of a run.
 */
import { readFileSync } from "node:fs"
import { arch, cpus, loadavg, platform, totalmem } from "node:os"
import * as Build from "./build.js"

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  /** The load of the previous minute. Above the number of cores, compare ratios, not times. */
  readonly load: number
  readonly versions: Readonly<Record<string, string>>
}

const packages = {
  "": ["effect", "@effect/platform", "@effect/platform-node", "undici", "jose", "esbuild"],
  "bench/": ["openid-client", "oauth4webapi", "fhirclient"]
}

const versionOf = (folder: string, name: string): string =>
  JSON.parse(readFileSync(Build.at(`${folder}node_modules/${name}/package.json`), "utf8")).version

export const look = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${platform()} ${arch()}`,
  node: process.versions.node,
  load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  versions: Object.fromEntries(
    Object.entries(packages).flatMap(([folder, names]) => names.map((name) => [name, versionOf(folder, name)]))
  )
})
