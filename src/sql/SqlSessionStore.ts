/**
 * Sessions in a relational database through `@effect/sql`: SQLite for the processes of one machine, PostgreSQL for many
 * machines. Each operation is one statement outside of transactions, so that a renewal holds no connection.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import { type BackingSessionStore, unavailable, type Value } from "../session/BackingSessionStore.js"
import type { SessionError } from "../session/SessionError.js"
import * as SessionStore from "../session/SessionStore.js"

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** The table of entries and their locks. Default `effect_safire_session`. */
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

const tableOf = (options: { readonly table?: string | undefined }): string => options.table ?? "effect_safire_session"

/**
 * Creates the table if it does not exist. Run it in a `Migrator`, or before the first use of the store.
 *
 * @since 0.1.0
 * @category constructors
 */
export const migration = (
  options: { readonly table?: string | undefined } = {}
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const table = tableOf(options)
    yield* sql`CREATE TABLE IF NOT EXISTS ${
      sql(table)
    } (id TEXT PRIMARY KEY, value TEXT, keep_until BIGINT NOT NULL, owner TEXT, held_until BIGINT, lease BIGINT)`
    yield* sql`CREATE INDEX IF NOT EXISTS ${sql(`${table}_keep_until`)} ON ${sql(table)} (keep_until)`
  }).pipe(
    // IF NOT EXISTS does not lock in PostgreSQL: one of two processes that start together may fail.
    Effect.retry(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(3)))
  )

/** Outside of the caller's transaction, which would hide the entry until it ends, and undo it if it fails. */
const outsideOfTransaction = <A, E>(statement: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) =>
    fiber.currentContext.unsafeMap.has(SqlClient.TransactionConnection.key)
      ? Effect.mapInputContext(statement, (context: Context.Context<never>) =>
        Context.omit(SqlClient.TransactionConnection)(
          // The type of an effect does not show that it is inside a transaction.
          context as Context.Context<SqlClient.TransactionConnection>
        ) as Context.Context<never>)
      : statement
  )

interface Row {
  readonly value: string | null
}

/**
 * Entries in a database. An entry and its lock are one row, so that one statement locks and reads, and one writes and
 * unlocks. A row without a value is a lock of an absent entry. Leases use the database's clock, which all processes
 * share: a process with a wrong clock could otherwise end another lease early.
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
    const table = sql(tableOf(options))
    let lastSweep = Number.NEGATIVE_INFINITY

    const run = <A>(operation: string, statement: Effect.Effect<A, SqlError>) =>
      Effect.mapError(outsideOfTransaction(statement), unavailable(name, operation))
    const isDone = (operation: string, statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
      Effect.map(run(operation, statement), (rows) => rows.length > 0)

    /** A row with a lock stays a day longer than its lease. */
    const sweep = (time: number) =>
      run(
        "sweeping",
        sql`DELETE FROM ${table} WHERE keep_until < ${bigint(Math.floor(time - HOUR))}
          AND (owner IS NULL OR held_until < ${now} - ${bigint(24 * HOUR)})`
      )

    /** Runs a write, and removes what has expired once in an hour, in the background. */
    const writing = (write: Effect.Effect<boolean, SessionError>): Effect.Effect<boolean, SessionError> =>
      Effect.suspend(() => {
        const time = unsafeMillis()
        if (time - lastSweep < HOUR) return write
        lastSweep = time
        return Effect.zipRight(Effect.forkDaemon(Effect.ignoreLogged(sweep(time))), write)
      })

    const replace = (
      key: string,
      expected: Option.Option<string>,
      next: Option.Option<Value>
    ): Effect.Effect<boolean, SessionError> => {
      if (Option.isSome(next)) {
        const until = bigint(Math.floor(next.value.expiresAt))
        return isDone(
          "writing",
          Option.isNone(expected)
            ? sql`INSERT INTO ${table} (id, value, keep_until) VALUES (${key}, ${next.value.text}, ${until})
              ON CONFLICT (id) DO UPDATE SET value = excluded.value, keep_until = excluded.keep_until
              WHERE ${table}.value IS NULL RETURNING id`
            : sql`UPDATE ${table} SET value = ${next.value.text}, keep_until = ${until}
              WHERE id = ${key} AND value = ${expected.value} RETURNING id`
        )
      }
      return Option.isSome(expected)
        // The row stays, because its lock may belong to a `modify` in progress.
        ? isDone(
          "removing",
          sql`UPDATE ${table} SET value = NULL, keep_until = 0
            WHERE id = ${key} AND value = ${expected.value} RETURNING id`
        )
        : Effect.map(
          isDone("reading", sql`SELECT id FROM ${table} WHERE id = ${key} AND value IS NOT NULL`),
          (found) => !found
        )
    }

    const lockAndRead = (key: string, owner: string, leaseMillis: number) => {
      const lease = bigint(Math.ceil(leaseMillis))
      return Effect.map(
        run(
          "locking",
          // The last condition is for a clock that jumped back, as in isLeaseOver.
          sql<Row>`INSERT INTO ${table} (id, keep_until, owner, held_until, lease)
            VALUES (${key}, 0, ${owner}, ${now} + ${lease}, ${lease})
            ON CONFLICT (id) DO UPDATE
            SET owner = excluded.owner, held_until = excluded.held_until, lease = excluded.lease
            WHERE ${table}.owner IS NULL OR ${table}.held_until <= ${now}
              OR ${table}.held_until > ${now} + 2 * ${table}.lease RETURNING value`
        ),
        (rows) => Option.map(Option.fromNullable(rows[0]), ({ value }) => Option.fromNullable(value))
      )
    }

    return {
      name,
      read: (key) =>
        Effect.map(
          run("reading", sql<Row>`SELECT value FROM ${table} WHERE id = ${key}`),
          (rows) => Option.fromNullable(rows[0]?.value)
        ),
      replace: (key, expected, next) => writing(replace(key, expected, next)),
      tryLock: (key, owner, leaseMillis) => Effect.map(lockAndRead(key, owner, leaseMillis), Option.isSome),
      lockAndRead,
      replaceAndUnlock: (key, owner, expected, next) => {
        if (Option.isNone(next)) {
          if (Option.isNone(expected)) return replace(key, expected, next)
          return isDone(
            "removing",
            sql`DELETE FROM ${table} WHERE id = ${key} AND value = ${expected.value} AND owner = ${owner} RETURNING id`
          ).pipe(
            // The lease was over, and another caller may have the lock.
            Effect.flatMap((isRemoved) => isRemoved ? Effect.succeed(true) : replace(key, expected, next))
          )
        }
        const { expiresAt, text } = next.value
        const matches = Option.isNone(expected) ? sql`value IS NULL` : sql`value = ${expected.value}`
        return writing(isDone(
          "writing",
          sql`UPDATE ${table} SET value = ${text}, keep_until = ${bigint(Math.floor(expiresAt))},
            owner = CASE WHEN owner = ${owner} THEN NULL ELSE owner END
            WHERE id = ${key} AND ${matches} RETURNING id`
        ))
      },
      unlock: (key, owner) =>
        Effect.flatMap(
          run(
            "unlocking",
            sql<Row>`UPDATE ${table} SET owner = NULL WHERE id = ${key} AND owner = ${owner} RETURNING value`
          ),
          (rows) =>
            // Otherwise each lock of an absent entry would leave a row.
            rows[0]?.value !== null
              ? Effect.void
              : Effect.asVoid(
                run("unlocking", sql`DELETE FROM ${table} WHERE id = ${key} AND value IS NULL AND owner IS NULL`)
              )
        )
    }
  })

/**
 * A store over the `SqlClient`. The table must exist before the first use (see `migration`): the SQLite client
 * caches a statement that did not compile for minutes.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError, SqlClient.SqlClient> =>
  SessionStore.layerBacking(backing(options), options)
