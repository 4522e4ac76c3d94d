/**
 * Sessions of users: a launch, its tokens, and their renewal (SMART App Launch 2.2). Tokens survive concurrent
 * requests, restarts and several processes; every change of a session goes through `SessionStore.modify`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as SingleFlight from "../base/SingleFlight.js"
import { annotate, span } from "../base/Span.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import type { UnknownServerError } from "../smart/UnknownServerError.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { CompleteLaunchError } from "./internal/launches.js"
import * as Launches from "./internal/launches.js"
import type { SessionFailure } from "./internal/renewal.js"
import * as Renewal from "./internal/renewal.js"
import type { SessionChange, SessionId } from "./internal/sessionRecords.js"
import * as SessionRecords from "./internal/sessionRecords.js"
import type { SessionError } from "./SessionError.js"
import type { RenewalOptions } from "./SessionState.js"
import * as SessionState from "./SessionState.js"
import * as SessionStore from "./SessionStore.js"

export type { CompleteLaunchError, Destination, StartLaunchError, StartLaunchOptions } from "./internal/launches.js"
export type { SessionFailure } from "./internal/renewal.js"
export type { SessionChange, SessionId } from "./internal/sessionRecords.js"
export type { RenewalError, RenewalOptions } from "./SessionState.js"

/**
 * A stored session with its tokens.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  /** A credential: put it into an http-only cookie, and into no log. */
  readonly id: SessionId
  /** The key of the server, in `SmartServers`. */
  readonly server: string
  /** The tokens as stored. They may have expired. */
  readonly tokens: TokenSet
  /** When the launch was completed, or the tokens were imported. */
  readonly createdAt: DateTime.Utc
  /** The `appState` of the launch or the import. */
  readonly appState: unknown
}

/**
 * What a request to the session's server needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorization {
  /** The client of the server that issued the tokens. */
  readonly client: SmartClient.Service
  /** Valid tokens, as of `tokens`. */
  readonly tokens: TokenSet
}

/**
 * Launches, sessions and their tokens.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Starts a launch and stores it. Send the user to the destination. */
  readonly startLaunch: Launches.Launches["startLaunch"]
  /**
   * Exchanges the code of a callback and stores the session. Takes the whole callback URL or its parameters. A second
   * delivery of the callback (a reload, a double click) returns the same session and sends no request.
   */
  readonly completeLaunch: Launches.Launches["completeLaunch"]
  /** Stores tokens from elsewhere as a session. `server` defaults to the only configured server. */
  readonly importTokens: (
    tokens: TokenSet,
    options?: { readonly server?: string | undefined; readonly appState?: unknown }
  ) => Effect.Effect<SessionId, UnknownServerError | SessionError>
  /**
   * The current access token. A valid token is returned at once; if it is due, its renewal runs in the background. An
   * expired token is never returned.
   */
  readonly accessToken: (id: SessionId) => Effect.Effect<Redacted.Redacted, SessionFailure>
  /** An access token other than `refused`. The session is renewed only if `refused` is still its current token. */
  readonly accessTokenAfter: (
    id: SessionId,
    refused: Redacted.Redacted
  ) => Effect.Effect<Redacted.Redacted, SessionFailure>
  /** As `accessToken`, with scopes, context, expiry and the other tokens. */
  readonly tokens: (id: SessionId) => Effect.Effect<TokenSet, SessionFailure>
  /** As `tokens`, with the client of their server. Reads the store once. */
  readonly authorization: (id: SessionId) => Effect.Effect<Authorization, SessionFailure>
  /** The stored session. Renews nothing. */
  readonly session: (id: SessionId) => Effect.Effect<Session, SessionError>
  /** The client of the session's server. Fails with `NotFound` if the session does not exist. */
  readonly client: (id: SessionId) => Effect.Effect<SmartClient.Service, SessionError | UnknownServerError>
  /** Why the session needs a new launch, if it does. Read it before the user starts a long task. */
  readonly relaunchReason: (id: SessionId) => Effect.Effect<Option.Option<string>, SessionError>
  /** Removes the session and revokes its tokens at the server. A failed revocation is logged and not returned. */
  readonly revoke: (id: SessionId) => Effect.Effect<void, SessionError>
  /**
   * Removes the session and leaves its tokens valid at the server. Use it when another session of the same user
   * replaces this one: some servers end all grants of a user when one token is revoked.
   */
  readonly remove: (id: SessionId) => Effect.Effect<void, SessionError>
  /** Changes by this process, from the subscription on. */
  readonly onChange: Stream.Stream<SessionChange>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Sessions extends Context.Tag("effect-safire/Sessions")<Sessions, Service>() {}

/**
 * Renewal and lifetime of sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends RenewalOptions {
  /** A session ends when it has not been used for this time. Default 30 days. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** For how long a second delivery of a callback returns its session. Default 10 minutes. */
  readonly completedLaunchLifetime?: Duration.DurationInput | undefined
  /**
   * How long a program that stops waits for renewals, callbacks and logouts in progress, in total. After that they are
   * interrupted, with a warning in the log. Default 30 seconds.
   */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
}

/**
 * Whether `completeLaunch` can succeed with the same callback later: the failure is temporary and the code is unused.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isCallbackRetryable = (error: CompleteLaunchError): boolean =>
  error._tag === "SessionError" ? error.isRetryable : Launches.isCodeUnused(error)

/**
 * Makes the service. Renewals, callbacks and logouts in progress end before the scope closes, or after
 * `shutdownTimeout`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, never, SmartServers.SmartServers | SessionStore.SessionStore | Scope.Scope> =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const store = yield* SessionStore.SessionStore
    const idleTimeout = Duration.decode(options.idleTimeout ?? "30 days")
    const completedLifetime = options.completedLaunchLifetime ?? "10 minutes"
    const shutdownTimeout = Duration.decode(options.shutdownTimeout ?? "30 seconds")

    const records = yield* SessionRecords.make(idleTimeout)
    const renewal = Renewal.make({ records, servers, options: { ...options, idleTimeout } })
    const launches = Launches.make({ records, servers, store, completedLifetime })
    const revocations = SingleFlight.make<string | undefined, SessionError>()

    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        [...renewal.inProgress, ...launches.inProgress, revocations],
        ({ settle }) => settle(shutdownTimeout),
        { concurrency: "unbounded" }
      ).pipe(Effect.flatMap((counts) => {
        const left = counts.reduce((sum, count) => sum + count, 0)
        return left === 0 ? Effect.void : Effect.logWarning(
          `Sessions stopped after ${Duration.format(shutdownTimeout)} (shutdownTimeout) and interrupted ${left} ` +
            "renewals, callbacks or logouts in progress; their sessions may need a new launch"
        )
      }))
    )

    const accessToken = (
      id: SessionId,
      refused?: Redacted.Redacted
    ): Effect.Effect<Redacted.Redacted, SessionFailure> =>
      renewal.withCurrent(id, refused, ({ tokens }) => Effect.succeed(tokens.accessToken))

    const annotateServer = (server: string | undefined) =>
      server === undefined ? Effect.void : annotate("smart.server", server)

    return {
      startLaunch: launches.startLaunch,
      completeLaunch: launches.completeLaunch,
      importTokens: (tokens, { appState, server } = {}) =>
        Effect.flatMap(
          server === undefined ? servers.only : servers.client(server),
          ({ name }) => records.create(name, tokens, appState)
        ),
      accessToken: (id) => accessToken(id),
      accessTokenAfter: (id, refused) => accessToken(id, refused),
      tokens: (id) => renewal.withCurrent(id, undefined, ({ tokens }) => Effect.succeed(tokens)),
      authorization: (id) =>
        renewal.withCurrent(
          id,
          undefined,
          ({ server, tokens }) => Effect.map(servers.client(server), (client) => ({ client, tokens }))
        ),
      session: (id) =>
        Effect.map(
          records.load(id),
          ({ appState, createdAt, server, tokens }) => ({ id, server, tokens, createdAt, appState })
        ),
      client: (id) => Effect.flatMap(records.load(id), ({ server }) => servers.client(server)),
      relaunchReason: (id) =>
        Effect.zipWith(
          records.load(id),
          DateTime.now,
          (session, now) => Option.fromNullable(SessionState.relaunchReason(session, now))
        ),
      // A fiber of its own: a user who closes the tab must not leave a session that is removed here and valid at the
      // server.
      revoke: (id) =>
        revocations.run(
          Redacted.value(id),
          () =>
            Effect.flatMap(records.remove(id), (removed) =>
              removed === undefined ? Effect.succeed(undefined) : Effect.as(
                Renewal.revokeTokens(servers, removed.server, renewal.latestTokens(id, removed)),
                removed.server
              ))
        ).pipe(Effect.flatMap(annotateServer), span("Sessions.revoke")),
      remove: (id) =>
        Effect.flatMap(records.remove(id), (removed) => {
          if (removed !== undefined) renewal.latestTokens(id, removed)
          return annotateServer(removed?.server)
        }).pipe(span("Sessions.remove")),
      onChange: records.changes
    }
  })

/**
 * Sessions with options. Each call returns another layer with its own locks: bind the layer to a `const`, and call
 * `layerWith` twice for two registries in one build.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<Sessions, never, SmartServers.SmartServers | SessionStore.SessionStore> =>
  Layer.scoped(Sessions, make(options))

/**
 * Sessions for the servers of a registry. Effect builds this constant once, with the registry and the store of its
 * first use, so that all users share its locks. For a second one in the same build use `layerWith({})`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Sessions, never, SmartServers.SmartServers | SessionStore.SessionStore> = layerWith({})

/**
 * Sessions for one server. As `layer`, it is built once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient: Layer.Layer<Sessions, never, SmartClient.SmartClient | SessionStore.SessionStore> = Layer
  .provide(layerWith({}), SmartServers.layerFromClient)
