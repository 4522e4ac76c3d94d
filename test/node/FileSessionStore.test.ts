import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as FileSessionStore from "../../src/node/FileSessionStore.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { connectTo } from "../support/places.js"
import { keyOf, newId, Place, sessionStoreContract } from "../support/sessionStoreContract.js"
import { severalProcesses } from "../support/severalProcesses.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "safire-files-"))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
)

sessionStoreContract(
  "FileSessionStore",
  Layer.scoped(Place, Effect.map(directory, (path) => ({ connect: connectTo("files", path) })))
)

const filesBelow = (path: string): ReadonlyArray<string> =>
  fs.readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name))

describe("FileSessionStore", () => {
  it.scopedLive(
    "counts exactly over several processes",
    () => Effect.flatMap(directory, (path) => severalProcesses("files", path)),
    60_000
  )

  it.scopedLive("[SMART-8] [SMART-9] [SMART-90] is readable by its owner only, and leaves no entry when all are removed", () =>
    Effect.gen(function*() {
      const path = join(yield* directory, "made", "here")
      const store = yield* Effect.provide(SessionStore.SessionStore, FileSessionStore.layer({ directory: path }))
      const id = newId()
      yield* increment(store, id)
      yield* increment(store, id)
      for (const name of [path, ...filesBelow(path)]) {
        const stat = fs.statSync(name)
        assert.strictEqual(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name)
      }
      yield* store.remove(id)
      const left = filesBelow(path).map((name) => name.slice(path.length + 1)).sort()
      assert.deepStrictEqual(left, ["entries", "locks", "scratch"])
    }))

  it.scopedLive("completes the write of a process that died between the removal of the old file and the rename of the new one", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const id = newId()
      const store = yield* SessionStore.make(FileSessionStore.backing({ directory: path }))
      yield* store.set(id, yield* numbered(1))
      const folder = join(path, "entries", keyOf(id))
      const old = fs.readdirSync(folder)[0]!
      yield* store.set(id, yield* numbered(2))
      const next = fs.readdirSync(folder)[0]!
      // The state of the disk at each step of the second write, were its process killed there.
      fs.renameSync(join(folder, next), join(path, "scratch", next))
      fs.writeFileSync(join(folder, `c-${old}-${next}`), "")
      const others = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () =>
          Effect.flatMap(SessionStore.make(FileSessionStore.backing({ directory: path })), (other) => other.get(id)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(others.map(numberIn), Array.from({ length: 20 }, () => 2))
      assert.deepStrictEqual(fs.readdirSync(folder), [next])
      fs.writeFileSync(join(folder, `c-${old}-${next}`), "")
      assert.strictEqual(numberIn(yield* store.get(id)), 2)
      fs.unlinkSync(join(folder, next))
      assert.isTrue(Option.isNone(yield* store.get(id)))
      assert.strictEqual(yield* increment(store, id), 1)
    }))

  it.scopedLive("one process takes over the lock of a dead process after its lease", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const backings = Array.from({ length: 8 }, () => FileSessionStore.backing({ directory: path }))
      const key = keyOf(newId())
      assert.isTrue(yield* backings[0]!.tryLock(key, "alive", 60_000))
      assert.isFalse(yield* backings[1]!.tryLock(key, "early", 60_000))
      yield* backings[0]!.unlock(key, "alive")
      for (let round = 0; round < 20; round++) {
        assert.isTrue(yield* backings[0]!.tryLock(key, `dead${round}`, 20))
        yield* Effect.sleep("25 millis")
        const got = yield* Effect.forEach(
          backings,
          (backing, index) => backing.tryLock(key, `taker${round}-${index}`, 60_000),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(got.filter((one) => one).length, 1)
        yield* Effect.forEach(backings, (backing, index) => backing.unlock(key, `taker${round}-${index}`))
      }
    }))

  it.scopedLive("takes over a lock whose time is in the future", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const backing = FileSessionStore.backing({ directory: path })
      const key = keyOf(newId())
      assert.isTrue(yield* backing.tryLock(key, "theirs", 3_600_000))
      assert.isFalse(yield* backing.tryLock(key, "mine", 1000))
      const folder = join(path, "locks", key)
      fs.renameSync(join(folder, fs.readdirSync(folder)[0]!), join(folder, `99999999999999-90000-future`))
      assert.isTrue(yield* backing.tryLock(key, "mine", 1000))
    }))

  it.scopedLive("is StoreUnavailable without permission to write", () =>
    Effect.gen(function*() {
      const path = join(yield* directory, "file")
      fs.writeFileSync(path, "")
      const store = yield* SessionStore.make(FileSessionStore.backing({ directory: path }))
      const error = yield* Effect.flip(Effect.flatMap(numbered(1), (entry) => store.set(newId(), entry)))
      assert.strictEqual(error.reason, "StoreUnavailable")
      assert.notInclude(error.message, "canary")
    }))

  it.scopedLive("removes entries an hour after their expiry", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const id = newId()
      const first = yield* SessionStore.make(FileSessionStore.backing({ directory: path }))
      yield* first.set(id, yield* numbered(1, -2 * 3_600_000))
      assert.isTrue(fs.existsSync(join(path, "entries", keyOf(id))))
      const second = yield* SessionStore.make(FileSessionStore.backing({ directory: path }))
      yield* second.set(newId(), yield* numbered(1))
      yield* Effect.sleep("200 millis")
      assert.isFalse(fs.existsSync(join(path, "entries", keyOf(id))))
    }))
})
