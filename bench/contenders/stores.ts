/**
 * The session stores of this library: a read, and a change under a lock; and the same with more and more sessions.
 */
import { createHash, randomBytes } from "node:crypto"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { SessionStore, TokenSet } from "effect-safire"
import { FileSessionStore } from "effect-safire/node"
import { RedisSessionStore } from "effect-safire/redis"
import { SqlSessionStore } from "effect-safire/sql"
import { Redis } from "ioredis"
import { construct } from "../../src/base/SchemaFields.js"
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import type { ContenderModule, Work } from "../harness/Contender.js"
import type { StoreName } from "../harness/growthSizes.js"
import { SESSIONS } from "../harness/growthSizes.js"
import type { Setting, Stores } from "../harness/Setting.js"

/** An entry that fills a store. */
interface Filling {
  readonly key: string
  readonly text: string
  readonly expiresAt: number
}

interface Database {
  readonly backing: SessionStore.BackingSessionStore
  /** Stores new entries. A million entries one by one take longer than the measurement. */
  readonly fill: (entries: ReadonlyArray<Filling>) => Effect.Effect<unknown, unknown>
}

type Opened = Effect.Effect<Database, unknown, Scope.Scope>

/** For databases that are filled fast enough one by one. */
const oneByOne = (backing: SessionStore.BackingSessionStore): Database => ({
  backing,
  fill: (entries) =>
    Effect.forEach(
      entries,
      ({ expiresAt, key, text }) => backing.replace(key, Option.none(), Option.some({ text, expiresAt })),
      { concurrency: 32, discard: true }
    )
})

/** More would exceed the parameters of a statement. */
const ROWS_PER_STATEMENT = 1000

/** Over a database whose table is made first. */
const sql = <E>(client: Layer.Layer<SqlClient.SqlClient, E>): Opened =>
  Effect.flatMap(Layer.build(client), (context) => {
    const sql = Context.get(context, SqlClient.SqlClient)
    return SqlSessionStore.migration().pipe(
      Effect.zipRight(SqlSessionStore.backing()),
      Effect.map((backing): Database => ({
        backing,
        fill: (entries) =>
          sql.withTransaction(
            Effect.forEach(
              Array.from({ length: Math.ceil(entries.length / ROWS_PER_STATEMENT) }, (_, index) => index),
              (index) => {
                const rows = entries.slice(index * ROWS_PER_STATEMENT, (index + 1) * ROWS_PER_STATEMENT)
                return sql`INSERT INTO effect_safire_session ${
                  sql.insert(rows.map(({ expiresAt, key, text }) => ({ id: key, value: text, keep_until: expiresAt })))
                }`
              },
              { discard: true }
            )
          )
      })),
      Effect.provide(context)
    )
  })

const redis = (url: string): Opened =>
  Effect.sync(() => {
    const client = new Redis(url)
    return {
      backing: RedisSessionStore.backing(client),
      fill: (entries) =>
        Effect.promise(() => {
          const pipeline = client.pipeline()
          for (const { expiresAt, key, text } of entries) {
            pipeline.set(`effect-safire:session:{${key}}`, text, "PX", expiresAt - Date.now())
          }
          return pipeline.exec()
        })
    }
  })

const opened = ({ folder, hasSqlite, postgresUrl, redisUrl }: Stores): Partial<Record<StoreName, Opened>> => ({
  memory: Effect.map(SessionStore.backingMemory, oneByOne),
  ...(folder === undefined
    ? {}
    : { files: Effect.sync(() => oneByOne(FileSessionStore.backing({ directory: join(folder, "files") }))) }),
  ...(folder === undefined || hasSqlite !== true
    ? {}
    : { sqlite: sql(SqliteClient.layer({ filename: join(folder, "store.db") })) }),
  ...(postgresUrl === undefined ? {} : { postgres: sql(PgClient.layer({ url: Redacted.make(postgresUrl) })) }),
  ...(redisUrl === undefined ? {} : { redis: redis(redisUrl) })
})

const decode = Schema.decodeSync(TokenSet.TokenSet)

const withTokens = (tokens: TokenSet.TokenSet) =>
  construct(StoredSession, {
    _tag: "StoredSession",
    version: 1,
    expiresAt: DateTime.unsafeMake(Date.now() + 8 * 3_600_000),
    createdAt: DateTime.unsafeNow(),
    server: "hospital",
    tokens
  })

/** One transaction, or one pipeline. */
const ENTRIES_PER_FILL = 10_000

const idOf = (index: number) => Redacted.make(`session-${index}-0123456789abcdef0123456789abcdef`)

/** The key of an entry: the digest of its id. */
const keyOf = (index: number) => createHash("sha256").update(Redacted.value(idOf(index))).digest("base64url")

const looping =
  (run: (loop: Effect.Effect<number, unknown>) => Promise<number>) =>
  (operation: Effect.Effect<unknown, unknown>): Work => ({
    loop: (concurrency, deadline) =>
      run(Effect.suspend(() => {
        let operations = 0
        const one = Effect.whileLoop({
          while: () => performance.now() < deadline,
          body: () => operation,
          step: () => {
            operations++
          }
        })
        return Effect.replicateEffect(one, concurrency, { concurrency: "unbounded", discard: true }).pipe(
          Effect.map(() => operations)
        )
      }))
  })

/** By its address, because what is plain JavaScript has no types. */
const sessions = async (setting: Pick<Setting, "storedSession">) =>
  (await import(setting.storedSession)) as {
    readonly COUNT: number
    readonly session: (index: number) => Schema.Schema.Encoded<typeof TokenSet.TokenSet>
  }

/** The clients of @effect/sql with no library above them. */
const bare = async (
  { stores: { folder, hasSqlite, postgresUrl }, ...setting }: Setting
): Promise<Record<string, Work>> => {
  const { COUNT, session } = await sessions(setting)
  const loop = looping(Effect.runPromise)
  const scope = Effect.runSync(Scope.make())
  const works: Record<string, Work> = {}
  const add = async <E>(name: StoreName, client: Layer.Layer<SqlClient.SqlClient, E>) => {
    const sql = Context.get(await Effect.runPromise(Layer.buildWithScope(client, scope)), SqlClient.SqlClient)
    await Effect.runPromise(
      sql`CREATE TABLE IF NOT EXISTS bare_client (id TEXT PRIMARY KEY, value TEXT NOT NULL, owner TEXT)`
    )
    const ids = Array.from({ length: COUNT }, (_, index) => keyOf(index))
    await Effect.runPromise(
      Effect.forEach(
        ids,
        (id, index) =>
          sql`INSERT INTO bare_client (id, value) VALUES (${id}, ${JSON.stringify(session(index))})
        ON CONFLICT (id) DO NOTHING`
      )
    )
    let next = 0
    works[`store-read-${name}`] = loop(Effect.suspend(() =>
      Effect.map(
        sql<{ readonly value: string }>`SELECT value FROM bare_client WHERE id = ${ids[next++ % COUNT] ?? ""}`,
        ([row]): unknown => JSON.parse(row?.value ?? "")
      )
    ))
    // As the library: one statement locks and reads, one writes and unlocks.
    works[`store-modify-${name}`] = loop(Effect.suspend(() => {
      const id = ids[next++ % COUNT] ?? ""
      const owner = randomBytes(16).toString("base64url")
      return Effect.flatMap(
        sql<{ readonly value: string }>`INSERT INTO bare_client (id, value, owner) VALUES (${id}, '', ${owner})
          ON CONFLICT (id) DO UPDATE SET owner = excluded.owner WHERE bare_client.owner IS NULL RETURNING value`,
        ([row]) => {
          const before = row?.value ?? "{}"
          const text = JSON.stringify({ ...JSON.parse(before), receivedAt: new Date().toISOString() })
          return sql`UPDATE bare_client SET value = ${text}, owner = NULL WHERE id = ${id} AND value = ${before} RETURNING id`
        }
      )
    }))
  }
  if (hasSqlite === true) await add("sqlite", SqliteClient.layer({ filename: join(folder ?? "", "bare.db") }))
  if (postgresUrl !== undefined) await add("postgres", PgClient.layer({ url: Redacted.make(postgresUrl) }))
  return works
}

export const make: ContenderModule["make"] = async (setting, variant) => {
  if (variant === "bare") return bare(setting)
  const { COUNT, session } = await sessions(setting)
  const works: Record<string, Work> = {}
  const loop = looping(Effect.runPromise)
  const scope = Effect.runSync(Scope.make())
  for (const [name, open] of Object.entries(opened(setting.stores))) {
    // The process ends with its databases open.
    const { backing, fill } = await Effect.runPromise(Scope.extend(open, scope))
    const store = await Effect.runPromise(SessionStore.make(backing))
    const ids = Array.from({ length: COUNT }, (_, index) => idOf(index))
    await Effect.runPromise(
      Effect.forEach(ids, (id, index) => store.set(id, withTokens(decode(session(index)))), { concurrency: 32 })
    )
    const text = Option.getOrThrow(await Effect.runPromise(backing.read(keyOf(0))))
    let stored = COUNT
    const fillTo = (count: number): Effect.Effect<void, unknown> =>
      Effect.suspend(() => {
        if (stored >= count) return Effect.void
        const expiresAt = Date.now() + 8 * 3_600_000
        const next = Math.min(count, stored + ENTRIES_PER_FILL)
        const entries = Array.from({ length: next - stored }, (_, offset) => ({
          key: keyOf(stored + offset),
          text,
          expiresAt
        }))
        stored = next
        return Effect.zipRight(fill(entries), fillTo(count))
      })
    let next = 0
    const present = (id: Redacted.Redacted) => Effect.flatMap(store.get(id), (entry) => entry)
    works[`store-read-${name}`] = loop(Effect.suspend(() => present(ids[next++ % COUNT] ?? idOf(0))))
    works[`store-modify-${name}`] = loop(
      Effect.suspend(() =>
        store.modify(ids[next++ % COUNT] ?? idOf(0), (entry) =>
          Effect.succeed(
            [
              undefined,
              Option.map(entry, (found) =>
                found._tag === "StoredSession"
                  ? withTokens(
                    construct(TokenSet.TokenSet, { ...found.tokens, receivedAt: DateTime.unsafeNow() })
                  )
                  : found)
            ] as const
          ))
      )
    )
    for (const count of SESSIONS) {
      works[`fill-${name}-${count}`] = { loop: () => Effect.runPromise(Effect.as(fillTo(count), 1)) }
    }
    // Any of all, with an id object of its own, as a request has it.
    works[`grown-${name}`] = loop(Effect.suspend(() => {
      next = (next + 7919) % stored
      return present(idOf(next))
    }))
  }
  return works
}
