/**
 * Launches in progress: started here, completed by their callback (SMART App Launch 2.2, section 2.0.9). A launch is
 * completed once; a second delivery of its callback returns the same session.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { equal } from "../../base/ConstantTime.js"
import { construct, later } from "../../base/SchemaFields.js"
import * as SingleFlight from "../../base/SingleFlight.js"
import { annotate, span } from "../../base/Span.js"
import type * as AuthorizationCallback from "../../launch/AuthorizationCallback.js"
import { stateOf } from "../../launch/AuthorizationCallback.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import type * as SmartServers from "../../smart/SmartServers.js"
import type { UnknownServerError } from "../../smart/UnknownServerError.js"
import { SessionError } from "../SessionError.js"
import type * as SessionStore from "../SessionStore.js"
import { launchKey } from "../SessionStore.js"
import { revokeTokens } from "./renewal.js"
import { CompletedLaunch, PendingLaunch } from "./sessionEntry.js"
import type { SessionId, SessionRecords } from "./sessionRecords.js"

/**
 * Options of a launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartLaunchOptions extends SmartClient.AuthorizeOptions {
  /** The server's key. Default: the server whose FHIR base URL is `iss`, or the only configured server. */
  readonly server?: string | undefined
  /**
   * A secret of the browser in which the launch starts, such as the value of a cookie. `completeLaunch` must receive
   * the same value. Without it any browser can complete the launch: leave it out only in programs that have no
   * browser.
   */
  readonly browserBinding?: Redacted.Redacted | undefined
  /** JSON that the app wants to find in the session. It stays in the store and is never sent. */
  readonly appState?: unknown
}

/**
 * Where to send the user: the result of `SmartClient.authorize` without `pending`, which is in the store.
 *
 * @since 0.1.0
 * @category models
 */
export type Destination = Omit<Effect.Effect.Success<ReturnType<SmartClient.Service["authorize"]>>, "pending">

/**
 * Why a launch could not be started.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartLaunchError =
  | UnknownServerError
  | SessionError
  | Effect.Effect.Error<ReturnType<SmartClient.Service["authorize"]>>

/**
 * Why a callback gave no session. `isCallbackRetryable` tells whether the same callback can succeed later.
 *
 * @since 0.1.0
 * @category errors
 */
export type CompleteLaunchError =
  | UnknownServerError
  | SessionError
  | Effect.Effect.Error<ReturnType<SmartClient.Service["exchange"]>>

export interface Launches {
  readonly startLaunch: (options?: StartLaunchOptions) => Effect.Effect<Destination, StartLaunchError>
  readonly completeLaunch: (
    callback: AuthorizationCallback.Callback,
    options?: { readonly browserBinding?: Redacted.Redacted | undefined }
  ) => Effect.Effect<SessionId, CompleteLaunchError>
  /** Callbacks in progress, for the end of the program. */
  readonly inProgress: ReadonlyArray<Pick<SingleFlight.SingleFlight<unknown, unknown>, "settle">>
}

/** Whether the exchange failed before the server used the code, so that the launch can still be completed. */
export const isCodeUnused = (error: CompleteLaunchError): boolean => {
  switch (error._tag) {
    case "TokenError":
      return error.isRetryable && error.processed === "no"
    case "AuthorizationError":
    case "IdTokenError":
      return error.isRetryable
    case "DiscoveryError":
    case "ConfigurationError":
    case "ClientAuthenticationError":
    case "UnknownServerError":
      return true
    default:
      return false
  }
}

const isBoundTo = (expected: Redacted.Redacted | undefined, presented: Redacted.Redacted | undefined): boolean =>
  expected === undefined || (presented !== undefined && equal(Redacted.value(expected), Redacted.value(presented)))

const tokensIn = (error: CompleteLaunchError) =>
  error._tag === "TokenError"
    ? error.issued
    : error._tag === "IdTokenError" && error.tokens !== undefined
    ? Redacted.value(error.tokens)
    : undefined

type Outcome = readonly [Either.Either<SessionId, CompleteLaunchError>, Option.Option<PendingLaunch | CompletedLaunch>]

export const make = ({ completedLifetime, records, servers, store }: {
  readonly servers: SmartServers.Service
  readonly store: SessionStore.Service
  readonly records: SessionRecords
  readonly completedLifetime: Duration.DurationInput
}): Launches => {
  const deliveries = SingleFlight.make<SessionId, CompleteLaunchError>()
  let delivered = 0

  const startLaunch: Launches["startLaunch"] = (options = {}) =>
    Effect.gen(function*() {
      const { appState, browserBinding, server, ...authorization } = options
      const client = yield* server !== undefined
        ? servers.client(server)
        : authorization.iss !== undefined
        ? servers.forLaunchIss(authorization.iss)
        : servers.only
      yield* annotate("smart.server", client.name)
      const { pending, ...destination } = yield* client.authorize(authorization)
      const expiresAt = later(pending.createdAt, client.config.authorizationMaxAge ?? "30 minutes")
      const launch = construct(PendingLaunch, {
        _tag: "PendingLaunch",
        version: 1,
        expiresAt,
        pending,
        browserBinding,
        appState
      })
      yield* store.set(launchKey(pending.state), launch)
      return destination
    }).pipe(span("Sessions.startLaunch"))

  /** A failure is part of the result, because the new state of the launch must be stored in both cases. */
  const exchange = (callback: AuthorizationCallback.Callback, launch: PendingLaunch): Effect.Effect<Outcome> =>
    Effect.gen(function*() {
      const { appState, browserBinding, pending } = launch
      yield* annotate("smart.server", pending.server)
      const client = yield* servers.client(pending.server)
      const tokens = yield* client.exchange(callback, pending)
      const sessionId = yield* Effect.tapError(
        records.create(client.name, tokens, appState),
        () => revokeTokens(servers, client.name, tokens)
      )
      const expiresAt = later(yield* DateTime.now, completedLifetime)
      const completed = construct(CompletedLaunch, {
        _tag: "CompletedLaunch",
        version: 1,
        expiresAt,
        sessionId,
        browserBinding
      })
      return [Either.right(sessionId), Option.some(completed)] satisfies Outcome
    }).pipe(
      // Tokens that arrived before the login failed are in no session: revoke them.
      Effect.tapError((error) => {
        const tokens = tokensIn(error)
        return tokens === undefined ? Effect.void : revokeTokens(servers, launch.pending.server, tokens)
      }),
      Effect.catchAll((error: CompleteLaunchError) =>
        Effect.succeed<Outcome>([Either.left(error), isCodeUnused(error) ? Option.some(launch) : Option.none()])
      )
    )

  const deliver = (
    callback: AuthorizationCallback.Callback,
    browserBinding: Redacted.Redacted | undefined
  ): Effect.Effect<SessionId, CompleteLaunchError> =>
    Effect.gen(function*() {
      const state = yield* stateOf(callback)
      const outcome = yield* store.modify(launchKey(state), (current) =>
        Effect.gen(function*() {
          const launch = Option.getOrUndefined(current)
          if (launch?._tag !== "PendingLaunch" && launch?._tag !== "CompletedLaunch") {
            return yield* new SessionError({
              reason: "LaunchNotFound",
              detail: "the launch of this callback was not started here, has expired, or has failed"
            })
          }
          if (!isBoundTo(launch.browserBinding, browserBinding)) {
            return yield* new SessionError({
              reason: "BindingMismatch",
              detail: "the callback came from another browser than the one that started the launch"
            })
          }
          return launch._tag === "CompletedLaunch"
            ? [Either.right(launch.sessionId), current] as const
            : yield* exchange(callback, launch)
        }))
      return yield* outcome
    })

  return {
    startLaunch,
    // A fiber of its own: if the request is aborted during the exchange, the code is spent and the tokens would be
    // lost.
    // Each delivery has its own key, because each must present its browser; the store's lock lets one of them exchange.
    completeLaunch: (callback, { browserBinding } = {}) =>
      deliveries.run(String(delivered++), () => deliver(callback, browserBinding)).pipe(
        span("Sessions.completeLaunch")
      ),
    inProgress: [deliveries]
  }
}
