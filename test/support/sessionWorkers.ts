/**
 * Processes that use sessions in a shared store, and die when they are told.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { build } from "esbuild"
import type { Command, Fared, Report } from "./sessionWorkerMessages.js"

class WorkerError extends Data.TaggedError("WorkerError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** The worker as one file: it starts in a fraction of the time. It lies where its native modules are found. */
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
          // Some of what is bundled is CommonJS and asks for Node's modules with `require`.
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
  /** Ends with what each of the callers was told. */
  readonly use: (
    id: string,
    callers: number,
    refused?: string
  ) => Effect.Effect<ReadonlyArray<Fared>, WorkerError>
  /** Ends when the worker has reached the place it was to hold at. */
  readonly held: Effect.Effect<void, WorkerError>
  readonly go: Effect.Effect<void>
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
  /** SIGKILL, and gone. */
  readonly kill: Effect.Effect<void>
}

const gone = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

/** A worker that is ready, and that ends with the scope. */
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
    // Said and not asked for yet, or asked for and not said yet.
    const said: Array<Report> = []
    const listeners = new Set<() => void>()
    const tell = () => {
      for (const listener of [...listeners]) listener()
    }
    // The channel carries what sessionWorker.ts reports, and nothing else.
    child.on("message", (message) => {
      said.push(message as Report)
      tell()
    })
    child.once("exit", tell)

    const next = <T extends Report["_tag"]>(
      tag: T
    ): Effect.Effect<Extract<Report, { readonly _tag: T }>, WorkerError> =>
      Effect.async((resume) => {
        const look = () => {
          const index = said.findIndex((report) => report._tag === tag)
          const [found] = index < 0 ? [] : said.splice(index, 1)
          if (found !== undefined) {
            listeners.delete(look)
            // Found by its tag.
            resume(Effect.succeed(found as Extract<Report, { readonly _tag: T }>))
          } else if (child.exitCode !== null || child.signalCode !== null) {
            listeners.delete(look)
            resume(new WorkerError({ detail: `a worker ended before it said ${tag}: ${stderr}` }))
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
      signal: (signal) => Effect.sync(() => void child.kill(signal)),
      kill: gone(child)
    }
  })
