/**
 * Connects to a session store by its kind and its address, in this process and in a worker.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import * as FileSessionStore from "../../src/node/FileSessionStore.js"
import * as RedisSessionStore from "../../src/redis/RedisSessionStore.js"
import type * as SessionStore from "../../src/session/SessionStore.js"
import * as SqlSessionStore from "../../src/sql/SqlSessionStore.js"

export type Kind = "files" | "redis" | "sqlite" | "postgresql"

export const sqlClient = (
  kind: "sqlite" | "postgresql",
  address: string
): Layer.Layer<SqlClient, ConfigError | SqlError> =>
  kind === "sqlite"
    ? SqliteClient.layer({ filename: address })
    : PgClient.layer({ url: Redacted.make(address), maxConnections: 4 })

export const connectTo = (
  kind: Kind,
  address: string
): Effect.Effect<SessionStore.BackingSessionStore, never, Scope.Scope> => {
  switch (kind) {
    case "files":
      return Effect.sync(() => FileSessionStore.backing({ directory: address }))
    case "redis":
      return Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => new Redis(address)),
          (client) => Effect.sync(() => client.disconnect())
        ),
        (client) => RedisSessionStore.backing(client)
      )
    case "sqlite":
    case "postgresql":
      return Layer.build(sqlClient(kind, address)).pipe(
        Effect.flatMap((context) =>
          Effect.provide(Effect.zipRight(SqlSessionStore.migration(), SqlSessionStore.backing()), context)
        ),
        Effect.orDie
      )
  }
}
