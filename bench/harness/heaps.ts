/**
 * The heap of one more server and one more session, each kind in its own process.
 */
import * as Build from "./build.js"
import * as Child from "./Child.js"
import type { Name } from "./Contender.js"
import { named } from "./Contender.js"

export interface HeapResult {
  readonly contender: Name
  readonly what: string
  readonly bytes: number
}

const cases: ReadonlyArray<readonly [Name, string]> = [
  ["effect-safire", "a server, configured"],
  ["effect-safire", "a server, in use"],
  ["openid-client", "a server, configured"],
  ["effect-safire", "a session, in memory"],
  ["fhirclient", "a session, in memory"]
]

/** More than the number of sessions that a process caches. */
const COUNT = 10_000

export const measure = async (): Promise<ReadonlyArray<HeapResult>> => {
  const results: Array<HeapResult> = []
  for (const [contender, what] of cases) {
    const child = await Child.start(contender, Build.built("processes/heap"), {
      args: [Build.built(named(contender).module), what, `${COUNT}`],
      execArgv: ["--expose-gc"]
    })
    const answer = await child.ask({})
    await child.stop()
    if (typeof answer !== "object" || answer === null || !("bytes" in answer)) throw new Error("no bytes")
    results.push({ contender, what, bytes: Number(answer.bytes) })
  }
  return results
}
