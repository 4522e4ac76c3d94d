/**
 * Whether SQLite's addon was built. It is no part of an ordinary installation, because it needs a compiler where no
 * ready-made one is to be had: `npm run build:sqlite` builds it.
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
