/**
 * Sessions in the drivers by hand: a read, and a change under a lock, with the statements that a careful program would
 * write: one locks and reads, one writes and unlocks. No time limits, no checks of what is read, no id that is hashed.
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
      lockAndRead: async (id) => entries.get(id),
      writeAndUnlock: async (id, _owner, text) => entries.set(id, text)
    }
  },
  files: async ({ folder }) => {
    const directory = join(folder, "by-hand")
    await mkdir(directory, { recursive: true })
    const read = (id) => readFile(join(directory, id), "utf8")
    const write = async (id, text) => {
      const draft = join(directory, `${id}.new`)
      const file = await open(draft, "w")
      await file.writeFile(text)
      await file.sync()
      await file.close()
      await rename(draft, join(directory, id))
      const parent = await open(directory, "r")
      await parent.sync()
      await parent.close()
    }
    return {
      read,
      write,
      lockAndRead: async (id) => {
        await open(join(directory, `${id}.lock`), "wx").then((file) => file.close())
        return read(id)
      },
      writeAndUnlock: async (id, _owner, text) => {
        await write(id, text)
        await unlink(join(directory, `${id}.lock`))
      }
    }
  },
  sqlite: ({ folder }) => {
    const Database = createRequire(import.meta.url)("better-sqlite3")
    const database = new Database(join(folder, "by-hand.db"))
    database.pragma("journal_mode = WAL")
    database.exec(
      "CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, value TEXT NOT NULL, keep_until BIGINT, owner TEXT)"
    )
    const read = database.prepare("SELECT value FROM session WHERE id = ?")
    const write = database.prepare(
      "INSERT INTO session VALUES (?, ?, ?, NULL) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
    )
    const lockAndRead = database.prepare(
      "UPDATE session SET owner = ? WHERE id = ? AND owner IS NULL RETURNING value"
    )
    const writeAndUnlock = database.prepare(
      "UPDATE session SET value = ?, keep_until = ?, owner = NULL WHERE id = ? AND owner = ?"
    )
    return {
      read: async (id) => read.get(id)?.value,
      write: async (id, text) => write.run(id, text, Date.now() + 3_600_000),
      lockAndRead: async (id, owner) => lockAndRead.get(owner, id)?.value,
      writeAndUnlock: async (id, owner, text) => writeAndUnlock.run(text, Date.now() + 3_600_000, id, owner)
    }
  },
  postgres: async ({ postgresUrl }) => {
    const pool = new pg.Pool({ connectionString: postgresUrl, max: 10 })
    await pool.query(
      "CREATE TABLE IF NOT EXISTS by_hand (id TEXT PRIMARY KEY, value TEXT NOT NULL, keep_until BIGINT, owner TEXT)"
    )
    return {
      read: async (id) => (await pool.query("SELECT value FROM by_hand WHERE id = $1", [id])).rows[0]?.value,
      write: (id, text) =>
        pool.query(
          "INSERT INTO by_hand VALUES ($1, $2, $3, NULL) ON CONFLICT (id) DO UPDATE SET value = excluded.value",
          [id, text, Date.now() + 3_600_000]
        ),
      lockAndRead: async (id, owner) => {
        const { rows } = await pool.query(
          "UPDATE by_hand SET owner = $2 WHERE id = $1 AND owner IS NULL RETURNING value",
          [id, owner]
        )
        return rows[0]?.value
      },
      writeAndUnlock: (id, owner, text) =>
        pool.query("UPDATE by_hand SET value = $3, keep_until = $4, owner = NULL WHERE id = $1 AND owner = $2", [
          id,
          owner,
          text,
          Date.now() + 3_600_000
        ])
    }
  },
  redis: ({ redisUrl }) => {
    const redis = new Redis(redisUrl)
    redis.defineCommand("lockAndRead", {
      numberOfKeys: 2,
      lua: `if redis.call("SET", KEYS[2], ARGV[1], "PX", 90000, "NX") then return redis.call("GET", KEYS[1]) end`
    })
    redis.defineCommand("writeAndUnlock", {
      numberOfKeys: 2,
      lua: `if redis.call("GET", KEYS[2]) == ARGV[1] then
        redis.call("SET", KEYS[1], ARGV[2], "PX", 3600000)
        return redis.call("DEL", KEYS[2])
      end`
    })
    return {
      read: (id) => redis.get(`by-hand:${id}`),
      write: (id, text) => redis.set(`by-hand:${id}`, text, "PX", 3_600_000),
      lockAndRead: (id, owner) => redis.lockAndRead(`by-hand:${id}`, `by-hand:${id}:lock`, owner),
      writeAndUnlock: (id, owner, text) => redis.writeAndUnlock(`by-hand:${id}`, `by-hand:${id}:lock`, owner, text)
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
      const value = JSON.parse(await driver.lockAndRead(id, owner))
      await driver.writeAndUnlock(id, owner, JSON.stringify({ ...value, receivedAt: new Date().toISOString() }))
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
