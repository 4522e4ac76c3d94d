/**
 * Sessions in a page's `localStorage` (all tabs of an origin) or `sessionStorage` (one tab), exclusive by Web Locks.
 * Each script of the page can read them (SMART App Launch 2.2, "App Protection"): if the app has a server, store
 * tokens there.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { type BackingSessionStore, unavailable } from "../session/BackingSessionStore.js"
import * as SessionStore from "../session/SessionStore.js"
import { requestLock } from "./internal/webLock.js"
import { lockManager, storageOf } from "./Page.js"

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** Prefix of keys and lock names. Default `effect-safire:session:`. */
  readonly prefix?: string | undefined
}

const HOUR = 3_600_000

/** An item is `<expiresAt>|<text>`, so that expired items are found without decoding them. */
const textOf = (item: string | null): string | undefined => item?.slice(item.indexOf("|") + 1)
const expiresAtOf = (item: string | null): number => Number.parseInt(item ?? "", 10)

const sweep = (storage: Storage, prefix: string, now: number): void => {
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index))
  for (const name of names) {
    if (name?.startsWith(prefix) === true && expiresAtOf(storage.getItem(name)) + HOUR < now) storage.removeItem(name)
  }
}

/**
 * Entries in Web Storage. A lock is a Web Lock, held until it is released or its lease is over. The browser releases it
 * when the tab is closed or reloaded.
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
          // Web Storage has no compare-and-set between tabs, so all writers share one lock.
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
        const holding = Deferred.await(released).pipe(
          Effect.timeoutOption(leaseMillis),
          Effect.zipRight(Effect.sync(() => held.delete(owner)))
        )
        const isLocked = yield* requestLock(locks, prefix + key, holding, { ifAvailable: true }).pipe(
          Effect.mapError(unavailable(name, "locking"))
        )
        if (!isLocked) held.delete(owner)
        return isLocked
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
 * A store in `localStorage`: shared by all tabs of the origin, and kept when they are closed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLocalStorage = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError> => layerStorage("localStorage", options)

/**
 * A store in `sessionStorage`: of one tab, until it is closed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSessionStorage = (
  options?: Options | undefined
): Layer.Layer<SessionStore.SessionStore, ConfigurationError> => layerStorage("sessionStorage", options)
