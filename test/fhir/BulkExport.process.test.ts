import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Databases from "../support/databases.js"
import * as Http from "../support/http.js"
import { sqlite } from "../support/sqlite.js"

const program = fileURLToPath(new URL("exportingProcess.ts", import.meta.url))

/** Runs the program; its exit code, or null if it was killed. */
const start = (origin: string, store: string) => {
  const child = ChildProcess.spawn(process.execPath, ["--import", "tsx", program, origin], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, STORE: store }
  })
  return {
    kill: Effect.sync(() => void child.kill("SIGKILL")),
    exit: Effect.async<number | null>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
      child.on("exit", (code) => resume(Effect.succeed(code)))
    })
  }
}

const FILES = 6
const LINES = 60

/** Every other file supports range requests; each line takes `pause` milliseconds. */
const exportServer = (pause: () => number) =>
  Http.server(({ headers, method, url = "" }, response) => {
    if (url.includes("$export")) {
      response.writeHead(202, { "content-location": "/fhir/status" }).end()
    } else if (method === "DELETE") {
      response.writeHead(202).end()
    } else if (url === "/fhir/status") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
        requiresAccessToken: true,
        output: Array.from({ length: FILES }, (_, index) => ({
          type: "Patient",
          url: `/fhir/files/${index}`,
          count: LINES
        }))
      }))
    } else {
      const file = Number(url.split("/").at(-1))
      const lines = Array.from(
        { length: LINES },
        (_, index) => `${JSON.stringify({ resourceType: "Patient", id: `${file}-${index + 1}` })}\n`
      )
      const size = lines.join("").length
      const from = file % 2 === 0 ? Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0) : 0
      response.writeHead(from > 0 ? 206 : 200, {
        "content-type": "application/fhir+ndjson",
        ...(from > 0 ? { "content-range": `bytes ${from}-${size - 1}/${size}` } : {})
      })
      let rest = lines.join("").slice(from)
      const send = () => {
        if (rest === "") {
          response.end()
          return
        }
        // Pieces that do not end with the lines.
        response.write(rest.slice(0, 40))
        rest = rest.slice(40)
        if (pause() > 0) setTimeout(send, pause())
        else send()
      }
      send()
    }
  })

/** Kills the program again and again, and checks what the database has in the end. */
const killed = (store: string) =>
  Effect.gen(function*() {
    let pause = 8
    const server = yield* exportServer(() => pause)
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE IF NOT EXISTS resources (file integer, line integer, id text)`
    const stored = Effect.map(
      sql<{ readonly id: string }>`SELECT id FROM resources`,
      (rows) => rows.map(({ id }) => id)
    )
    for (let round = 0; round < 4; round++) {
      const before = (yield* stored).length
      const enough = before + (yield* Random.nextIntBetween(1, 50))
      const child = start(server.origin, store)
      while ((yield* stored).length < Math.min(enough, FILES * LINES - 20)) yield* Effect.sleep("5 millis")
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 30))
      yield* child.kill
      assert.isNull(yield* child.exit)
    }
    assert.isBelow((yield* stored).length, FILES * LINES)
    pause = 0
    assert.strictEqual(yield* start(server.origin, store).exit, 0)
    const ids = yield* stored
    assert.strictEqual(ids.length, FILES * LINES)
    assert.strictEqual(new Set(ids).size, FILES * LINES)
    assert.strictEqual(server.requests.filter(({ url }) => url.includes("$export")).length, 1)
    assert.isTrue(server.requests.some(({ headers }) => headers.range !== undefined))
    assert.strictEqual(server.requests.filter(({ method }) => method === "DELETE").length, 1)
  })

const sqliteFound = sqlite()
const postgres = Databases.postgres()

describe("BulkExport in a process that is killed, with rows and checkpoint in one transaction", () => {
  it.scopedLive.skipIf(!sqliteFound.found)(
    "SQLite: another process resumes it without loss or repetition",
    () =>
      Effect.gen(function*() {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "export-"))),
          (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
        )
        const filename = Path.join(directory, "export.db")
        yield* killed(filename).pipe(Effect.provide(SqliteClient.layer({ filename })))
      }),
    120_000
  )

  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "PostgreSQL: another process resumes it without loss or repetition",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const url = yield* postgres.url
        yield* killed(Redacted.value(url)).pipe(Effect.provide(PgClient.layer({ url })))
      }),
    120_000
  )
})
