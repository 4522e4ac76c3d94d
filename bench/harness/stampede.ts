/**
 * The number of token requests for a thousand concurrent callers of an expired session.
 */
import type * as Child from "./Child.js"
import type { Name } from "./Contender.js"
import type { Workers } from "./rounds.js"
import { sample } from "./rounds.js"
import type { Spread } from "./statistics.js"
import { spread } from "./statistics.js"

export interface StampedeResult {
  readonly contender: Name
  readonly callers: number
  /** Token requests of one stampede. */
  readonly requests: number
  readonly millis: Spread
}

const CALLERS = 1000
const WARM_UP = 3
const contenders: ReadonlyArray<Name> = ["effect-safire", "fhirclient", "openid-client"]

const requestsSince = async (server: Child.Child): Promise<number> => {
  const answer = await server.ask({})
  if (typeof answer !== "object" || answer === null || !("tokenRequests" in answer)) throw new Error("no count")
  return Number(answer.tokenRequests)
}

export const measure = async (
  workers: Workers,
  server: Child.Child,
  rounds: number
): Promise<ReadonlyArray<StampedeResult>> => {
  const results: Array<StampedeResult> = []
  for (const contender of contenders) {
    const child = await workers.of(contender)
    const millis: Array<number> = []
    let requests = 0
    let stampedes = 0
    for (let round = -WARM_UP; round < rounds; round++) {
      await requestsSince(server)
      // A deadline in the past: one repetition.
      const { operations, wallMicros } = await sample(child, { work: "stampede", concurrency: CALLERS, millis: 0 })
      requests += await requestsSince(server)
      stampedes += operations
      if (round >= 0) millis.push(wallMicros / operations / 1000)
    }
    results.push({ contender, callers: CALLERS, requests: requests / stampedes, millis: spread(millis) })
  }
  return results
}
