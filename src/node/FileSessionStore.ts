/**
 * Sessions in a directory, for several processes on one machine (on a local file system: network file systems do not
 * guarantee atomic steps).
 *
 * An entry and a lock are each one directory with one immutable file. A file system has no compare-and-set, but two of
 * its steps succeed for one process only: to rename or unlink a file with a unique name, and to rename a directory
 * with a file to a name that is free or an empty directory. The first step replaces an entry and ends an expired
 * lease; the second creates either. If a process dies between two steps, the next one completes them.
 *
 * @since 0.1.0
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { join } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import {
  type BackingSessionStore,
  isLeaseOver,
  type Lease,
  unavailable,
  type Value
} from "../session/BackingSessionStore.js"
import type { SessionError } from "../session/SessionError.js"
import * as SessionStore from "../session/SessionStore.js"

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** For this store alone. Created with mode 0700 if it does not exist. */
  readonly directory: string
}

const NAME = "files"
const HOUR = 3_600_000
const DAY = 24 * HOUR

/**
 * `v-<expiresAt>-<id>` is an entry's file, `c-<old file>-<new file>` is the claim that the second file replaces the
 * first.
 */
const isValue = (name: string): boolean => name.startsWith("v-")
const successorOf = (claim: string): string => claim.slice(claim.lastIndexOf("v-"))

/** `<until>-<lease>-<owner>` is a lock's file. Any other file counts as expired. */
const leaseOf = (name: string): Omit<Lease, "owner"> => {
  const [, until = "0", leaseMillis = "0"] = /^(\d+)-(\d+)-/.exec(name) ?? []
  return { until: Number(until), leaseMillis: Number(leaseMillis) }
}

const attempt = <A>(operation: string, run: () => Promise<A>): Effect.Effect<A, SessionError> =>
  Effect.tryPromise({ try: run, catch: unavailable(NAME, operation) })

const codeOf = (failure: unknown): unknown =>
  typeof failure === "object" && failure !== null && "code" in failure ? failure.code : undefined

/** `undefined` if the failure is one of `expected`: another process was faster. */
const unless = <A>(
  operation: string,
  expected: ReadonlyArray<string>,
  run: () => Promise<A>
): Effect.Effect<A | undefined, SessionError> =>
  Effect.tryPromise({ try: run, catch: (failure) => failure }).pipe(
    Effect.catchAll((failure) =>
      expected.some((code) => code === codeOf(failure))
        ? Effect.succeed(undefined)
        : Effect.fail(unavailable(NAME, operation)(failure))
    )
  )

const GONE = ["ENOENT"]
const OCCUPIED = ["ENOTEMPTY", "EEXIST", "EPERM", "ENOENT", "EBUSY"]

const done = (result: unknown): boolean => result !== undefined

/**
 * The store as a `BackingSessionStore`: one file for each entry, with locks between the processes of one machine.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backing = (options: { readonly directory: string }): BackingSessionStore => {
  const at = (...parts: ReadonlyArray<string>) => join(options.directory, ...parts)
  const entries = at("entries")
  const scratch = at("scratch")
  const locks = at("locks")
  let isReady = false
  let lastSweep = Number.NEGATIVE_INFINITY

  const prepare = Effect.suspend(() =>
    isReady ? Effect.void : Effect.gen(function*() {
      for (const folder of [options.directory, entries, scratch, locks]) {
        yield* attempt("making the directory", () => fs.mkdir(folder, { recursive: true, mode: 0o700 }))
      }
      isReady = true
    })
  )

  const rename = (from: string, to: string, ...also: ReadonlyArray<string>) =>
    Effect.map(
      unless("renaming", [...GONE, ...also], () => fs.rename(from, to).then(() => true)),
      done
    )
  const unlink = (path: string) => Effect.map(unless("removing", GONE, () => fs.unlink(path).then(() => true)), done)
  const tidy = (folder: string) => unless("removing", OCCUPIED, () => fs.rmdir(folder))
  const list = (folder: string) =>
    Effect.map(unless("reading", GONE, () => fs.readdir(folder)), (names): ReadonlyArray<string> => names ?? [])

  /** A new name then survives a loss of power. Not every platform supports it. */
  const flush = (folder: string) =>
    Effect.ignore(
      attempt("flushing", () => fs.open(folder, "r").then((file) => file.sync().finally(() => file.close())))
    )

  const write = (path: string, text: string, isDurable: boolean) =>
    attempt(
      "writing",
      () =>
        fs.open(path, "wx", 0o600).then((file) =>
          file.writeFile(text).then(() => isDurable ? file.sync() : undefined).finally(() => file.close())
        )
    )

  /** The name of an entry's file. Completes the steps of a process that died. */
  const settled = (key: string): Effect.Effect<Option.Option<string>, SessionError> =>
    Effect.gen(function*() {
      const folder = join(entries, key)
      let unfinished: string | undefined
      let wasEmpty = false
      for (;;) {
        const names = yield* list(folder)
        const value = names.find(isValue)
        if (value !== undefined) return Option.some(value)
        const claim = names[0]
        if (claim === undefined) {
          // A file renamed while the directory was read may have been missed under both its names.
          if (wasEmpty) return Option.none()
          wasEmpty = true
          continue
        }
        const successor = successorOf(claim)
        if (yield* rename(join(scratch, successor), join(folder, successor))) yield* unlink(join(folder, claim))
        // Found twice without its successor, which therefore was stored and removed.
        else if (unfinished === claim) yield* unlink(join(folder, claim))
        else unfinished = claim
      }
    })

  const current = (
    key: string
  ): Effect.Effect<Option.Option<{ readonly name: string; readonly text: string }>, SessionError> =>
    Effect.gen(function*() {
      for (;;) {
        const name = yield* settled(key)
        if (Option.isNone(name)) return Option.none()
        const text = yield* unless("reading", GONE, () => fs.readFile(join(entries, key, name.value), "utf8"))
        if (text !== undefined) return Option.some({ name: name.value, text })
      }
    })

  /** Creates a file. Only one of several concurrent calls returns true. */
  const place = (parent: string, key: string, name: string, text: string, isDurable: boolean) =>
    Effect.gen(function*() {
      const draft = join(scratch, `d-${randomBytes(9).toString("hex")}`)
      const target = join(parent, key)
      yield* attempt("writing", () => fs.mkdir(draft, { mode: 0o700 }))
      yield* write(join(draft, name), text, isDurable)
      yield* tidy(target)
      const placed = done(yield* unless("creating", OCCUPIED, () => fs.rename(draft, target).then(() => true)))
      if (!placed) {
        yield* unlink(join(draft, name))
        yield* tidy(draft)
      }
      return placed
    })

  const supersede = (key: string, old: string, name: string, value: Value) =>
    Effect.gen(function*() {
      const folder = join(entries, key)
      yield* write(join(scratch, name), value.text, true)
      const claim = join(folder, `c-${old}-${name}`)
      if (!(yield* rename(join(folder, old), claim))) {
        yield* unlink(join(scratch, name))
        return false
      }
      yield* rename(join(scratch, name), join(folder, name))
      yield* unlink(claim)
      yield* flush(folder)
      return true
    })

  const remove = (key: string, name: string) =>
    Effect.gen(function*() {
      const removed = yield* unlink(join(entries, key, name))
      yield* tidy(join(entries, key))
      return removed
    })

  const isOver = (name: string, now: number) => Number(name.split("-")[1]) + HOUR < now

  const sweep = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    for (const key of yield* list(entries)) {
      const name = yield* settled(key)
      if (Option.isSome(name) && isOver(name.value, now)) yield* remove(key, name.value)
      else if (Option.isNone(name)) yield* tidy(join(entries, key))
    }
    // All claimed successors are stored by now: an old file here is unused.
    for (const name of yield* list(scratch)) {
      const stat = yield* unless("reading", GONE, () => fs.stat(join(scratch, name)))
      if (stat !== undefined && stat.mtimeMs + DAY < now) {
        yield* attempt("removing", () => fs.rm(join(scratch, name), { recursive: true, force: true }))
      }
    }
  })

  const sweepHourly = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (now - lastSweep < HOUR) return
    lastSweep = now
    yield* Effect.forkDaemon(Effect.ignoreLogged(sweep))
  })

  const isLocked = (folder: string) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      let isLeased = false
      for (const name of yield* list(folder)) {
        // The name of a lock is unique: removing an expired one cannot remove a newer one.
        if (isLeaseOver(leaseOf(name), now)) yield* unlink(join(folder, name))
        else isLeased = true
      }
      return isLeased
    })

  return {
    name: NAME,
    read: (key) => Effect.map(current(key), Option.map(({ text }) => text)),
    replace: (key, expected, next) =>
      Effect.gen(function*() {
        yield* prepare
        yield* sweepHourly
        const now = yield* current(key)
        if (Option.getOrUndefined(Option.map(now, ({ text }) => text)) !== Option.getOrUndefined(expected)) return false
        if (Option.isNone(next)) return Option.isNone(now) || (yield* remove(key, now.value.name))
        const name = `v-${Math.max(0, next.value.expiresAt)}-${randomBytes(9).toString("hex")}`
        if (Option.isSome(now)) return yield* supersede(key, now.value.name, name, next.value)
        const placed = yield* place(entries, key, name, next.value.text, true)
        if (placed) yield* Effect.zipRight(flush(join(entries, key)), flush(entries))
        return placed
      }),
    tryLock: (key, owner, leaseMillis) =>
      Effect.gen(function*() {
        yield* prepare
        if (yield* isLocked(join(locks, key))) return false
        const until = Math.ceil((yield* Clock.currentTimeMillis) + leaseMillis)
        return yield* place(locks, key, `${until}-${Math.ceil(leaseMillis)}-${owner}`, "", false)
      }),
    unlock: (key, owner) =>
      Effect.gen(function*() {
        const folder = join(locks, key)
        for (const name of yield* list(folder)) {
          if (name.endsWith(`-${owner}`)) yield* unlink(join(folder, name))
        }
        yield* tidy(folder)
      })
  }
}

/**
 * A session store in a directory, which is created if it does not exist.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<SessionStore.SessionStore> =>
  SessionStore.layerBacking(Effect.sync(() => backing(options)), options)
