/**
 * Where a tab stores its launches and sessions. Launches are in the tab's `sessionStorage`, so that tabs do not disturb
 * each other. The app chooses the storage of tokens and of the id of the current session.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import { type BackingSessionStore, unavailable } from "../../session/BackingSessionStore.js"
import type { SessionError } from "../../session/SessionError.js"
import type { SessionId } from "../../session/Sessions.js"
import * as SessionStore from "../../session/SessionStore.js"
import * as Page from "../Page.js"
import * as WebStorageSessionStore from "../WebStorageSessionStore.js"
import { requestLock } from "./webLock.js"

/**
 * The storage of tokens.
 *
 * @since 0.1.0
 * @category models
 */
export type TokenStorage = "memory" | "sessionStorage" | "localStorage"

export interface TabStore {
  readonly store: SessionStore.Service
  /** Fails if launches are only in the memory of this page, so that another page cannot complete them. */
  readonly persistent: Effect.Effect<void, ConfigurationError>
  /** Whether this tab started the launch with this `state`. */
  readonly hasLaunch: (state: Redacted.Redacted) => Effect.Effect<boolean, SessionError>
  /** The session of this tab; with `localStorage`, otherwise that of the last launch in any tab. */
  readonly current: Effect.Effect<Option.Option<SessionId>, SessionError>
  /** Returns the replaced session, if only this tab had it. */
  readonly setCurrent: (id: SessionId) => Effect.Effect<Option.Option<SessionId>, SessionError>
  /** Does nothing if the tab has another session. */
  readonly clearCurrent: (id: SessionId) => Effect.Effect<void, SessionError>
}

const PREFIX = "effect-safire:"
const SESSIONS = `${PREFIX}session:`
const CURRENT = `${PREFIX}current`
const TAB = `${PREFIX}tab`

/** How long the previous page may take to release its lock. */
const RELEASE_MILLIS = 1000

/** Holds a lock until the scope closes. Returns false if another page has it. */
const holdLock = (locks: LockManager, name: string): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function*() {
    const released = yield* Effect.acquireRelease(
      Deferred.make<void>(),
      (released) => Deferred.succeed(released, undefined)
    )
    return yield* requestLock(locks, name, Deferred.await(released), { ifAvailable: false }).pipe(
      Effect.orElseSucceed(() => false),
      // `claimTab` is uninterruptible, and the time limit must end this wait.
      Effect.interruptible,
      Effect.timeoutTo({ duration: RELEASE_MILLIS, onSuccess: (isHeld) => isHeld, onTimeout: () => false })
    )
  })

/**
 * A duplicated tab and a popup start with a copy of the `sessionStorage`. If both used one refresh token, the server
 * would end the session of both (RFC 9700, section 4.14). So each tab holds a lock on its name; a copy removes the
 * sessions.
 */
const claimTab = (storage: Storage, locks: LockManager, random: SecureRandom.Service) =>
  Effect.gen(function*() {
    const name = yield* attempt("reading", () => storage.getItem(TAB))
    if (name !== null && (yield* holdLock(locks, TAB + name))) return
    const next = yield* SecureRandom.base64Url(random, 16)
    yield* attempt("writing", () => {
      if (name !== null) {
        const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "")
        for (const key of keys) if (key === CURRENT || key.startsWith(SESSIONS)) storage.removeItem(key)
      }
      storage.setItem(TAB, next)
    })
    yield* holdLock(locks, TAB + next)
  }).pipe(Effect.uninterruptible, Effect.asVoid)

const attempt = <A>(operation: string, run: () => A): Effect.Effect<A, SessionError> =>
  Effect.try({ try: run, catch: unavailable("web storage", operation) })

interface Pointer {
  readonly read: () => string | null | undefined
  readonly write: (id: string) => void
  readonly clear: (id: string) => void
}

const inMemory = (): Pointer => {
  let current: string | undefined
  return {
    read: () => current,
    write: (id) => {
      current = id
    },
    clear: (id) => {
      if (current === id) current = undefined
    }
  }
}

/** The tab's own session comes first: another tab may have another patient. */
const inStorages = (...storages: ReadonlyArray<Storage>): Pointer => ({
  read: () => storages.map((storage) => storage.getItem(CURRENT)).find((id) => id !== null),
  write: (id) => {
    for (const storage of storages) storage.setItem(CURRENT, id)
  },
  clear: (id) => {
    for (const storage of storages) if (storage.getItem(CURRENT) === id) storage.removeItem(CURRENT)
  }
})

/** One store over two. `ready` runs before the first use of a session. */
const split = (
  launches: SessionStore.Service,
  sessions: SessionStore.Service,
  ready: Effect.Effect<void, SessionError>
): SessionStore.Service => {
  const of = <A, E, R>(
    id: Redacted.Redacted,
    use: (store: SessionStore.Service) => Effect.Effect<A, E | SessionError, R>
  ) => SessionStore.isLaunchKey(id) ? use(launches) : Effect.zipRight(ready, use(sessions))
  return {
    get: (id) => of(id, (store) => store.get(id)),
    set: (id, entry) => of(id, (store) => store.set(id, entry)),
    remove: (id) => of(id, (store) => store.remove(id)),
    take: (id) => of(id, (store) => store.take(id)),
    modify: (id, f) => of(id, (store) => store.modify(id, f)),
    withCodec: (codec) => split(launches.withCodec(codec), sessions.withCodec(codec), ready)
  }
}

/**
 * The storage that the browser allows this tab. In a frame of another site it may be none: then launches are in memory,
 * which is enough for a popup.
 */
const openStorage = (page: Page.Service, tokens: TokenStorage): Effect.Effect<TabStorage, ConfigurationError> =>
  Effect.all({ locks: page.locks, tab: page.sessionStorage }).pipe(
    Effect.matchEffect({
      onSuccess: ({ locks, tab }) => {
        const inWebStorage = (storage: Storage, prefix: string) =>
          WebStorageSessionStore.backing(storage, locks, { prefix })
        const launches = inWebStorage(tab, `${PREFIX}launch:`)
        switch (tokens) {
          case "memory":
            return Effect.map(SessionStore.backingMemory, (sessions) => ({ launches, sessions, pointer: inMemory() }))
          case "sessionStorage":
            return Effect.succeed({
              launches,
              sessions: inWebStorage(tab, SESSIONS),
              pointer: inStorages(tab),
              own: { locks, tab }
            })
          case "localStorage":
            return Effect.map(page.localStorage, (all) => ({
              launches,
              sessions: inWebStorage(all, SESSIONS),
              pointer: inStorages(tab, all)
            }))
        }
      },
      onFailure: (missing) =>
        tokens === "memory"
          ? Effect.zipWith(
            SessionStore.backingMemory,
            SessionStore.backingMemory,
            (launches, sessions) => ({ launches, sessions, pointer: inMemory(), missing })
          )
          : missing
    })
  )

interface TabStorage {
  readonly launches: BackingSessionStore
  readonly sessions: BackingSessionStore
  readonly pointer: Pointer
  /** Set if a copy of the tab would have its sessions. */
  readonly own?: { readonly locks: LockManager; readonly tab: Storage }
  /** Why launches are in memory. */
  readonly missing?: ConfigurationError
}

export const make = (
  tokens: TokenStorage
): Effect.Effect<TabStore, ConfigurationError, Page.Page | Scope.Scope> =>
  Effect.gen(function*() {
    const random = yield* SecureRandom.SecureRandom
    const scope = yield* Effect.scope
    const { missing, own, pointer, ...backings } = yield* openStorage(yield* Page.Page, tokens)
    const launches = yield* SessionStore.make(backings.launches)
    const sessions = yield* SessionStore.make(backings.sessions)
    const ready = own === undefined
      ? Effect.void
      : yield* Effect.cached(Effect.provideService(claimTab(own.tab, own.locks, random), Scope.Scope, scope))
    const current = Effect.zipRight(
      ready,
      attempt("reading", () => Option.map(Option.fromNullable(pointer.read()), (id) => Redacted.make(id)))
    )
    return {
      store: split(launches, sessions, ready),
      persistent: missing ?? Effect.void,
      hasLaunch: (state) => Effect.map(launches.get(SessionStore.launchKey(state)), Option.isSome),
      current,
      setCurrent: (id) =>
        Effect.zipLeft(
          Effect.map(
            current,
            Option.filter((one) => tokens !== "localStorage" && Redacted.value(one) !== Redacted.value(id))
          ),
          attempt("writing", () => pointer.write(Redacted.value(id)))
        ),
      clearCurrent: (id) => Effect.zipRight(ready, attempt("writing", () => pointer.clear(Redacted.value(id))))
    }
  })
