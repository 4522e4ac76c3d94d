/**
 * The time from the start of a process to an authorization URL: loading, compiling and running modules.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import * as Build from "./build.js"
import type { Spread } from "./statistics.js"
import { spread } from "./statistics.js"

export interface StartupResult {
  readonly title: string
  /** More than Node alone, in each round. */
  readonly millis: Spread
  readonly cpuMillis: Spread
}

const NOTHING = "Node by itself"

const programs = {
  [NOTHING]: "startups/node.mjs",
  "Effect, platform and Schema": "startups/effect",
  "effect-safire, one entry point": "startups/effectSafire",
  "effect-safire, an entry point to each module": "startups/effectSafireModules",
  "openid-client": "startups/openid-client.mjs",
  "oauth4webapi": "startups/oauth4webapi.mjs",
  "fhirclient": "startups/fhirclient.mjs"
} as const

interface Said {
  readonly millis: number
  readonly cpuMillis: number
}

const once = async (path: string): Promise<Said> => {
  const args = ["--import", Build.built("startups/say.mjs"), Build.built(path)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout)
}

export const measure = async (rounds: number): Promise<ReadonlyArray<StartupResult>> => {
  const said = new Map<string, Array<Said>>(Object.keys(programs).map((title) => [title, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [title, path] of Object.entries(programs)) {
      const one = await once(path)
      // The first run reads the files from the disk.
      if (round > 0) said.get(title)?.push(one)
    }
  }
  const nothing = said.get(NOTHING) ?? []
  const over = (list: ReadonlyArray<Said>, value: (one: Said) => number) =>
    spread(list.map((one, round) => {
      const by = nothing[round]
      return list === nothing || by === undefined ? value(one) : value(one) - value(by)
    }))
  return [...said].map(([title, list]) => ({
    title,
    millis: over(list, ({ millis }) => millis),
    cpuMillis: over(list, ({ cpuMillis }) => cpuMillis)
  }))
}
