/**
 * Sessions in a `SessionStore`: ids, entries, and the stream of changes.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { unsafeMillis } from "../../base/FiberEnvironment.js"
import { construct, later } from "../../base/SchemaFields.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import type { TokenSet } from "../../token/TokenSet.js"
import { SessionError } from "../SessionError.js"
import * as SessionStore from "../SessionStore.js"
import type { Entry } from "./sessionEntry.js"
import { StoredSession } from "./sessionEntry.js"

/**
 * The id of a session. It is a credential: put it into a cookie, never into a URL or a log.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionId = Redacted.Redacted

/**
 * A change of a session by this process.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionChange {
  /** `RelaunchNeeded`: the refresh token was refused, so only a new launch gives new tokens. */
  readonly kind: "Started" | "Renewed" | "RelaunchNeeded" | "Ended"
  /** A credential, as the id of each session. */
  readonly sessionId: SessionId
  /** The key of the server, in `SmartServers`. */
  readonly server: string
}

export interface SessionRecords {
  readonly load: (id: SessionId) => Effect.Effect<StoredSession, SessionError>
  /** Runs `use` with the session and the time. Each FHIR request does: `load`, and then the clock, are more steps. */
  readonly loadWith: <A, E>(
    id: SessionId,
    use: (session: StoredSession, now: number) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | SessionError>
  /** Stores tokens as a new session. */
  readonly create: (server: string, tokens: TokenSet, appState: unknown) => Effect.Effect<SessionId, SessionError>
  /**
   * `SessionStore.modify` for a session; fails with `NotFound` if it does not exist. `f` returns the
   * next entry, or undefined to remove it.
   */
  readonly modify: <A, E>(
    id: SessionId,
    f: (session: StoredSession) => Effect.Effect<readonly [A, StoredSession | undefined], E>
  ) => Effect.Effect<A, E | SessionError>
  /** Removes a session and returns it. */
  readonly remove: (id: SessionId) => Effect.Effect<StoredSession | undefined, SessionError>
  readonly publish: (kind: SessionChange["kind"], sessionId: SessionId, server: string) => Effect.Effect<void>
  readonly changes: Stream.Stream<SessionChange>
}

/** By the id object, because a new `Redacted` for each request is expensive for the garbage collector. */
const keys = new WeakMap<SessionId, Redacted.Redacted>()
const keyOf = (id: SessionId): Redacted.Redacted => {
  const known = keys.get(id)
  if (known !== undefined) return known
  const key = Redacted.make(`session.${Redacted.value(id)}`)
  keys.set(id, key)
  return key
}

const withSession = <A, E>(
  entry: Option.Option<Entry>,
  use: (session: StoredSession) => Effect.Effect<A, E>
): Effect.Effect<A, E | SessionError> =>
  Option.isSome(entry) && entry.value._tag === "StoredSession"
    ? use(entry.value)
    : new SessionError({ reason: "NotFound", detail: "the session has ended, has expired, or never existed" })

export const make = (
  idleTimeout: Duration.Duration
): Effect.Effect<SessionRecords, never, SessionStore.SessionStore | Scope.Scope> =>
  Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const random = yield* SecureRandom.SecureRandom
    const changes = yield* Effect.acquireRelease(PubSub.sliding<SessionChange>(1024), PubSub.shutdown)

    // Publishing to a hub that is shut down would interrupt a logout that ends after the scope. A full hub takes
    // another step, in which its oldest change makes place.
    const publish: SessionRecords["publish"] = (kind, sessionId, server) =>
      Effect.suspend(() => {
        const change = { kind, sessionId, server }
        return changes.unsafeOffer(change)
          ? Effect.void
          : Effect.asVoid(Effect.unlessEffect(PubSub.publish(changes, change), PubSub.isShutdown(changes)))
      })

    return {
      load: (id) => Effect.flatMap(store.get(keyOf(id)), (entry) => withSession(entry, Effect.succeed)),
      loadWith: (id, use) =>
        Effect.flatMap(store.get(keyOf(id)), (entry) => withSession(entry, (session) => use(session, unsafeMillis()))),
      create: (server, tokens, appState) =>
        Effect.flatMap(SecureRandom.base64Url(random, 32), (secret) => {
          const id = Redacted.make(secret)
          const now = DateTime.unsafeMake(unsafeMillis())
          const session = construct(StoredSession, {
            _tag: "StoredSession",
            version: 1,
            expiresAt: later(now, idleTimeout),
            server,
            tokens,
            createdAt: now,
            appState
          })
          return Effect.as(
            Effect.zipRight(
              store.set(keyOf(id), session),
              publish("Started", id, server)
            ),
            id
          )
        }),
      modify: (id, f) =>
        store.modify(keyOf(id), (current) =>
          Effect.map(
            withSession(current, f),
            ([result, next]) => [result, Option.fromNullable(next)]
          )),
      remove: (id) =>
        // Waits for a renewal in progress, so that its tokens can be revoked. A lock that stays busy must not prevent
        // a logout.
        store.modify(keyOf(id), (current) => Effect.succeed([current, Option.none()] as const)).pipe(
          Effect.catchIf(
            ({ reason }) => reason === "LockTimeout" || reason === "LockLost",
            () => store.take(keyOf(id))
          ),
          // A damaged entry must not prevent a logout either.
          Effect.catchIf(
            ({ reason }) => reason === "Undecodable",
            (error) =>
              Effect.zipRight(
                Effect.logWarning("the session is removed, and its tokens stay valid at the server", error),
                Effect.as(store.remove(keyOf(id)), Option.none<Entry>())
              )
          ),
          Effect.map((removed) =>
            removed._tag === "Some" && removed.value._tag === "StoredSession" ? removed.value : undefined
          ),
          Effect.tap((removed) => removed === undefined ? Effect.void : publish("Ended", id, removed.server))
        ),
      publish,
      changes: Stream.fromPubSub(changes)
    }
  })
