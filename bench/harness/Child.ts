/**
 * Processes that get messages and send one reply to each.
 */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { once } from "node:events"

export interface Child {
  /** The first message of the process. */
  readonly greeting: unknown
  readonly ask: (message: object) => Promise<unknown>
  readonly stop: () => Promise<void>
}

const failureOf = (message: unknown): string | undefined =>
  typeof message === "object" && message !== null && "failure" in message ? String(message.failure) : undefined

/** Longer than most measurements. */
const PATIENCE_MILLIS = 120_000

const next = async (child: ChildProcess, name: string, patienceMillis: number): Promise<unknown> => {
  const done = new AbortController()
  const late = AbortSignal.timeout(patienceMillis)
  const signal = AbortSignal.any([done.signal, late])
  try {
    const [message] = await Promise.race([
      once(child, "message", { signal }),
      once(child, "exit", { signal }).then(([code]) => [{ failure: `it ended with ${code}` }])
    ])
    const failure = failureOf(message)
    if (failure !== undefined) throw new Error(`${name}: ${failure}`)
    return message
  } catch (cause) {
    throw late.aborted ? new Error(`${name}: no answer in ${patienceMillis / 1000} seconds`, { cause }) : cause
  } finally {
    done.abort()
  }
}

export interface Options {
  readonly args?: ReadonlyArray<string>
  /** Replaces the options with which this process was started. */
  readonly execArgv?: ReadonlyArray<string>
  /** The time limit of one reply. */
  readonly patienceMillis?: number
}

export const start = async (
  name: string,
  path: string,
  { args = [], execArgv, patienceMillis = PATIENCE_MILLIS }: Options = {}
): Promise<Child> => {
  const child = fork(path, [...args], {
    ...(execArgv === undefined ? {} : { execArgv: [...execArgv] }),
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  return {
    greeting: await next(child, name, patienceMillis),
    ask: (message) => {
      child.send(message)
      return next(child, name, patienceMillis)
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, "exit")
      child.disconnect()
      await ended
    }
  }
}
