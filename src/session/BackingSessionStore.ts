/**
 * What a database must offer to hold sessions: strings under keys, a compare-and-set, and a lock with a lease.
 * `SessionStore.make` builds a session store on top of it, the same for each database.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TimeLimit from "../base/TimeLimit.js"
import { SessionError } from "./SessionError.js"

/**
 * A string to be stored. Each write has another string, so that equal strings are the same version.
 *
 * @since 0.1.0
 * @category models
 */
export interface Value {
  /** The encoded entry. */
  readonly text: string
  /** Epoch milliseconds after which the entry is not needed. A database that can expire entries may remove it then. */
  readonly expiresAt: number
}

/**
 * Keys are SHA-256 hashes in base64url (43 characters). Keys and owners can be used as file names.
 *
 * @since 0.1.0
 * @category models
 */
export interface BackingSessionStore {
  /** For error messages: `redis`, `postgresql` … */
  readonly name: string
  /** Whether operations are steps of this process, which need no time limit. Default false. */
  readonly immediate?: boolean | undefined
  /** The stored text, or `None` if the key is absent or has expired. */
  readonly read: (key: string) => Effect.Effect<Option.Option<string>, SessionError>
  /** Atomically: stores `next` if the current text is `expected`, and returns whether it did. */
  readonly replace: (
    key: string,
    expected: Option.Option<string>,
    next: Option.Option<Value>
  ) => Effect.Effect<boolean, SessionError>
  /**
   * Atomically: gives the lock to `owner` if it is free or its lease is over, and returns whether it did. Does not
   * wait. The lock protects no other operation: `replace` detects an owner whose lease is over.
   */
  readonly tryLock: (key: string, owner: string, leaseMillis: number) => Effect.Effect<boolean, SessionError>
  /** Releases the lock if `owner` still has it. */
  readonly unlock: (key: string, owner: string) => Effect.Effect<void, SessionError>
  /**
   * Atomically: as `tryLock`, and the text as of the lock. `None` if another owner has the lock. Default: `tryLock`,
   * then `read`. A store that wraps another one must wrap this, too.
   */
  readonly lockAndRead?:
    | ((
      key: string,
      owner: string,
      leaseMillis: number
    ) => Effect.Effect<Option.Option<Option.Option<string>>, SessionError>)
    | undefined
  /** As `replace`; if it stores `next`, it releases the lock of `owner` in the same step. Default: two steps. */
  readonly replaceAndUnlock?:
    | ((
      key: string,
      owner: string,
      expected: Option.Option<string>,
      next: Option.Option<Value>
    ) => Effect.Effect<boolean, SessionError>)
    | undefined
}

/**
 * The code of a driver's failure (`ECONNREFUSED`, `SQLITE_BUSY`, `57P01`), searched along its causes. Its message is
 * not used, because it may quote the stored text.
 */
const codeOf = (failure: unknown): string => {
  let code = "unknown cause"
  let current = failure
  for (let depth = 0; depth < 8 && typeof current === "object" && current !== null; depth++) {
    if ("code" in current && typeof current.code === "string" && /^[A-Z0-9_]{3,40}$/.test(current.code)) {
      return current.code
    }
    if ("reason" in current && typeof current.reason === "string" && /^[A-Za-z]{3,40}$/.test(current.reason)) {
      return current.reason
    }
    if (current instanceof Error) code = current.name
    current = "cause" in current ? current.cause : undefined
  }
  return code
}

/**
 * Maps a driver's failure to a `SessionError` with the reason `StoreUnavailable`: `unavailable("mongodb", "read")`. The
 * error has the failure's code and never its message.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unavailable = (store: string, operation: string) => (failure: unknown): SessionError =>
  new SessionError({ reason: "StoreUnavailable", store, detail: `${operation} failed: ${codeOf(failure)}` })

/**
 * A stored lock.
 *
 * @internal
 */
export interface Lease {
  readonly owner: string
  /** Epoch milliseconds. */
  readonly until: number
  readonly leaseMillis: number
}

/**
 * A lease with more than twice its length to go was written before the clock jumped back, and counts as over.
 *
 * @internal
 */
export const isLeaseOver = (lease: Omit<Lease, "owner">, now: number): boolean =>
  lease.until <= now || lease.until > now + 2 * lease.leaseMillis

/**
 * Locks of this process, for a database that no other process uses.
 *
 * @internal
 */
export const localLocks = (): Pick<BackingSessionStore, "tryLock" | "unlock"> => {
  const locks = new Map<string, Lease>()
  return {
    tryLock: (key, owner, leaseMillis) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const lock = locks.get(key)
        if (lock !== undefined && !isLeaseOver(lock, now)) return false
        locks.set(key, { owner, until: now + leaseMillis, leaseMillis })
        return true
      }),
    unlock: (key, owner) =>
      Effect.sync(() => {
        if (locks.get(key)?.owner === owner) locks.delete(key)
      })
  }
}

/** Expired entries are removed after this number of writes. */
const WRITES_PER_SWEEP = 512

/**
 * Entries in the memory of this process. Stores over the same value share them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backingMemory: Effect.Effect<BackingSessionStore> = Effect.sync(() => {
  const values = new Map<string, Value>()
  let writes = 0
  return {
    name: "memory",
    immediate: true,
    read: (key) =>
      Effect.sync(() => {
        const value = values.get(key)
        return value === undefined ? Option.none() : Option.some(value.text)
      }),
    replace: (key, expected, next) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (values.get(key)?.text !== Option.getOrUndefined(expected)) return false
        if (Option.isNone(next)) values.delete(key)
        else values.set(key, next.value)
        writes += 1
        if (writes % WRITES_PER_SWEEP === 0) {
          for (const [key, value] of values) if (value.expiresAt <= now) values.delete(key)
        }
        return true
      }),
    ...localLocks()
  }
})

/** The locks of each key-value store, which has neither locks nor a compare-and-set. All layers over it share them. */
const shared = new WeakMap<
  KeyValueStore.KeyValueStore,
  { readonly locks: Pick<BackingSessionStore, "tryLock" | "unlock">; readonly writing: Effect.Semaphore }
>()

/**
 * Entries in a `KeyValueStore`, exclusive over this process. It does not use `clear` and `size`, which ignore prefixes,
 * and `modify`, which is not atomic.
 *
 * @internal
 */
export const backingKeyValue = (
  prefix: string
): Effect.Effect<BackingSessionStore, never, KeyValueStore.KeyValueStore> =>
  Effect.map(KeyValueStore.KeyValueStore, (values) => {
    const name = "key-value store"
    const { locks, writing } = shared.get(values) ?? { locks: localLocks(), writing: Effect.unsafeMakeSemaphore(1) }
    shared.set(values, { locks, writing })
    const run = <A>(operation: string, effect: Effect.Effect<A, PlatformError>) =>
      Effect.mapError(effect, unavailable(name, operation))
    const read = (key: string) => run("reading", values.get(prefix + key))
    return {
      name,
      read,
      replace: (key, expected, next) =>
        Effect.gen(function*() {
          const current = yield* read(key)
          if (Option.getOrUndefined(current) !== Option.getOrUndefined(expected)) return false
          if (Option.isSome(next)) yield* run("writing", values.set(prefix + key, next.value.text))
          // Some key-value stores fail when they remove an absent key.
          else if (Option.isSome(current)) yield* run("removing", values.remove(prefix + key))
          return true
        }).pipe(writing.withPermits(1)),
      ...locks
    }
  })

/**
 * A backing store whose operations have a time limit. Each operation runs in its own fiber, so that the limit also
 * holds in uninterruptible regions. Interrupting a caller interrupts reads only: the result of a write must be known.
 *
 * @internal
 */
export const timeLimited = (backing: BackingSessionStore, limit: Duration.DurationInput): BackingSessionStore => {
  if (backing.immediate === true) return backing
  const optionsOf = (operation: string) => ({
    limit,
    onTimeout: () =>
      new SessionError({
        reason: "StoreUnavailable",
        store: backing.name,
        detail: `${operation} did not end within ${Duration.format(limit)}`
      })
  })
  const [reading, writing, locking, unlocking] = [
    optionsOf("reading"),
    optionsOf("writing"),
    optionsOf("locking"),
    optionsOf("unlocking")
  ]
  const { lockAndRead, replaceAndUnlock } = backing
  return {
    name: backing.name,
    read: (key) => TimeLimit.timeoutFail(backing.read(key), reading),
    replace: (key, expected, next) =>
      Effect.uninterruptible(TimeLimit.timeoutFail(backing.replace(key, expected, next), writing)),
    tryLock: (key, owner, leaseMillis) => TimeLimit.timeoutFail(backing.tryLock(key, owner, leaseMillis), locking),
    unlock: (key, owner) => Effect.uninterruptible(TimeLimit.timeoutFail(backing.unlock(key, owner), unlocking)),
    lockAndRead: lockAndRead === undefined
      ? undefined
      : (key, owner, leaseMillis) => TimeLimit.timeoutFail(lockAndRead(key, owner, leaseMillis), locking),
    replaceAndUnlock: replaceAndUnlock === undefined
      ? undefined
      : (key, owner, expected, next) =>
        Effect.uninterruptible(TimeLimit.timeoutFail(replaceAndUnlock(key, owner, expected, next), writing))
  }
}
