/**
 * What a tab keeps of its launches, and where: pending launches always in the tab's own `sessionStorage`, so that tabs do not disturb each other; tokens, and
 * which session is the tab's own, where the app chose.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import type { BackingSessionStore } from "../../session/BackingSessionStore.js"
import { unavailable } from "../../session/BackingSessionStore.js"
import type { SessionError } from "../../session/SessionError.js"
import type { SessionId } from "../../session/Sessions.js"
import * as SessionStore from "../../session/SessionStore.js"
import * as Page from "../Page.js"
import * as WebStorageSessionStore from "../WebStorageSessionStore.js"

/** @internal */
export type Place = "memory" | "sessionStorage" | "localStorage"

/** @internal */
export interface TabStore {
  /** For `Sessions`. */
  readonly store: SessionStore.Service
  /** Fails where a launch cannot wait for its callback in another page than the one it was started in. */
  readonly persistent: Effect.Effect<void, ConfigurationError>
  /** Whether this tab started the launch a callback belongs to. */
  readonly hasLaunch: (state: Redacted.Redacted) => Effect.Effect<boolean, SessionError>
  /** The session that this tab, or with `localStorage` the app in its last launch, has. */
  readonly current: Effect.Effect<Option.Option<SessionId>, SessionError>
  /** Gives the session that was this tab's alone until now. */
  readonly setCurrent: (id: SessionId) => Effect.Effect<Option.Option<SessionId>, SessionError>
  /** Where it is still that one. */
  readonly clearCurrent: (id: SessionId) => Effect.Effect<void, SessionError>
}

/** @internal */
export const PREFIX = "effect-safire:"
const SESSIONS = `${PREFIX}session:`
const CURRENT = `${PREFIX}current`
const TAB = `${PREFIX}tab`

/** How long a page that has just been left may take to give its lock back. */
const HANDOVER_MILLIS = 1000

/** Takes a lock and keeps it until the scope closes; false where somebody keeps it for longer than a moment. */
const keep = (locks: LockManager, name: string): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function*() {
    const released = yield* Effect.acquireRelease(
      Deferred.make<void>(),
      (released) => Deferred.succeed(released, undefined)
    )
    // The platform keeps the lock for as long as the promise is pending that it is given.
    const untilReleased = Runtime.runPromise(yield* Effect.runtime<never>())
    return yield* Effect.async<boolean>((resume) => {
      const waiting = new AbortController()
      locks.request(name, { signal: waiting.signal }, () => {
        resume(Effect.succeed(true))
        return untilReleased(Deferred.await(released))
      }).catch(() => resume(Effect.succeed(false)))
      return Effect.sync(() => waiting.abort())
    }).pipe(
      // What claims a tab is not to be interrupted; waiting for the lock ends with the time limit all the same.
      Effect.interruptible,
      Effect.timeoutTo({ duration: HANDOVER_MILLIS, onSuccess: (kept) => kept, onTimeout: () => false })
    )
  })

/**
 * A tab that is duplicated, or a popup that opens, starts with a copy of its `sessionStorage`: two would hold one refresh token, and the second to use it would
 * end the session of both (RFC 9700, section 4.14). So every tab has a name that it keeps locked; the copy finds the name taken, and forgets what was not its own.
 */
const claim = (storage: Storage, locks: LockManager, random: SecureRandom.Service) =>
  Effect.gen(function*() {
    const name = yield* attempt("reading", () => storage.getItem(TAB))
    if (name !== null && (yield* keep(locks, TAB + name))) return
    const next = yield* SecureRandom.base64Url(random, 16)
    yield* attempt("writing", () => {
      if (name !== null) {
        const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "")
        for (const key of keys) if (key === CURRENT || key.startsWith(SESSIONS)) storage.removeItem(key)
      }
      storage.setItem(TAB, next)
    })
    yield* keep(locks, TAB + next)
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

/** The tab's own comes first: another tab may have another patient. */
const inStorages = (...storages: ReadonlyArray<Storage>): Pointer => ({
  read: () => storages.map((storage) => storage.getItem(CURRENT)).find((id) => id !== null),
  write: (id) => {
    for (const storage of storages) storage.setItem(CURRENT, id)
  },
  clear: (id) => {
    for (const storage of storages) if (storage.getItem(CURRENT) === id) storage.removeItem(CURRENT)
  }
})

/** One store out of two. `ready` comes before anything is done with a session. */
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
 * What the browser lets this tab keep. In a frame of another site it may be nothing: then launches wait in the page itself, which a popup does not need to leave.
 */
const places = (page: Page.Service, place: Place): Effect.Effect<Places, ConfigurationError> =>
  Effect.all({ locks: page.locks, tab: page.sessionStorage }).pipe(
    Effect.matchEffect({
      onSuccess: ({ locks, tab }) => {
        const inWebStorage = (storage: Storage, prefix: string) =>
          WebStorageSessionStore.backing(storage, locks, { prefix })
        const launches = inWebStorage(tab, `${PREFIX}launch:`)
        switch (place) {
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
        place === "memory"
          ? Effect.zipWith(
            SessionStore.backingMemory,
            SessionStore.backingMemory,
            (launches, sessions) => ({ launches, sessions, pointer: inMemory(), missing })
          )
          : missing
    })
  )

interface Places {
  readonly launches: BackingSessionStore
  readonly sessions: BackingSessionStore
  readonly pointer: Pointer
  /** There where a copy of the tab would have its sessions, too. */
  readonly own?: { readonly locks: LockManager; readonly tab: Storage }
  /** Why launches wait in the page itself. */
  readonly missing?: ConfigurationError
}

/** @internal */
export const make = (
  place: Place
): Effect.Effect<TabStore, ConfigurationError, Page.Page | Scope.Scope> =>
  Effect.gen(function*() {
    const random = yield* SecureRandom.SecureRandom
    const scope = yield* Effect.scope
    const { missing, own, pointer, ...backings } = yield* places(yield* Page.Page, place)
    const launches = yield* SessionStore.make(backings.launches)
    const sessions = yield* SessionStore.make(backings.sessions)
    const ready = own === undefined
      ? Effect.void
      : yield* Effect.cached(Effect.provideService(claim(own.tab, own.locks, random), Scope.Scope, scope))
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
            Option.filter((one) => place !== "localStorage" && Redacted.value(one) !== Redacted.value(id))
          ),
          attempt("writing", () => pointer.write(Redacted.value(id)))
        ),
      clearCurrent: (id) => Effect.zipRight(ready, attempt("writing", () => pointer.clear(Redacted.value(id))))
    }
  })
