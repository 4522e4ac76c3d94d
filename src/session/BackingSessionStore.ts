/**
 * What a place must be able to do to hold sessions: keep strings under keys, replace one only if it is what was read, and lend a lock for a time.
 * Everything else a session store promises is built once on top, in `SessionStore.make`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import { SessionError } from "./SessionError.js"

/**
 * A string to be stored. No two that are ever written are equal, so that equality of strings is equality of versions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Value {
  readonly text: string
  /** Epoch milliseconds after which nobody wants it. A place that can forget by itself may do so then. */
  readonly expiresAt: number
}

/**
 * Keys are hashes in base64url (43 characters) and owners are random, so that either is fit for a file name.
 *
 * @since 0.1.0
 * @category models
 */
export interface BackingSessionStore {
  /** For error messages: `redis`, `postgresql` … */
  readonly name: string
  /** Its operations are steps of this process, which cannot hang: they need no time limit. */
  readonly immediate?: boolean | undefined
  readonly read: (key: string) => Effect.Effect<Option.Option<string>, SessionError>
  /** Atomically: if what is there is `expected`, then `next` is there and the answer is `true`. */
  readonly replace: (
    key: string,
    expected: Option.Option<string>,
    next: Option.Option<Value>
  ) => Effect.Effect<boolean, SessionError>
  /**
   * Atomically: if nobody holds the lock, or its lease is over, then `owner` holds it and the answer is `true`. Does not wait. Nothing else is refused
   * because of the lock: who is late is found out by `replace`.
   */
  readonly tryLock: (key: string, owner: string, leaseMillis: number) => Effect.Effect<boolean, SessionError>
  /** Gives the lock back if `owner` still holds it. */
  readonly unlock: (key: string, owner: string) => Effect.Effect<void, SessionError>
}

/**
 * The word by which a driver calls a failure (`ECONNREFUSED`, `SQLITE_BUSY`, `57P01`), searched along its causes. Never its message, which may quote
 * what was to be stored.
 */
const wordFor = (failure: unknown): string => {
  let word = "unknown cause"
  let current = failure
  for (let depth = 0; depth < 8 && typeof current === "object" && current !== null; depth++) {
    if ("code" in current && typeof current.code === "string" && /^[A-Z0-9_]{3,40}$/.test(current.code)) {
      return current.code
    }
    if ("reason" in current && typeof current.reason === "string" && /^[A-Za-z]{3,40}$/.test(current.reason)) {
      return current.reason
    }
    if (current instanceof Error) word = current.name
    current = "cause" in current ? current.cause : undefined
  }
  return word
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const unavailable = (store: string, operation: string) => (failure: unknown): SessionError =>
  new SessionError({ reason: "StoreUnavailable", store, detail: `${operation} failed: ${wordFor(failure)}` })

/**
 * A lock as it is written down.
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
 * One that seems to have more than twice its length to go was written by a clock that has since jumped back: it would hold for ever.
 *
 * @internal
 */
export const isLeaseOver = (lease: Omit<Lease, "owner">, now: number): boolean =>
  lease.until <= now || lease.until > now + 2 * lease.leaseMillis

/**
 * The locks of a place that only this process uses.
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
