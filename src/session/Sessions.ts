/**
 * Sessions: a person's launch, its tokens, and their life. Tokens renew themselves and are never lost to concurrency, restarts or other processes; the
 * store's `modify` is the one exclusive primitive all of it rests on.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SecureRandom from "../base/SecureRandom.js"
import * as SingleFlight from "../base/SingleFlight.js"
import { skipValidation } from "../base/SkipValidation.js"
import { annotate, span } from "../base/Span.js"
import { later } from "../base/StorableDate.js"
import type * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import type { UnknownServerError } from "../smart/UnknownServerError.js"
import type { TokenSet } from "../token/TokenSet.js"
import { isExpired } from "../token/TokenSet.js"
import { failIfExpired } from "./internal/failIfExpired.js"
import * as Renewal from "./internal/renewal.js"
import * as RenewalTime from "./internal/renewalTime.js"
import { StoredSession } from "./internal/sessionEntry.js"
import * as Launches from "./Launches.js"
import type { SessionError } from "./SessionError.js"
import * as SessionStore from "./SessionStore.js"

/**
 * A credential: who has it has the session. For a cookie, never for a URL or a log.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionId = Redacted.Redacted

/**
 * @since 0.1.0
 * @category models
 */
export interface StartLaunchOptions extends SmartClient.AuthorizeOptions {
  /** The server's key. Default: the one whose FHIR base is `iss`, or the only one there is. */
  readonly server?: string | undefined
  /**
   * A secret of the browser the launch starts in, such as the value of a cookie: the callback must come with the same. Without it anybody's
   * browser can complete the launch, which is for programs that have no browser of their own.
   */
  readonly browserBinding?: Redacted.Redacted | undefined
  /** What the app wants to find in the session. JSON; kept in the store, never sent. */
  readonly appState?: unknown
}

/**
 * Where to send the person: what `SmartClient.authorize` gives, but for what is kept in the store.
 *
 * @since 0.1.0
 * @category models
 */
export type Destination = Omit<Effect.Effect.Success<ReturnType<SmartClient.Service["authorize"]>>, "pending">

/**
 * @since 0.1.0
 * @category errors
 */
export type StartLaunchError =
  | UnknownServerError
  | SessionError
  | Effect.Effect.Error<ReturnType<SmartClient.Service["authorize"]>>

/**
 * @since 0.1.0
 * @category errors
 */
export type CompleteLaunchError =
  | UnknownServerError
  | SessionError
  | Effect.Effect.Error<ReturnType<SmartClient.Service["exchange"]>>

/**
 * Why a session has no token to give.
 *
 * @since 0.1.0
 * @category errors
 */
export type SessionFailure = UnknownServerError | SessionError | Renewal.RenewalError

/**
 * What happened to a session, in this process.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionChange {
  readonly kind: "Started" | "Renewed" | "RelaunchNeeded" | "Ended"
  readonly sessionId: SessionId
  readonly server: string
}

/**
 * A session as it is stored, its tokens included.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly id: SessionId
  readonly server: string
  readonly tokens: TokenSet
  readonly createdAt: DateTime.Utc
  readonly appState: unknown
}

/**
 * What a request to the session's server needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorization {
  readonly client: SmartClient.Service
  readonly tokens: TokenSet
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly startLaunch: (options?: StartLaunchOptions) => Effect.Effect<Destination, StartLaunchError>
  /**
   * The callback, whole, for a session. A launch is used once; a second delivery of its callback (a reload, a double click, a framework that renders
   * twice) gives the same session and sends nothing.
   */
  readonly completeLaunch: (
    callback: AuthorizationCallback.Callback,
    options?: { readonly browserBinding?: Redacted.Redacted | undefined }
  ) => Effect.Effect<SessionId, CompleteLaunchError>
  /** A session for tokens that were obtained elsewhere. */
  readonly importTokens: (
    tokens: TokenSet,
    options?: { readonly server?: string | undefined; readonly appState?: unknown }
  ) => Effect.Effect<SessionId, UnknownServerError | SessionError>
  /**
   * The current access token. One that is valid is returned at once; when it is due for renewal, that runs in the background. An expired token is never
   * returned.
   */
  readonly accessToken: (id: SessionId) => Effect.Effect<Redacted.Redacted, SessionFailure>
  /** The token after one that a server refused: renewed only if it is still the session's. */
  readonly accessTokenAfter: (
    id: SessionId,
    refused: Redacted.Redacted
  ) => Effect.Effect<Redacted.Redacted, SessionFailure>
  /** As `accessToken`, with all that belongs to it. */
  readonly tokens: (id: SessionId) => Effect.Effect<TokenSet, SessionFailure>
  /** As `tokens`, with the client of their server: one read of the store for both. */
  readonly authorization: (id: SessionId) => Effect.Effect<Authorization, SessionFailure>
  /** What is stored, as it is: nothing is renewed. */
  readonly session: (id: SessionId) => Effect.Effect<Session, SessionError>
  readonly client: (id: SessionId) => Effect.Effect<SmartClient.Service, SessionError | UnknownServerError>
  /** Why only a new launch can help, if it is so: to be asked before a person starts something long. */
  readonly relaunchReason: (id: SessionId) => Effect.Effect<Option.Option<string>, SessionError>
  /** Forgets the session, everywhere at once, and tells the server, whatever the server says. */
  readonly revoke: (id: SessionId) => Effect.Effect<void, SessionError>
  /**
   * Forgets the session, everywhere at once, and tells the server nothing: for one that another of the same person takes the place of, since some
   * servers end all that a person gave to the app when one of its tokens is revoked.
   */
  readonly remove: (id: SessionId) => Effect.Effect<void, SessionError>
  /** Changes that this process made, from the moment of subscription on. */
  readonly onChange: Stream.Stream<SessionChange>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Sessions extends Context.Tag("effect-safire/Sessions")<Sessions, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Renewal.Options {
  /** How long a session that nobody uses is kept. Default 30 days. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** How long a second delivery of a callback finds its session. Default 10 minutes, which is as long as the routes of a web app let a browser try. */
  readonly completedLaunchLifetime?: Duration.DurationInput | undefined
  /**
   * How long a program that stops waits for renewals, callbacks and logouts under way, all together. What has not ended by then is interrupted, and the
   * log says so. Default 30 seconds.
   */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
}

/** Made once for an id that is held on to: what must not be printed is entered in a table that the garbage collector walks. */
const sessionKeys = new WeakMap<SessionId, Redacted.Redacted>()
const sessionKey = (id: SessionId): Redacted.Redacted => {
  const known = sessionKeys.get(id)
  if (known !== undefined) return known
  const key = Redacted.make(`session.${Redacted.value(id)}`)
  sessionKeys.set(id, key)
  return key
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, never, SmartServers.SmartServers | SessionStore.SessionStore | Scope.Scope> =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const store = yield* SessionStore.SessionStore
    const random = yield* SecureRandom.SecureRandom
    const idleTimeout = Duration.decode(options.idleTimeout ?? "30 days")
    const endings = SingleFlight.make<string | undefined, SessionError>()
    const touches = SingleFlight.make<void, never>()
    const changes = yield* Effect.acquireRelease(PubSub.sliding<SessionChange>(1024), PubSub.shutdown)

    // A hub that is shut down interrupts who publishes: a logout that comes late must not end in that.
    const publish = (kind: SessionChange["kind"], sessionId: SessionId, server: string) =>
      Effect.unlessEffect(PubSub.publish(changes, { kind, sessionId, server }), PubSub.isShutdown(changes))

    const pauseMillis = Duration.toMillis(options.failureCooldown ?? "2 seconds")
    let pausedUntil = 0

    /** A store that cannot be used is not asked again by every request: work in the background pauses, for all sessions. */
    const storeFailed = (error: SessionError): Effect.Effect<void> =>
      error.reason !== "StoreUnavailable" ? Effect.void : Effect.zipRight(
        Effect.map(Clock.currentTimeMillis, (now) => {
          pausedUntil = now + pauseMillis
        }),
        Effect.logWarning(`A session was not written; valid tokens are given out meanwhile. ${error.message}`)
      )

    const renewal = yield* Renewal.make({
      ...options,
      idleTimeout,
      onStoreError: (error) => storeFailed(error),
      onRenewed: (id, { server }) => publish("Renewed", id, server),
      onRelaunchNeeded: (id, { server }) => publish("RelaunchNeeded", id, server),
      onEnded: (id, { server }) => publish("Ended", id, server),
      keyOf: sessionKey
    })

    const load = (id: SessionId): Effect.Effect<StoredSession, SessionError> =>
      Effect.flatMap(store.get(sessionKey(id)), Renewal.asSession)

    const start = (server: string, tokens: TokenSet, appState: unknown): Effect.Effect<SessionId, SessionError> =>
      Effect.gen(function*() {
        const id = Redacted.make(yield* SecureRandom.base64Url(random, 32))
        const now = yield* DateTime.now
        yield* store.set(
          sessionKey(id),
          new StoredSession({
            version: 1,
            expiresAt: later(now, idleTimeout),
            server,
            tokens,
            createdAt: now,
            appState
          }, skipValidation)
        )
        yield* publish("Started", id, server)
        return id
      })

    const launches = yield* Launches.make({
      servers,
      store,
      start,
      completedLifetime: Duration.decode(options.completedLaunchLifetime ?? "10 minutes")
    })

    const shutdownTimeout = Duration.decode(options.shutdownTimeout ?? "30 seconds")
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(
        Effect.all([renewal, launches, endings, touches].map(({ settle }) => settle(shutdownTimeout)), {
          concurrency: "unbounded"
        }),
        (counts) => {
          const left = counts.reduce((sum, count) => sum + count, 0)
          return left === 0 ? Effect.void : Effect.logWarning(
            `Sessions stopped after ${
              Duration.format(shutdownTimeout)
            } (shutdownTimeout) with ${left} renewals, callbacks or logouts ` +
              "under way; the sessions concerned may need a new launch"
          )
        }
      )
    )

    const isHalfIdle = ({ expiresAt }: StoredSession, now: DateTime.Utc): boolean =>
      DateTime.toEpochMillis(expiresAt) - DateTime.toEpochMillis(now) <= Duration.toMillis(idleTimeout) / 2

    /** The end of a session moves when it is used, but is written only when half of the idle time is over: once, however many requests come then. */
    const touch = (id: SessionId) =>
      store.modify(sessionKey(id), (current) =>
        Effect.map(DateTime.now, (now) => [
          undefined,
          Option.map(current, (entry) =>
            entry._tag === "StoredSession" && isHalfIdle(entry, now)
              ? new StoredSession({ ...entry, expiresAt: later(now, idleTimeout) }, skipValidation)
              : entry)
        ])).pipe(Effect.catchAll(storeFailed))

    /** What a valid session needs is done in the background: a token that is valid waits for nothing, and no failure keeps it back. */
    const maintain = (id: SessionId, session: StoredSession, now: DateTime.Utc): Effect.Effect<void> => {
      const nowMillis = DateTime.toEpochMillis(now)
      // A pause longer than there is was set by a clock that has since jumped back.
      if (nowMillis < pausedUntil && pausedUntil <= nowMillis + pauseMillis) return Effect.void
      const isDue = nowMillis >= RenewalTime.dueAt(session.tokens, options.renewalMargin)
      const mayRenew = session.tokens.refreshToken !== undefined && session.relaunchReason === undefined &&
        !Renewal.isCoolingDown(session, now)
      if (isDue && mayRenew) return renewal.start(id, session)
      return isHalfIdle(session, now) ? touches.start(Redacted.value(id), () => touch(id)) : Effect.void
    }

    const current = (id: SessionId, refused?: Redacted.Redacted): Effect.Effect<StoredSession, SessionFailure> =>
      Effect.gen(function*() {
        const session = yield* load(id)
        const { tokens } = session
        const now = yield* DateTime.now
        const isRefused = refused !== undefined && Redacted.value(refused) === Redacted.value(tokens.accessToken)
        if (!isRefused && !isExpired(tokens, now)) return yield* Effect.as(maintain(id, session, now), session)
        const refusal = Renewal.refusal(session, now)
        if (Option.isSome(refusal)) return yield* refusal.value
        const renewed = yield* renewal.renew(id, session)
        yield* failIfExpired(renewed.tokens, { operation: "refresh", server: session.server })
        return renewed
      })

    const tokensOf = (id: SessionId, refused?: Redacted.Redacted): Effect.Effect<TokenSet, SessionFailure> =>
      Effect.map(current(id, refused), ({ tokens }) => tokens)

    const removeEntry = (id: SessionId) =>
      Effect.gen(function*() {
        // Waits for a renewal under way, so that its tokens are told to the server, too; a lock that is not to be had stops nobody from leaving.
        const ended = yield* store.modify(
          sessionKey(id),
          (current) => Effect.succeed([current, Option.none()] as const)
        )
          .pipe(
            Effect.catchIf(
              ({ reason }) => reason === "LockTimeout" || reason === "LockLost",
              () => store.take(sessionKey(id))
            )
          )
        if (Option.isNone(ended) || ended.value._tag !== "StoredSession") return undefined
        yield* publish("Ended", id, ended.value.server)
        return yield* renewal.release(id, ended.value)
      })

    const annotated = (server: string | undefined) =>
      server === undefined ? Effect.void : annotate("smart.server", server)

    const remove: Service["remove"] = (id) =>
      Effect.flatMap(removeEntry(id), (ended) => annotated(ended?.server)).pipe(span("Sessions.remove"))

    // On its own: a tab that is closed, or a second click, must not leave a session that is gone here and good at the server.
    const revoke: Service["revoke"] = (id) =>
      endings.run(Redacted.value(id), () =>
        Effect.tap(
          removeEntry(id),
          (ended) => ended === undefined ? Effect.void : Renewal.revoke(servers, ended.server, ended.tokens)
        ).pipe(Effect.map((ended) => ended?.server))).pipe(Effect.flatMap(annotated), span("Sessions.revoke"))

    return {
      startLaunch: launches.startLaunch,
      completeLaunch: launches.completeLaunch,
      importTokens: (tokens, { appState, server } = {}) =>
        Effect.flatMap(
          server === undefined ? servers.only : servers.client(server),
          ({ name }) => start(name, tokens, appState)
        ),
      accessToken: (id) => Effect.map(tokensOf(id), ({ accessToken }) => accessToken),
      accessTokenAfter: (id, refused) => Effect.map(tokensOf(id, refused), ({ accessToken }) => accessToken),
      tokens: (id) => tokensOf(id),
      authorization: (id) =>
        Effect.flatMap(
          current(id),
          ({ server, tokens }) => Effect.map(servers.client(server), (client) => ({ client, tokens }))
        ),
      session: (id) =>
        Effect.map(
          load(id),
          ({ appState, createdAt, server, tokens }) => ({ id, server, tokens, createdAt, appState })
        ),
      client: (id) => Effect.flatMap(load(id), ({ server }) => servers.client(server)),
      relaunchReason: (id) =>
        Effect.map(Effect.zip(load(id), DateTime.now), ([session, now]) => Renewal.relaunchReason(session, now)),
      revoke,
      remove,
      onChange: Stream.fromPubSub(changes)
    }
  })

/**
 * With other than the default options; bind it to a `const`. Each call makes another layer: call it twice for two registries in one build.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<Sessions, never, SmartServers.SmartServers | SessionStore.SessionStore> =>
  Layer.scoped(Sessions, make(options))

/**
 * For the servers of a registry. One value, which Effect builds once, with the registry and the store of its first use: all its users share its locks.
 * Another one in the same build is `layerWith({})`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Sessions, never, SmartServers.SmartServers | SessionStore.SessionStore> = layerWith({})

/**
 * For one server. As `layer`, it is built once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<Sessions, never, SmartClient.SmartClient | SessionStore.SessionStore> = Layer
  .provide(layerWith({}), SmartServers.layerFromClient)
