/**
 * The stores of the chaos run, each on a small disk of its own that can be filled, and databases that can be restarted.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { postgresFolders, redisProgram, unprivileged } from "../../test/support/databases.js"
import { freePort } from "../../test/support/freePort.js"
import type { Kind } from "../../test/support/places.js"
import { find } from "../../test/support/program.js"
import { sqlite } from "../../test/support/sqlite.js"

export interface Place {
  readonly name: string
  readonly kind: Kind
  readonly address: string
  /** Fills the disk, and frees it again. Absent without the right to mount a disk. */
  readonly disk: { readonly fill: Effect.Effect<void>; readonly free: Effect.Effect<void> } | undefined
  /** Kills the database, and starts it with its data. */
  readonly server: { readonly kill: Effect.Effect<void>; readonly start: Effect.Effect<void> } | undefined
}

/** A file that takes all space that is left. */
const ballast = (directory: string) => {
  const path = join(directory, "ballast")
  return {
    fill: Effect.sync(() => {
      const file = openSync(path, "w")
      for (const size of [1_048_576, 4_096, 1]) {
        const zeros = Buffer.alloc(size)
        try {
          while (writeSync(file, zeros) === size);
        } catch {
          // The disk has no room for a block of this size.
        }
      }
      closeSync(file)
    }),
    free: Effect.sync(() => rmSync(path, { force: true }))
  }
}

/** A directory on a disk of some megabytes, or an ordinary directory. */
const disk = (megabytes: number) =>
  Effect.gen(function*() {
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-chaos-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const isMounted = yield* Effect.acquireRelease(
      Effect.sync(() => {
        try {
          execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", root], { stdio: "ignore" })
          return true
        } catch {
          return false
        }
      }),
      (mounted) => Effect.sync(() => void (mounted && execFileSync("umount", ["-l", root], { stdio: "ignore" })))
    )
    const directory = join(root, "data")
    mkdirSync(directory)
    return { directory, disk: isMounted ? ballast(root) : undefined }
  })

const exited = (child: ChildProcess | undefined, signal: NodeJS.Signals) =>
  Effect.async<void>((resume) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill(signal)
  })

/** A server that is started once, and again after each kill. */
const restartable = (
  run: () => ChildProcess,
  isReady: Effect.Effect<void, unknown>,
  signal: NodeJS.Signals
): Effect.Effect<NonNullable<Place["server"]>, never, Scope.Scope> =>
  Effect.gen(function*() {
    let child: ChildProcess | undefined
    const kill = Effect.suspend(() => exited(child, signal))
    const start = Effect.zipRight(
      Effect.suspend(() => {
        child = run()
        return Effect.void
      }),
      Effect.orDie(Effect.retry(isReady, Schedule.spaced("100 millis").pipe(Schedule.upTo("60 seconds"))))
    )
    yield* Effect.addFinalizer(() => kill)
    yield* start
    return { kill, start }
  })

const redis = (program: string) =>
  Effect.gen(function*() {
    const { directory, disk: ballast } = yield* disk(64)
    const port = yield* freePort
    const server = yield* restartable(
      () =>
        spawn(program, [
          ...["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""],
          ...["--appendonly", "yes", "--appendfsync", "always"]
        ], { stdio: "ignore" }),
      Effect.try(() => execFileSync("redis-cli", ["-p", String(port), "ping"], { stdio: "pipe" })).pipe(
        Effect.filterOrFail((reply) => String(reply).includes("PONG"), () => "not ready")
      ),
      "SIGKILL"
    )
    return { name: "Redis", kind: "redis", address: `redis://127.0.0.1:${port}`, disk: ballast, server } as const
  })

const postgres = (initdb: string, program: string) =>
  Effect.gen(function*() {
    const { directory, disk: ballast } = yield* disk(192)
    const user = unprivileged()
    if (user !== undefined) chownSync(directory, user.uid, user.gid)
    execFileSync(
      initdb,
      ["-D", directory, "-U", "safire", "-A", "trust", "-E", "UTF8", "--no-sync", "--wal-segsize=1"],
      { stdio: "pipe", cwd: directory, ...user }
    )
    const port = yield* freePort
    const address = `postgres://safire@127.0.0.1:${port}/postgres`
    const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_wal_size=16MB", "min_wal_size=2MB"]
    const server = yield* restartable(
      () =>
        spawn(program, ["-D", directory, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])], {
          stdio: "ignore",
          ...user
        }),
      Effect.scoped(Layer.build(PgClient.layer({ url: Redacted.make(address) }))),
      // An immediate shutdown, as after a crash.
      "SIGQUIT"
    )
    return { name: "PostgreSQL", kind: "postgresql", address, disk: ballast, server } as const
  })

const leftOut = (name: string, reason: string) =>
  Effect.as(Console.log(`left out: ${name} (${reason})`), [] as ReadonlyArray<Place>)

/** All stores that this machine has. */
export const places: Effect.Effect<ReadonlyArray<Place>, never, Scope.Scope> = Effect.gen(function*() {
  const files = yield* disk(16)
  const database = yield* disk(16)
  const embedded = sqlite()
  const redisServer = redisProgram()
  const [initdb, postgresServer] = ["initdb", "postgres"].map((program) => find(program, postgresFolders()))
  return [
    { name: "files", kind: "files", address: files.directory, disk: files.disk, server: undefined } as const,
    ...(embedded.found
      ? [
        {
          name: "SQLite",
          kind: "sqlite",
          address: join(database.directory, "sessions.db"),
          disk: database.disk,
          server: undefined
        } as const
      ]
      : yield* leftOut("SQLite", embedded.reason)),
    ...(initdb === undefined || postgresServer === undefined
      ? yield* leftOut("PostgreSQL", "no initdb and postgres")
      : [yield* postgres(initdb, postgresServer)]),
    ...(redisServer === undefined ? yield* leftOut("Redis", "no redis-server") : [yield* redis(redisServer)])
  ]
})
