/**
 * Redis and PostgreSQL for tests: the one that the environment names, else one that is started from this machine's
 * binaries on a free loopback port in a new directory, else none, with the reason.
 */
import { execFileSync, spawn } from "node:child_process"
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { freePort } from "./freePort.js"
import { find, fromEnvironment } from "./program.js"

export class DatabaseError extends Data.TaggedError("DatabaseError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** The URL of a running server, or the reason why none is available. */
export type Found =
  | { readonly url: Effect.Effect<Redacted.Redacted, DatabaseError, Scope.Scope> }
  | { readonly reason: string }

export const isFound = (found: Found): found is Extract<Found, { readonly url: unknown }> => "url" in found

export const postgresFolders = (): ReadonlyArray<string> => {
  const root = "/usr/lib/postgresql"
  try {
    return readdirSync(root).sort((a, b) => Number(b) - Number(a)).map((version) => join(root, version, "bin"))
  } catch {
    return []
  }
}

/** PostgreSQL refuses to run as root. */
export const unprivileged = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  for (const user of ["postgres", "nobody"]) {
    try {
      const id = (flag: string) => Number(execFileSync("id", [flag, user], { encoding: "utf8", stdio: "pipe" }))
      return { uid: id("-u"), gid: id("-g") }
    } catch {
      continue
    }
  }
  return undefined
}

const folder = (prefix: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), prefix))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

const listens = (port: number) =>
  Effect.async<void, DatabaseError>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", () => resume(new DatabaseError({ detail: `nothing listens on port ${port}` })))
  }).pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("20 seconds"))))

/** Runs a server until the scope closes. A test stops and continues it by signals. */
const served = (
  program: string,
  args: ReadonlyArray<string>,
  user: { readonly uid?: number; readonly gid?: number },
  signal: NodeJS.Signals
) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(program, args, { stdio: "ignore", ...user })),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill(signal)
      })
  )

export const startRedis = (program: string, port: number) =>
  Effect.gen(function*() {
    const data = yield* folder("safire-redis-")
    const child = yield* served(
      program,
      ["--port", String(port), "--bind", "127.0.0.1", "--dir", data, "--save", "", "--appendonly", "no"],
      {},
      "SIGTERM"
    )
    yield* listens(port)
    return child
  })

export const redisProgram = (): string | undefined => find("redis-server")

export const redis = (): Found => {
  const url = fromEnvironment("REDIS_URL")
  if (url !== undefined) return { url: Effect.succeed(Redacted.make(url)) }
  const program = redisProgram()
  if (program === undefined) return { reason: "no REDIS_URL and no redis-server in PATH" }
  return {
    url: Effect.gen(function*() {
      const port = yield* freePort
      yield* startRedis(program, port)
      return Redacted.make(`redis://127.0.0.1:${port}`)
    })
  }
}

export const postgres = (): Found => {
  const url = fromEnvironment("PG_URL")
  if (url !== undefined) return { url: Effect.succeed(Redacted.make(url)) }
  const folders = postgresFolders()
  const initdb = find("initdb", folders)
  const server = find("postgres", folders)
  if (initdb === undefined || server === undefined) return { reason: "no PG_URL and no initdb and postgres in PATH" }
  const user = unprivileged()
  if (process.getuid?.() === 0 && user === undefined) return { reason: "postgres does not run as root" }
  return {
    url: Effect.gen(function*() {
      const data = yield* folder("safire-postgres-")
      if (user !== undefined) yield* Effect.sync(() => chownSync(data, user.uid, user.gid))
      yield* Effect.try({
        try: () =>
          execFileSync(initdb, ["-D", data, "-U", "safire", "-A", "trust", "-E", "UTF8", "--no-sync"], {
            stdio: "pipe",
            cwd: data,
            ...user
          }),
        catch: (failure) => new DatabaseError({ detail: `initdb failed: ${String(failure)}` })
      })
      const port = yield* freePort
      yield* served(
        server,
        ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-F"],
        user ?? {},
        "SIGINT"
      )
      const url = Redacted.make(`postgres://safire@127.0.0.1:${port}/postgres`)
      // The port accepts connections before the server is ready.
      yield* Layer.build(PgClient.layer({ url })).pipe(
        Effect.scoped,
        Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo("30 seconds"))),
        Effect.mapError(() => new DatabaseError({ detail: `postgres on port ${port} does not get ready` }))
      )
      return url
    })
  }
}
