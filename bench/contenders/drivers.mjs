/**
 * Sessions in the drivers by hand: a read, and a change under a lock (lock, read, write, unlock), with the statements
 * that a careful program would write. No time limits, no checks of what is read, no id that is hashed.
 */
import { randomBytes } from "node:crypto"
import { mkdir, open, readFile, rename, unlink } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { Redis } from "ioredis"
import pg from "pg"
import { COUNT, session } from "../harness/storedSession.mjs"

const drivers = {
  memory: () => {
    const entries = new Map()
    return {
      read: async (id) => entries.get(id),
      write: async (id, text) => entries.set(id, text),
      lock: async () => true,
      unlock: async () => undefined
    }
  },
  files: async ({ folder }) => {
    const directory = join(folder, "by-hand")
    await mkdir(directory, { recursive: true })
    return {
      read: (id) => readFile(join(directory, id), "utf8"),
      write: async (id, text) => {
        const draft = join(directory, `${id}.new`)
        const file = await open(draft, "w")
        await file.writeFile(text)
        await file.sync()
        await file.close()
        await rename(draft, join(directory, id))
        const parent = await open(directory, "r")
        await parent.sync()
        await parent.close()
      },
      lock: (id) => open(join(directory, `${id}.lock`), "wx").then((file) => file.close()),
      unlock: (id) => unlink(join(directory, `${id}.lock`))
    }
  },
  sqlite: ({ folder }) => {
    const Database = createRequire(import.meta.url)("better-sqlite3")
    const database = new Database(join(folder, "by-hand.db"))
    database.pragma("journal_mode = WAL")
    database.exec("CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, value TEXT NOT NULL, keep_until BIGINT)")
    database.exec("CREATE TABLE IF NOT EXISTS lock (id TEXT PRIMARY KEY, owner TEXT NOT NULL)")
    const read = database.prepare("SELECT value FROM session WHERE id = ?")
    const write = database.prepare(
      "INSERT INTO session VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
    )
    const lock = database.prepare("INSERT INTO lock VALUES (?, ?) ON CONFLICT (id) DO NOTHING")
    const unlock = database.prepare("DELETE FROM lock WHERE id = ? AND owner = ?")
    return {
      read: async (id) => read.get(id)?.value,
      write: async (id, text) => write.run(id, text, Date.now() + 3_600_000),
      lock: async (id, owner) => lock.run(id, owner),
      unlock: async (id, owner) => unlock.run(id, owner)
    }
  },
  postgres: async ({ postgresUrl }) => {
    const pool = new pg.Pool({ connectionString: postgresUrl, max: 10 })
    await pool.query("CREATE TABLE IF NOT EXISTS by_hand (id TEXT PRIMARY KEY, value TEXT NOT NULL, keep_until BIGINT)")
    await pool.query("CREATE TABLE IF NOT EXISTS by_hand_lock (id TEXT PRIMARY KEY, owner TEXT NOT NULL)")
    return {
      read: async (id) => (await pool.query("SELECT value FROM by_hand WHERE id = $1", [id])).rows[0]?.value,
      write: (id, text) =>
        pool.query("INSERT INTO by_hand VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET value = excluded.value", [
          id,
          text,
          Date.now() + 3_600_000
        ]),
      lock: (id, owner) =>
        pool.query("INSERT INTO by_hand_lock VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", [id, owner]),
      unlock: (id, owner) => pool.query("DELETE FROM by_hand_lock WHERE id = $1 AND owner = $2", [id, owner])
    }
  },
  redis: ({ redisUrl }) => {
    const redis = new Redis(redisUrl)
    return {
      read: (id) => redis.get(`by-hand:${id}`),
      write: (id, text) => redis.set(`by-hand:${id}`, text, "PX", 3_600_000),
      lock: (id, owner) => redis.set(`by-hand:${id}:lock`, owner, "PX", 90_000, "NX"),
      unlock: (id) => redis.del(`by-hand:${id}:lock`)
    }
  }
}

const worksOf = async (name, driver) => {
  const ids = Array.from({ length: COUNT }, () => randomBytes(32).toString("base64url"))
  for (const [index, id] of ids.entries()) await driver.write(id, JSON.stringify(session(index)))
  let next = 0
  return {
    [`store-read-${name}`]: async () => JSON.parse(await driver.read(ids[next++ % COUNT])),
    [`store-modify-${name}`]: async () => {
      const id = ids[next++ % COUNT]
      const owner = randomBytes(16).toString("base64url")
      await driver.lock(id, owner)
      const value = JSON.parse(await driver.read(id))
      await driver.write(id, JSON.stringify({ ...value, receivedAt: new Date().toISOString() }))
      await driver.unlock(id, owner)
    }
  }
}

export const make = async ({ stores }) => {
  const available = [
    "memory",
    "files",
    ...(stores.hasSqlite ? ["sqlite"] : []),
    ...(stores.postgresUrl === undefined ? [] : ["postgres"]),
    ...(stores.redisUrl === undefined ? [] : ["redis"])
  ]
  const works = {}
  for (const name of available) Object.assign(works, await worksOf(name, await drivers[name](stores)))
  return works
}
