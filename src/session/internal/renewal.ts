/**
 * The current tokens of a session. `SessionState.decide` chooses what to do; this module does it: one token request per
 * session at a time, over all processes that share the store, and never with a refresh token that has been replaced.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { unsafeMillis } from "../../base/FiberEnvironment.js"
import * as SingleFlight from "../../base/SingleFlight.js"
import { span } from "../../base/Span.js"
import type * as SmartServers from "../../smart/SmartServers.js"
import type { UnknownServerError } from "../../smart/UnknownServerError.js"
import type { TokenError } from "../../token/TokenError.js"
import type { TokenSet } from "../../token/TokenSet.js"
import { SessionError } from "../SessionError.js"
import type { Decision, RenewalError, RenewalOptions } from "../SessionState.js"
import * as SessionState from "../SessionState.js"
import type { RefreshFailure, StoredSession } from "./sessionEntry.js"
import type { SessionId, SessionRecords } from "./sessionRecords.js"

/**
 * Why a session has no usable token.
 *
 * @since 0.1.0
 * @category errors
 */
export type SessionFailure = UnknownServerError | SessionError | RenewalError

/**
 * Revokes tokens at their server (RFC 7009, section 2.1). The refresh token goes first, because it ends the whole
 * grant. A failure is logged only: a user can always log out.
 */
export const revokeTokens = (
  servers: SmartServers.Service,
  server: string,
  { accessToken, refreshToken }: NonNullable<TokenError["issued"]>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const client = yield* servers.client(server)
    if (refreshToken !== undefined) yield* client.revoke(refreshToken, { tokenTypeHint: "refresh_token" })
    else if (accessToken !== undefined) yield* client.revoke(accessToken, { tokenTypeHint: "access_token" })
  }).pipe(Effect.catchAll((error) => Effect.logDebug("revocation failed", String(error))))

export interface Renewal {
  /** Runs `use` with the session, which has a valid access token, other than `refused`. */
  readonly withCurrent: <A, E>(
    id: SessionId,
    refused: Redacted.Redacted | undefined,
    use: (session: StoredSession) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | SessionFailure>
  /** The latest tokens of a session that was removed: the store may not have accepted them. */
  readonly latestTokens: (id: SessionId, removed: StoredSession) => TokenSet
  /** Work in progress, for the end of the program. */
  readonly inProgress: ReadonlyArray<Pick<SingleFlight.SingleFlight<unknown, unknown>, "settle">>
}

type Outcome = Either.Either<StoredSession, RenewalError | SessionError>

const relaunchError = (detail: string): SessionError => new SessionError({ reason: "NeedsRelaunch", detail })

/** For callers that wait: the session, unless it cannot be renewed now. */
const outcomeOf = (session: StoredSession, decision: Decision): Outcome =>
  decision._tag === "Relaunch"
    ? Either.left(relaunchError(decision.reason))
    : decision._tag === "CoolDown"
    ? Either.left(decision.error)
    : Either.right(session)

export const make = ({ options, records, servers }: {
  readonly records: SessionRecords
  readonly servers: SmartServers.Service
  readonly options: RenewalOptions & { readonly idleTimeout: Duration.Duration }
}): Renewal => {
  const { idleTimeout, renewalMargin } = options
  const renewals = SingleFlight.make<StoredSession, SessionFailure>()
  const extensions = SingleFlight.make<void, never>()
  const pauseMillis = Duration.toMillis(options.failureCooldown ?? "2 seconds")
  let pausedUntil = 0

  /** While the store is unavailable, no request starts work in the background. */
  const storeFailed = (error: SessionError): Effect.Effect<void> =>
    error.reason !== "StoreUnavailable" ? Effect.void : Effect.zipRight(
      Effect.map(Clock.currentTimeMillis, (now) => {
        pausedUntil = now + pauseMillis
      }),
      Effect.logWarning(`A session was not written; requests continue with valid tokens. ${error.message}`)
    )

  // A longer pause was set before the clock jumped back.
  const isPaused = (now: number): boolean => now < pausedUntil && pausedUntil <= now + pauseMillis

  /** Tokens that were received and are not stored yet. The tokens they replace are spent. */
  const unsaved = new Map<string, { readonly replaced: Redacted.Redacted; readonly tokens: TokenSet }>()

  const unsavedFor = (id: SessionId, stored: StoredSession): TokenSet | undefined => {
    const entry = unsaved.get(Redacted.value(id))
    return entry !== undefined && SessionState.isSameToken(entry.replaced, stored.tokens.accessToken)
      ? entry.tokens
      : undefined
  }

  const afterFailure = (id: SessionId, session: StoredSession, error: RefreshFailure) =>
    Effect.gen(function*() {
      const now = yield* DateTime.now
      if (!SessionState.isFinal(error)) {
        return [Either.left(error) as Outcome, SessionState.failed(session, error, now, options)] as const
      }
      // If another process renewed after this lock's lease, the failure is about a token that has been replaced.
      const latest = yield* records.load(id)
      if (!SessionState.isSameToken(latest.tokens.refreshToken, session.tokens.refreshToken)) {
        return [outcomeOf(latest, SessionState.decide(latest, now.epochMillis, { idleTimeout })), session] as const
      }
      const next = SessionState.refusedForGood(session, error)
      yield* records.publish("RelaunchNeeded", id, session.server)
      return [Either.left(relaunchError(next.relaunchReason ?? error.reason)) as Outcome, next] as const
    })

  /**
   * Decides again with the lock of the session, and sends the refresh request if it is still needed and `mayRequest`.
   */
  const renewLocked = (id: SessionId, seen: StoredSession, stored: StoredSession, mayRequest: boolean) =>
    Effect.gen(function*() {
      const now = yield* DateTime.now
      const unsavedTokens = unsavedFor(id, stored)
      const current = unsavedTokens === undefined
        ? stored
        : SessionState.renewed(stored, unsavedTokens, now, idleTimeout)
      const decision = SessionState.decide(current, now.epochMillis, {
        idleTimeout,
        refused: seen.tokens.accessToken
      })
      if (decision._tag !== "RenewAndWait") return [outcomeOf(current, decision), current] as const
      if (!mayRequest) {
        return yield* new SessionError({
          reason: "LockLost",
          detail: "another process changed the session during the renewal, and its token is not valid"
        })
      }
      const client = yield* servers.client(current.server)
      const refreshed = yield* Effect.either(client.refresh(current.tokens))
      if (Either.isRight(refreshed)) {
        unsaved.set(Redacted.value(id), { replaced: stored.tokens.accessToken, tokens: refreshed.right })
        const next = SessionState.renewed(current, refreshed.right, yield* DateTime.now, idleTimeout)
        return [Either.right(next) as Outcome, next] as const
      }
      const error = refreshed.left
      if (error._tag !== "IdTokenError") return yield* afterFailure(id, current, error)
      // The new tokens belong to another user: the session ends, and they are revoked.
      yield* records.publish("Ended", id, current.server)
      if (error.tokens !== undefined) yield* revokeTokens(servers, current.server, Redacted.value(error.tokens))
      return [Either.left(error) as Outcome, undefined] as const
    })

  /** Revokes tokens that arrived after the session was removed. */
  const discardUnsaved = (id: SessionId, { server }: StoredSession): Effect.Effect<void> => {
    const entry = unsaved.get(Redacted.value(id))
    unsaved.delete(Redacted.value(id))
    return entry === undefined ? Effect.void : revokeTokens(servers, server, entry.tokens)
  }

  const renew = (id: SessionId, seen: StoredSession): Effect.Effect<StoredSession, SessionFailure> =>
    Effect.gen(function*() {
      const attempt = (mayRequest: boolean) => records.modify(id, (stored) => renewLocked(id, seen, stored, mayRequest))
      const outcome = yield* attempt(true).pipe(
        // The lease ended and another process has written. The received tokens are saved unless its tokens are newer.
        Effect.catchIf(({ reason }) => reason === "LockLost", () => attempt(false)),
        Effect.tapErrorTag(
          "SessionError",
          (error) => error.reason === "NotFound" ? discardUnsaved(id, seen) : storeFailed(error)
        )
      )
      unsaved.delete(Redacted.value(id))
      const session = yield* outcome
      if (!SessionState.isSameToken(session.tokens.accessToken, seen.tokens.accessToken)) {
        yield* records.publish("Renewed", id, session.server)
      }
      return session
    }).pipe(span("Sessions.renew", { attributes: { "smart.server": seen.server } }))

  const extend = (id: SessionId): Effect.Effect<void> =>
    records.modify(id, (session) =>
      Effect.map(DateTime.now, (now) => [
        undefined,
        SessionState.isHalfIdle(session, now.epochMillis, idleTimeout)
          ? SessionState.extended(session, now, idleTimeout)
          : session
      ])).pipe(Effect.catchAll(storeFailed))

  return {
    withCurrent: <A, E>(
      id: SessionId,
      refused: Redacted.Redacted | undefined,
      use: (session: StoredSession) => Effect.Effect<A, E>
    ) =>
      records.loadWith(id, (session, now): Effect.Effect<A, E | SessionFailure> => {
        const decision = SessionState.decide(session, now, { refused, renewalMargin, idleTimeout })
        switch (decision._tag) {
          case "UseToken":
            return use(session)
          case "UseTokenAndRenew":
            return isPaused(now)
              ? use(session)
              : Effect.zipRight(renewals.start(Redacted.value(id), () => renew(id, session)), use(session))
          case "UseTokenAndExtend":
            return isPaused(now)
              ? use(session)
              : Effect.zipRight(extensions.start(Redacted.value(id), () => extend(id)), use(session))
          case "RenewAndWait": {
            const key = Redacted.value(id)
            // Of a thousand callers at once, all but the first find the renewal in progress.
            const renewal = renewals.inProgress(key) ?? renewals.run(key, () => renew(id, session))
            return Effect.flatMap(renewal, (renewed): Effect.Effect<A, E | SessionFailure> => {
              const { server, tokens } = renewed
              const renewedAt = unsafeMillis()
              const checked = SessionState.checkNotExpired(tokens, renewedAt, { operation: "refresh", server })
              return Either.isRight(checked) ? use(renewed) : checked.left
            })
          }
          case "CoolDown":
            return decision.error
          case "Relaunch":
            return relaunchError(decision.reason)
        }
      }),
    latestTokens: (id, removed) => {
      const tokens = unsavedFor(id, removed) ?? removed.tokens
      unsaved.delete(Redacted.value(id))
      return tokens
    },
    inProgress: [renewals, extensions]
  }
}
