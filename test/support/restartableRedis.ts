import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { freePort } from "./freePort.js"

export interface RestartableRedis {
  readonly url: string
  readonly start: Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  /** Pauses or continues the process without closing connections. */
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

const ended = (child: ChildProcess | undefined) =>
  Effect.async<void>((resume) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

const listens = (url: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null })
      client.on("error", () => {})
      return client
    }),
    (client) => Effect.tryPromise(() => client.ping()),
    (client) => Effect.sync(() => client.disconnect())
  ).pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("20 seconds"))), Effect.orDie, Effect.asVoid)

/**
 * A running Redis that can be restarted: with its entries if `isDurable`, otherwise without them.
 */
export const restartableRedis = (
  program: string,
  isDurable: boolean
): Effect.Effect<RestartableRedis, never, Scope.Scope> =>
  Effect.gen(function*() {
    const data = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-redis-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const port = yield* freePort
    const url = `redis://127.0.0.1:${port}`
    const durability = isDurable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"]
    let child: ChildProcess | undefined
    const start = Effect.zipRight(
      Effect.sync(() => {
        const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", data, "--save", "", ...durability]
        child = spawn(program, args, { stdio: "ignore" })
      }),
      listens(url)
    )
    const stop = Effect.suspend(() => ended(child))
    yield* Effect.addFinalizer(() => stop)
    yield* start
    return { url, start, stop, signal: (signal) => Effect.sync(() => void child?.kill(signal)) }
  })
