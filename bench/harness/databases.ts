/**
 * The databases of the session stores: started on free loopback ports with temporary folders, and stopped afterwards.
 * A store whose database is not available here has no rows, and the results say why.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { type Found, isFound, postgres, redis } from "../../test/support/databases.js"
import { sqlite } from "../../test/support/sqlite.js"
import type { StoreName } from "./growthSizes.js"
import type { Stores } from "./Setting.js"

export interface Databases {
  readonly stores: Stores
  /** What is not available, and why. */
  readonly skipped: ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

/** Whether a store can be measured; what is about no store can. */
export const isAvailable = (stores: Stores, name: StoreName | undefined): boolean => {
  switch (name) {
    case undefined:
    case "memory":
      return true
    case "files":
      return stores.folder !== undefined
    case "sqlite":
      return stores.hasSqlite === true
    case "postgres":
      return stores.postgresUrl !== undefined
    case "redis":
      return stores.redisUrl !== undefined
  }
}

export const start = async (): Promise<Databases> => {
  const scope = Effect.runSync(Scope.make())
  const skipped: Array<string> = []
  const folder = mkdtempSync(join(tmpdir(), "safire-bench-"))
  const urlOf = async (name: string, found: Found): Promise<string | undefined> => {
    if (!isFound(found)) {
      skipped.push(`${name}: ${found.reason}`)
      return undefined
    }
    return Effect.runPromise(
      Effect.match(Scope.extend(found.url, scope), {
        onSuccess: Redacted.value,
        onFailure: ({ message }) => {
          skipped.push(`${name}: ${message}`)
          return undefined
        }
      })
    )
  }
  const redisUrl = await urlOf("Redis", redis())
  const postgresUrl = await urlOf("PostgreSQL", postgres())
  const embedded = sqlite()
  if (!embedded.found) skipped.push(`SQLite: ${embedded.reason}`)
  return {
    stores: { folder, hasSqlite: embedded.found, redisUrl, postgresUrl },
    skipped,
    stop: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
