/**
 * Processes that use sessions in a shared store, and that a test can kill.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { build } from "esbuild"
import type { CallerResult, Command, Report } from "./sessionWorkerMessages.js"

class WorkerError extends Data.TaggedError("WorkerError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** The worker as one file, which starts faster. It is in a folder where its native modules are found. */
export const workerProgram: Effect.Effect<string, WorkerError, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const cache = at("../../node_modules/.cache")
      mkdirSync(cache, { recursive: true })
      return mkdtempSync(join(cache, "session-worker-"))
    }),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const outfile = join(folder, "worker.mjs")
  yield* Effect.tryPromise({
    try: () =>
      build({
        entryPoints: [at("./sessionWorker.ts")],
        outfile,
        bundle: true,
        platform: "node",
        target: "node20",
        format: "esm",
        external: ["better-sqlite3", "pg-native"],
        logLevel: "error",
        banner: {
          // Some bundled modules are CommonJS and load Node's modules with `require`.
          js:
            "import { createRequire as __createRequire } from \"node:module\"; const require = __createRequire(import.meta.url);"
        }
      }),
    catch: (failure) => new WorkerError({ detail: `the worker cannot be built: ${String(failure)}` })
  })
  return outfile
})

export interface Worker {
  readonly open: (
    options: Omit<Extract<Command, { readonly _tag: "Open" }>, "_tag">
  ) => Effect.Effect<void, WorkerError>
  /** Ends with the result of each caller. */
  readonly use: (
    id: string,
    callers: number,
    refused?: string
  ) => Effect.Effect<ReadonlyArray<CallerResult>, WorkerError>
  /** Ends when the worker holds at its step. */
  readonly held: Effect.Effect<void, WorkerError>
  readonly go: Effect.Effect<void>
  readonly setClock: (offsetMillis: number) => Effect.Effect<void>
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
  /** Kills the process (SIGKILL) and waits for its end. */
  readonly kill: Effect.Effect<void>
}

const gone = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

/** A ready worker, which ends with the scope. */
export const startWorker = (program: string): Effect.Effect<Worker, WorkerError, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [program], { stdio: ["ignore", "ignore", "pipe", "ipc"] })),
      gone
    )
    let stderr = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    // Messages without a reader, or readers without a message.
    const reports: Array<Report> = []
    const listeners = new Set<() => void>()
    const tell = () => {
      for (const listener of [...listeners]) listener()
    }
    // The channel has only messages of sessionWorker.ts.
    child.on("message", (message) => {
      reports.push(message as Report)
      tell()
    })
    child.once("exit", tell)

    const next = <T extends Report["_tag"]>(
      tag: T
    ): Effect.Effect<Extract<Report, { readonly _tag: T }>, WorkerError> =>
      Effect.async((resume) => {
        const look = () => {
          const index = reports.findIndex((report) => report._tag === tag)
          const [found] = index < 0 ? [] : reports.splice(index, 1)
          if (found !== undefined) {
            listeners.delete(look)
            // Found by its tag.
            resume(Effect.succeed(found as Extract<Report, { readonly _tag: T }>))
          } else if (child.exitCode !== null || child.signalCode !== null) {
            listeners.delete(look)
            resume(new WorkerError({ detail: `a worker ended before it sent ${tag}: ${stderr}` }))
          }
        }
        listeners.add(look)
        look()
        return Effect.sync(() => listeners.delete(look))
      })
    const send = (command: Command) => Effect.sync(() => void child.send(command))

    yield* next("Ready")
    return {
      open: (options) => Effect.zipRight(send({ _tag: "Open", ...options }), Effect.asVoid(next("Opened"))),
      use: (id, callers, refused) =>
        Effect.map(
          Effect.zipRight(send({ _tag: "Use", id, callers, refused }), next("Used")),
          (report) => report.callers
        ),
      held: Effect.asVoid(next("Held")),
      go: send({ _tag: "Go" }),
      setClock: (offsetMillis) => send({ _tag: "SetClock", offsetMillis }),
      signal: (signal) => Effect.sync(() => void child.kill(signal)),
      kill: gone(child)
    }
  })
