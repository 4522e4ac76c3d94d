/**
 * Session stores that several processes can share.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type DatabaseError, type Found, isFound, postgres, redis } from "./databases.js"
import type { Kind } from "./places.js"
import { sqlite } from "./sqlite.js"

export interface SharedPlace {
  readonly kind: Kind
  readonly name: string
  readonly address: Effect.Effect<string, DatabaseError, Scope.Scope>
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-shared-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const served = (
  kind: Kind,
  name: string,
  found: Found
): SharedPlace | { readonly name: string; readonly reason: string } =>
  isFound(found)
    ? { kind, name, address: Effect.map(found.url, Redacted.value) }
    : { name, reason: found.reason }

const embedded = sqlite()

/** All stores that are available on this machine, and the reason for each missing one. */
export const sharedPlaces = (): ReadonlyArray<SharedPlace | { readonly name: string; readonly reason: string }> => [
  { kind: "files", name: "one directory", address: folder },
  embedded.found
    ? { kind: "sqlite", name: "one SQLite file", address: Effect.map(folder, (path) => join(path, "sessions.db")) }
    : { name: "one SQLite file", reason: embedded.reason },
  served("redis", "one Redis", redis()),
  served("postgresql", "one PostgreSQL", postgres())
]
