/**
 * Sessions in a page's `localStorage` (all tabs of an origin) or `sessionStorage` (one tab), exclusive by Web Locks. Whatever script runs on the page can read
 * them (SMART App Launch 2.2, "App Protection"): a server that keeps the tokens is the better place where there is one.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { type BackingSessionStore, unavailable } from "../session/BackingSessionStore.js"
import type { SessionError } from "../session/SessionError.js"
import * as SessionStore from "../session/SessionStore.js"
import { lockManager, storageOf } from "./Page.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** Before every key and every lock's name; the default is `effect-safire:session:`. */
  readonly prefix?: string | undefined
}

const HOUR = 3_600_000

/** Stored is `<expiresAt>|<text>`, so that what is over can be found without reading it. */
const textOf = (item: string | null): string | undefined => item?.slice(item.indexOf("|") + 1)
const keepUntilOf = (item: string | null): number => Number.parseInt(item ?? "", 10)

const sweep = (storage: Storage, prefix: string, now: number): void => {
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index))
  for (const name of names) {
    if (name?.startsWith(prefix) === true && keepUntilOf(storage.getItem(name)) + HOUR < now) storage.removeItem(name)
  }
}

/**
 * A lock is a Web Lock, held until it is given back or its lease is over: the browser takes it from a tab that is closed or reloaded at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backing = (
  storage: Storage,
  locks: LockManager,
  options: { readonly prefix?: string | undefined } = {}
): BackingSessionStore => {
  const name = "web storage"
  const prefix = options.prefix ?? "effect-safire:session:"
  const held = new Map<string, Deferred.Deferred<void>>()
  let lastSweep = Number.NEGATIVE_INFINITY
  return {
    name,
    read: (key) =>
      Effect.try({
        try: () => Option.fromNullable(textOf(storage.getItem(prefix + key))),
        catch: unavailable(name, "reading")
      }),
    replace: (key, expected, next) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.tryPromise({
          // Web Storage has no compare-and-set between tabs: whoever writes does it under the lock of all writers.
          try: () =>
            locks.request(`${prefix}write`, () => {
              if (now - lastSweep > HOUR) {
                lastSweep = now
                sweep(storage, prefix, now)
              }
              if (textOf(storage.getItem(prefix + key)) !== Option.getOrUndefined(expected)) return false
              if (Option.isNone(next)) storage.removeItem(prefix + key)
              else storage.setItem(prefix + key, `${Math.floor(next.value.expiresAt)}|${next.value.text}`)
              return true
            }),
          catch: unavailable(name, "writing")
        })),
    tryLock: (key, owner, leaseMillis) =>
      Effect.gen(function*() {
        const released = yield* Deferred.make<void>()
        held.set(owner, released)
        // The platform keeps the lock for as long as the promise is pending that it is given.
        const untilReleased = Runtime.runPromise(yield* Effect.runtime<never>())
        const holding = Deferred.await(released).pipe(
          Effect.timeoutOption(leaseMillis),
          Effect.zipRight(Effect.sync(() => held.delete(owner)))
        )
        return yield* Effect.async<boolean, SessionError>((resume) => {
          locks.request(`${prefix}${key}`, { ifAvailable: true }, (lock) => {
            resume(Effect.succeed(lock !== null))
            return lock === null ? undefined : untilReleased(holding)
          }).catch((failure: unknown) => resume(Effect.fail(unavailable(name, "locking")(failure))))
        }).pipe(Effect.tap((locked) => {
          if (!locked) held.delete(owner)
        }))
      }),
    unlock: (_, owner) =>
      Effect.suspend(() => {
        const released = held.get(owner)
        held.delete(owner)
        return released === undefined ? Effect.void : Deferred.succeed(released, undefined)
      })
  }
}

const layerStorage = (
  field: "localStorage" | "sessionStorage",
  options: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError> =>
  SessionStore.layerBacking(
    Effect.zipWith(
      storageOf(field),
      lockManager,
      (storage, locks) => backing(storage, locks, options)
    ),
    options
  )

/**
 * Shared by all tabs of the origin, and kept when they are closed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLocalStorage = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError> => layerStorage("localStorage", options)

/**
 * Of one tab, and gone with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSessionStorage = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError> => layerStorage("sessionStorage", options)
