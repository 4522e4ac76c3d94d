import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SqlSessionStore from "../../src/sql/SqlSessionStore.js"
import { isFound, postgres } from "../support/databases.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { connectTo, sqlClient } from "../support/places.js"
import { fromEnvironment } from "../support/program.js"
import { newId, Place, sessionStoreContract } from "../support/sessionStoreContract.js"
import { severalProcesses } from "../support/severalProcesses.js"
import { sqlite } from "../support/sqlite.js"

const file = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-sqlite-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  ),
  (path) => join(path, "sessions.db")
)

const embedded = sqlite()

if (embedded.found) {
  sessionStoreContract(
    "SqlSessionStore (SQLite)",
    Layer.scoped(Place, Effect.map(file, (path) => ({ connect: connectTo("sqlite", path) })))
  )

  describe("SqlSessionStore (SQLite)", () => {
    it.scopedLive(
      "counts exactly over several processes",
      () => Effect.flatMap(file, (path) => severalProcesses("sqlite", path)),
      180_000
    )

    it.scopedLive("works in memory, with configured table names, and with a client that transforms names", () =>
      Effect.gen(function*() {
        yield* SqlSessionStore.migration({ table: "my_sessions" })
        yield* SqlSessionStore.migration({ table: "my_sessions" })
        const store = yield* Effect.provide(SessionStore.SessionStore, SqlSessionStore.layer({ table: "my_sessions" }))
        const id = newId()
        assert.strictEqual(yield* increment(store, id), 1)
        const sql = yield* SqlClient.SqlClient
        assert.lengthOf(yield* sql.unsafe("SELECT id FROM my_sessions"), 1)
        assert.lengthOf(yield* sql.unsafe("SELECT id FROM my_sessions WHERE OWNER IS NOT NULL"), 0)
      }).pipe(Effect.provide(
        SqliteClient.layer({
          filename: ":memory:",
          transformQueryNames: (name) => name.toUpperCase(),
          transformResultNames: (name) => name.toUpperCase()
        })
      )))

    it.scopedLive("is StoreUnavailable without its tables", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.make(yield* SqlSessionStore.backing())
        const error = yield* Effect.flip(store.get(newId()))
        assert.strictEqual(error.reason, "StoreUnavailable")
        assert.include(error.message, "SQLITE_ERROR")
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))

    it.scopedLive("removes entries an hour after their expiry", () =>
      Effect.gen(function*() {
        yield* SqlSessionStore.migration()
        const store = yield* SessionStore.make(yield* SqlSessionStore.backing())
        yield* store.set(newId(), yield* numbered(1, -2 * 3_600_000))
        const later = yield* SessionStore.make(yield* SqlSessionStore.backing())
        yield* later.set(newId(), yield* numbered(1))
        yield* Effect.sleep("50 millis")
        const sql = yield* SqlClient.SqlClient
        assert.lengthOf(yield* sql`SELECT id FROM effect_safire_session`, 1)
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
  })
} else {
  describe("SqlSessionStore (SQLite)", () => {
    it.skip(`skipped: ${embedded.reason}`, () => undefined)
  })
}

const found = postgres()

if (isFound(found)) {
  sessionStoreContract(
    "SqlSessionStore (PostgreSQL)",
    Layer.scoped(Place, Effect.map(found.url, (url) => ({ connect: connectTo("postgresql", Redacted.value(url)) })))
  )
  describe("SqlSessionStore (PostgreSQL)", () => {
    it.scopedLive(
      "counts exactly over several processes, outside of the caller's transaction",
      () =>
        Effect.gen(function*() {
          const url = Redacted.value(yield* found.url)
          yield* severalProcesses("postgresql", url)
          const context = yield* Layer.build(sqlClient("postgresql", url))
          yield* Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            const store = yield* SessionStore.make(yield* SqlSessionStore.backing())
            const id = newId()
            const undone = sql.withTransaction(
              store.modify(id, () =>
                Effect.map(numbered(4), (entry) => [4, Option.some<SessionStore.Entry>(entry)] as const)).pipe(
                  Effect.zipRight(Effect.fail("rolled back" as const))
                )
            )
            assert.strictEqual(yield* Effect.flip(undone), "rolled back")
            assert.strictEqual(numberIn(yield* store.get(id)), 4)
          }).pipe(Effect.provide(context))
        }),
      90_000
    )

    it.scopedLive(
      "is StoreUnavailable within a bounded time after the server has stopped",
      () =>
        Effect.gen(function*() {
          const server = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
          const url = yield* Scope.extend(found.url, server)
          const backing = yield* connectTo("postgresql", Redacted.value(url))
          const store = yield* SessionStore.make(backing, { operationTimeout: "2 seconds" })
          assert.strictEqual(yield* increment(store, newId()), 1)
          yield* Scope.close(server, Exit.void)
          // A server that the environment names cannot be stopped here.
          if (fromEnvironment("PG_URL") !== undefined) return
          const error = yield* Effect.flip(Effect.timeout(increment(store, newId()), "10 seconds"))
          assert.propertyVal(error, "reason", "StoreUnavailable")
        }),
      180_000
    )
  })
} else {
  describe(`SqlSessionStore (PostgreSQL, left out: ${found.reason})`, () => {
    it.skip("needs PostgreSQL", () => {})
  })
}
