/**
 * Whether SQLite's addon was built. An ordinary installation leaves it out, because it needs a compiler on systems
 * without a prebuilt addon. `npm run build:sqlite` builds it.
 */
import { createRequire } from "node:module"

export const sqlite = (): { readonly found: true } | { readonly found: false; readonly reason: string } => {
  try {
    const Database = createRequire(import.meta.url)("better-sqlite3") as new(
      path: string
    ) => { readonly close: () => void }
    new Database(":memory:").close()
    return { found: true }
  } catch {
    return { found: false, reason: "SQLite's addon is not built: npm run build:sqlite" }
  }
}
