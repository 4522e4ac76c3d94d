/**
 * Launches under way: what is kept of one until its callback comes back, whose browser it has to come to, and what becomes of it then. A launch is completed
 * once; a second delivery of its callback gives the same session.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { equal } from "../base/ConstantTime.js"
import * as SingleFlight from "../base/SingleFlight.js"
import { skipValidation } from "../base/SkipValidation.js"
import { annotate, span } from "../base/Span.js"
import { later } from "../base/StorableDate.js"
import type * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import { stateOf } from "../launch/AuthorizationCallback.js"
import type * as SmartServers from "../smart/SmartServers.js"
import type { TokenSet } from "../token/TokenSet.js"
import { revoke } from "./internal/renewal.js"
import { CompletedLaunch, PendingLaunch } from "./internal/sessionEntry.js"
import { SessionError } from "./SessionError.js"
import type { CompleteLaunchError, Service, SessionId } from "./Sessions.js"
import type * as SessionStore from "./SessionStore.js"

const PREFIX = "launch."

/** Where a launch is kept. */
export const keyOf = (state: Redacted.Redacted): Redacted.Redacted => Redacted.make(PREFIX + Redacted.value(state))

/** Whether it is a launch that is kept there, and not a session. */
export const isKey = (key: Redacted.Redacted): boolean => Redacted.value(key).startsWith(PREFIX)

const isBoundTo = (expected: Redacted.Redacted | undefined, presented: Redacted.Redacted | undefined): boolean =>
  expected === undefined || (presented !== undefined && equal(Redacted.value(expected), Redacted.value(presented)))

/** Failures of an exchange that leave the code unused, so that the person may come back with it; any other ends the launch. */
export const staysPending = (error: CompleteLaunchError): boolean => {
  switch (error._tag) {
    case "TokenError":
      return error.isRetryable && error.processed === "no"
    case "DiscoveryError":
    case "ConfigurationError":
    case "UnknownServerError":
      return true
    default:
      return false
  }
}

const tokensIn = (error: CompleteLaunchError) =>
  error._tag === "TokenError"
    ? error.issued
    : error._tag === "IdTokenError" && error.tokens !== undefined
    ? Redacted.value(error.tokens)
    : undefined

/** @internal */
export interface Launches extends Pick<Service, "startLaunch" | "completeLaunch"> {
  /** Waits for callbacks that are being completed: see `SingleFlight.settle`. */
  readonly settle: (limit: Duration.DurationInput) => Effect.Effect<number>
}

type Written = readonly [Either.Either<SessionId, CompleteLaunchError>, Option.Option<PendingLaunch | CompletedLaunch>]

export const make = ({ completedLifetime, servers, start, store }: {
  readonly servers: SmartServers.Service
  readonly store: SessionStore.Service
  /** Makes a session of tokens. */
  readonly start: (server: string, tokens: TokenSet, appState: unknown) => Effect.Effect<SessionId, SessionError>
  readonly completedLifetime: Duration.Duration
}): Effect.Effect<Launches> =>
  Effect.sync(() => {
    const deliveries = SingleFlight.make<SessionId, CompleteLaunchError>()
    let delivered = 0

    const startLaunch: Service["startLaunch"] = (options = {}) =>
      Effect.gen(function*() {
        const { appState, browserBinding, server, ...authorization } = options
        const client = yield* server !== undefined
          ? servers.client(server)
          : authorization.iss !== undefined
          ? servers.forLaunchIss(authorization.iss)
          : servers.only
        yield* annotate("smart.server", client.name)
        const { pending, ...destination } = yield* client.authorize(authorization)
        yield* store.set(
          keyOf(pending.state),
          new PendingLaunch({
            version: 1,
            expiresAt: later(pending.createdAt, client.config.authorizationMaxAge ?? "30 minutes"),
            pending,
            browserBinding: browserBinding,
            appState
          }, skipValidation)
        )
        return destination
      }).pipe(span("Sessions.startLaunch"))

    /** What became of a launch: an outcome rather than a failure, because the end of the launch has to be written in both cases. */
    const exchanged = (callback: AuthorizationCallback.Callback, launch: PendingLaunch): Effect.Effect<Written> =>
      Effect.gen(function*() {
        yield* annotate("smart.server", launch.pending.server)
        const client = yield* servers.client(launch.pending.server)
        const tokens = yield* client.exchange(callback, launch.pending)
        const sessionId = yield* start(client.name, tokens, launch.appState)
        const completed = new CompletedLaunch({
          version: 1,
          expiresAt: later(yield* DateTime.now, completedLifetime),
          sessionId,
          browserBinding: launch.browserBinding
        }, skipValidation)
        return [Either.right(sessionId), Option.some(completed)] satisfies Written
      }).pipe(
        // Nothing else holds the tokens of a login that failed after they came.
        Effect.tapError((error) => {
          const tokens = tokensIn(error)
          return tokens === undefined ? Effect.void : revoke(servers, launch.pending.server, tokens)
        }),
        Effect.catchAll((error: CompleteLaunchError) =>
          Effect.succeed<Written>([Either.left(error), staysPending(error) ? Option.some(launch) : Option.none()])
        )
      )

    const deliver = (
      callback: AuthorizationCallback.Callback,
      browserBinding: Redacted.Redacted | undefined
    ): Effect.Effect<SessionId, CompleteLaunchError> =>
      Effect.gen(function*() {
        const state = yield* stateOf(callback)
        const notFound = new SessionError({
          reason: "LaunchNotFound",
          detail: "no launch waits for this callback: it was never started here, has expired, or has failed"
        })
        const outcome = yield* store.modify(keyOf(state), (current) =>
          Effect.gen(function*() {
            const launch = Option.getOrUndefined(current)
            if (launch?._tag !== "PendingLaunch" && launch?._tag !== "CompletedLaunch") return yield* notFound
            if (!isBoundTo(launch.browserBinding, browserBinding)) {
              return yield* new SessionError({
                reason: "BindingMismatch",
                detail: "the callback came to another browser than the launch was started in"
              })
            }
            return launch._tag === "CompletedLaunch"
              ? [Either.right(launch.sessionId), current] as const
              : yield* exchanged(callback, launch)
          }))
        return yield* outcome
      })

    /**
     * In a fiber of its own, as a renewal: a request that is cut off (the person closes the tab) would spend the code and lose the tokens. Deliveries share
     * no flight, because each is judged by what its own browser brought; the store's lock lets one of them exchange.
     */
    const completeLaunch: Service["completeLaunch"] = (callback, { browserBinding } = {}) =>
      deliveries.run(String(delivered++), () => deliver(callback, browserBinding)).pipe(span("Sessions.completeLaunch"))

    return { startLaunch, completeLaunch, settle: deliveries.settle }
  })
