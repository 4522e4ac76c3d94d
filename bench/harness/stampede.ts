/**
 * The number of token requests for a thousand concurrent callers of an expired session.
 */
import type * as Child from "./Child.js"
import type { Name } from "./Contender.js"
import type { Workers } from "./rounds.js"
import { sample, warmUp } from "./rounds.js"
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
/** A stampede is short: so many make a round. */
const STAMPEDES = 9
const contenders: ReadonlyArray<Name> = ["effect-safire", "fhirclient", "openid-client", "NodeTransport used bare"]

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
  const job = { work: "stampede", concurrency: CALLERS, millis: 250 }
  const found = new Map<Name, { requests: number; readonly millis: Array<number> }>()
  for (const contender of contenders) {
    await warmUp(await workers.of(contender), job)
    found.set(contender, { requests: 0, millis: [] })
  }
  for (let round = 0; round < rounds * STAMPEDES; round++) {
    for (const [contender, counted] of found) {
      await requestsSince(server)
      // A deadline in the past: one repetition.
      const { operations, wallMicros } = await sample(await workers.of(contender), { ...job, millis: 0 })
      counted.requests += await requestsSince(server) / operations
      counted.millis.push(wallMicros / operations / 1000)
    }
  }
  return Array.from(found, ([contender, { millis, requests }]) => ({
    contender,
    callers: CALLERS,
    requests: requests / millis.length,
    millis: spread(millis)
  }))
}
