/**
 * Sessions in a relational database through `@effect/sql`: SQLite for the processes of one machine, PostgreSQL for many
 * machines. Each operation is one statement outside of transactions, so that a renewal holds no connection.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { type BackingSessionStore, unavailable } from "../session/BackingSessionStore.js"
import * as SessionStore from "../session/SessionStore.js"

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** The table of entries. The table of locks has the suffix `_lock`. Default `effect_safire_session`. */
  readonly table?: string | undefined
}

const HOUR = 3_600_000

interface Dialect {
  readonly name: string
  /** The time of the database in epoch milliseconds. */
  readonly now: Fragment
  readonly bigint: (value: number) => Fragment
}

const dialectOf = (sql: SqlClient.SqlClient): Effect.Effect<Dialect, ConfigurationError> =>
  sql.onDialectOrElse({
    sqlite: (): Effect.Effect<Dialect, ConfigurationError> =>
      Effect.succeed({
        name: "sqlite",
        now: sql`(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
        bigint: (value) => sql`${value}`
      }),
    pg: (): Effect.Effect<Dialect, ConfigurationError> =>
      Effect.succeed({
        name: "postgresql",
        now: sql`(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT))`,
        bigint: (value) => sql`CAST(${value} AS BIGINT)`
      }),
    orElse: (): Effect.Effect<Dialect, ConfigurationError> =>
      configurationError(
        "Invalid",
        ["SqlClient"],
        "sessions need SQLite or PostgreSQL; this client is for another database"
      )
  })

const namesOf = (options: { readonly table?: string | undefined }) => {
  const table = options.table ?? "effect_safire_session"
  return { table, lockTable: `${table}_lock` }
}

/**
 * Creates the two tables if they do not exist. Run it in a `Migrator`, or before the first use of the store.
 *
 * @since 0.1.0
 * @category constructors
 */
export const migration = (
  options: { readonly table?: string | undefined } = {}
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const { lockTable, table } = namesOf(options)
    yield* sql`CREATE TABLE IF NOT EXISTS ${
      sql(table)
    } (id TEXT PRIMARY KEY, value TEXT NOT NULL, keep_until BIGINT NOT NULL)`
    yield* sql`CREATE INDEX IF NOT EXISTS ${sql(`${table}_keep_until`)} ON ${sql(table)} (keep_until)`
    yield* sql`CREATE TABLE IF NOT EXISTS ${
      sql(lockTable)
    } (id TEXT PRIMARY KEY, owner TEXT NOT NULL, held_until BIGINT NOT NULL, lease BIGINT NOT NULL)`
  }).pipe(
    // IF NOT EXISTS does not lock in PostgreSQL: one of two processes that start together may fail.
    Effect.retry(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(3)))
  )

/**
 * Entries in a database. Leases use the database's clock, which all processes share: a process with a wrong clock could
 * otherwise end another lease early.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backing = (
  options: { readonly table?: string | undefined } = {}
): Effect.Effect<BackingSessionStore, ConfigurationError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const { bigint, name, now } = yield* dialectOf(sql)
    const names = namesOf(options)
    const table = sql(names.table)
    const locks = sql(names.lockTable)
    let lastSweep = Number.NEGATIVE_INFINITY

    /** Outside of the caller's transaction, which would hide the entry until it ends, and undo it if it fails. */
    const run = <A>(operation: string, statement: Effect.Effect<A, SqlError>) =>
      statement.pipe(
        Effect.mapInputContext((context: Context.Context<never>) =>
          Context.omit(SqlClient.TransactionConnection)(
            // The type of an effect does not show that it is inside a transaction.
            context as Context.Context<SqlClient.TransactionConnection>
          ) as Context.Context<never>
        ),
        Effect.mapError(unavailable(name, operation))
      )
    const isDone = (operation: string, statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
      Effect.map(run(operation, statement), (rows) => rows.length > 0)

    const sweepHourly = Effect.gen(function*() {
      const time = yield* Clock.currentTimeMillis
      if (time - lastSweep < HOUR) return
      lastSweep = time
      yield* run("sweeping", sql`DELETE FROM ${table} WHERE keep_until < ${bigint(Math.floor(time - HOUR))}`).pipe(
        Effect.zipRight(run("sweeping", sql`DELETE FROM ${locks} WHERE held_until < ${now} - ${bigint(24 * HOUR)}`)),
        Effect.ignoreLogged,
        Effect.forkDaemon
      )
    })

    return {
      name,
      read: (key) =>
        Effect.map(
          run("reading", sql<{ readonly value: string }>`SELECT value FROM ${table} WHERE id = ${key}`),
          (rows) => Option.map(Option.fromNullable(rows[0]), (row) => row.value)
        ),
      replace: (key, expected, next) =>
        Effect.zipRight(
          sweepHourly,
          Option.match(next, {
            onSome: ({ expiresAt, text }) =>
              isDone(
                "writing",
                Option.isNone(expected)
                  ? sql`INSERT INTO ${table} (id, value, keep_until) VALUES (${key}, ${text}, ${
                    bigint(Math.floor(expiresAt))
                  }) ON CONFLICT (id) DO NOTHING RETURNING id`
                  : sql`UPDATE ${table} SET value = ${text}, keep_until = ${
                    bigint(Math.floor(expiresAt))
                  } WHERE id = ${key} AND value = ${expected.value} RETURNING id`
              ),
            onNone: () =>
              Option.isSome(expected)
                ? isDone(
                  "removing",
                  sql`DELETE FROM ${table} WHERE id = ${key} AND value = ${expected.value} RETURNING id`
                )
                : Effect.map(isDone("reading", sql`SELECT id FROM ${table} WHERE id = ${key}`), (found) => !found)
          })
        ),
      tryLock: (key, owner, leaseMillis) => {
        const lease = bigint(Math.ceil(leaseMillis))
        return isDone(
          "locking",
          // The last condition is for a clock that jumped back, as in isLeaseOver.
          sql`INSERT INTO ${locks} (id, owner, held_until, lease) VALUES (${key}, ${owner}, ${now} + ${lease}, ${lease})
            ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until, lease = excluded.lease
            WHERE ${locks}.held_until <= ${now} OR ${locks}.held_until > ${now} + 2 * ${locks}.lease RETURNING id`
        )
      },
      unlock: (key, owner) =>
        Effect.asVoid(run("unlocking", sql`DELETE FROM ${locks} WHERE id = ${key} AND owner = ${owner}`))
    }
  })

/**
 * A store over the `SqlClient`. The tables must exist before the first use (see `migration`): the SQLite client
 * caches a statement that did not compile for minutes.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError, SqlClient.SqlClient> =>
  SessionStore.layerBacking(backing(options), options)
