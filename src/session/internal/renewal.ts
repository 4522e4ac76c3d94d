/**
 * Renewing the tokens of one stored session: one token request however many ask, in this process and in all that share the store, and no refresh token
 * sent that has been replaced.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SingleFlight from "../../base/SingleFlight.js"
import { skipValidation } from "../../base/SkipValidation.js"
import { span } from "../../base/Span.js"
import { later } from "../../base/StorableDate.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import * as SmartServers from "../../smart/SmartServers.js"
import type { UnknownServerError } from "../../smart/UnknownServerError.js"
import type { IdTokenError } from "../../token/IdTokenError.js"
import type { TokenError } from "../../token/TokenError.js"
import { isExpired, TokenSet, whyNoRefreshToken } from "../../token/TokenSet.js"
import { SessionError } from "../SessionError.js"
import * as SessionStore from "../SessionStore.js"
import type * as RenewalTime from "./renewalTime.js"
import type { Entry } from "./sessionEntry.js"
import { StoredSession } from "./sessionEntry.js"

/**
 * @since 0.1.0
 * @category errors
 */
export type RenewalError = Effect.Effect.Error<ReturnType<SmartClient.Service["refresh"]>>

/** What leaves the session to the same person. */
type RefreshFailure = Exclude<RenewalError, IdTokenError>

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long before expiry a token is renewed. */
  readonly renewalMargin?: RenewalTime.Margin | undefined
  /** How long nobody tries again after a renewal that failed for a reason that passes. Default 2 seconds, or what the server asked for. */
  readonly failureCooldown?: Duration.DurationInput | undefined
  /** How long nobody tries again after the server refused this client's credentials. Default 1 minute. */
  readonly credentialsCooldown?: Duration.DurationInput | undefined
}

/** @internal */
export interface Renewal {
  /** The session after a renewal that was found to be needed when it was as `seen`. */
  readonly renew: (
    id: Redacted.Redacted,
    seen: StoredSession
  ) => Effect.Effect<StoredSession, RenewalError | SessionError | UnknownServerError>
  /** Starts the same, and does not wait for it. */
  readonly start: (id: Redacted.Redacted, seen: StoredSession) => Effect.Effect<void>
  /** A session that was removed, with the tokens that the store had not taken yet: those are the ones to revoke. */
  readonly release: (id: Redacted.Redacted, removed: StoredSession) => Effect.Effect<StoredSession>
  /** Waits for renewals under way: see `SingleFlight.settle`. Cut off, their tokens would be lost. */
  readonly settle: (limit: Duration.DurationInput) => Effect.Effect<number>
}

/** @internal */
export const asSession = (entry: Option.Option<Entry>): Effect.Effect<StoredSession, SessionError> =>
  Option.isSome(entry) && entry.value._tag === "StoredSession"
    ? Effect.succeed(entry.value)
    : new SessionError({ reason: "NotFound", detail: "there is no such session: it has ended, expired, or never was" })

/** @internal */
export const relaunchReason = (session: StoredSession, now: DateTime.Utc): Option.Option<string> => {
  if (session.relaunchReason !== undefined) return Option.some(session.relaunchReason)
  return session.tokens.refreshToken === undefined && isExpired(session.tokens, now)
    ? Option.some(`the access token has expired: ${whyNoRefreshToken(session.tokens)}`)
    : Option.none()
}

const LONGEST_COOLDOWN_MILLIS = 300_000

/**
 * Whether a renewal failed so short a time ago that nobody tries again yet. A failure that holds for longer than any does was written by a clock that has
 * since jumped back.
 *
 * @internal
 */
export const isCoolingDown = ({ renewalFailure }: StoredSession, now: DateTime.Utc): boolean => {
  if (renewalFailure === undefined) return false
  const left = DateTime.toEpochMillis(renewalFailure.retryAt) - DateTime.toEpochMillis(now)
  return left > 0 && left <= LONGEST_COOLDOWN_MILLIS
}

/**
 * Why a session whose access token is of no use is not to be renewed, or not now.
 *
 * @internal
 */
export const refusal = (session: StoredSession, now: DateTime.Utc): Option.Option<RenewalError | SessionError> => {
  const { relaunchReason, renewalFailure, tokens } = session
  if (relaunchReason !== undefined || tokens.refreshToken === undefined) {
    const detail = relaunchReason ?? `the access token cannot be used any more: ${whyNoRefreshToken(tokens)}`
    return Option.some(new SessionError({ reason: "NeedsRelaunch", detail }))
  }
  return renewalFailure !== undefined && isCoolingDown(session, now) ? Option.some(renewalFailure.error) : Option.none()
}

/** Best effort: the person leaves, whatever the server says. */
const whateverItSays = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  self.pipe(Effect.asVoid, Effect.catchAll((error) => Effect.logDebug("revocation failed", String(error))))

/** @internal */
export const revoke = (
  servers: SmartServers.Service,
  server: string,
  tokens: NonNullable<TokenError["issued"]>
): Effect.Effect<void> =>
  whateverItSays(
    Effect.gen(function*() {
      const client = yield* servers.client(server)
      const { revocationEndpoint } = yield* client.configuration
      if (revocationEndpoint === undefined) return
      // A refresh token ends the whole grant (RFC 7009, section 2.1).
      const { accessToken, refreshToken } = tokens
      if (refreshToken !== undefined) yield* client.revoke(refreshToken, { tokenTypeHint: "refresh_token" })
      else if (accessToken !== undefined) yield* client.revoke(accessToken, { tokenTypeHint: "access_token" })
    })
  )

const sameToken = (a: Redacted.Redacted | undefined, b: Redacted.Redacted | undefined): boolean =>
  (a === undefined ? undefined : Redacted.value(a)) === (b === undefined ? undefined : Redacted.value(b))

const isCredentialsError = (error: { readonly error?: string | undefined }): boolean =>
  error.error === "invalid_client" || error.error === "unauthorized_client"

/** What a refresh that failed, but not because somebody else has logged in, means for the session. */
const verdictOf = (error: RefreshFailure): "relaunch" | "credentials" | "passes" => {
  switch (error._tag) {
    case "TokenError":
      if (isCredentialsError(error)) return "credentials"
      // Any 4xx but 408 and 429, which are `Unavailable`, is the server's last word on this refresh token.
      return error.reason === "Refused" ? "relaunch" : "passes"
    default:
      return "passes"
  }
}

const isSessionError =
  (reason: SessionError["reason"]) => (error: { readonly _tag: string; readonly reason?: unknown }) =>
    error._tag === "SessionError" && error.reason === reason

type Outcome = Either.Either<StoredSession, RenewalError | SessionError>

/** @internal */
export const make = (
  options: Options & {
    readonly idleTimeout: Duration.Duration
    readonly keyOf: (id: Redacted.Redacted) => Redacted.Redacted
    readonly onRenewed: (id: Redacted.Redacted, session: StoredSession) => Effect.Effect<unknown>
    readonly onRelaunchNeeded: (id: Redacted.Redacted, session: StoredSession) => Effect.Effect<unknown>
    readonly onEnded: (id: Redacted.Redacted, session: StoredSession) => Effect.Effect<unknown>
    readonly onStoreError: (error: SessionError) => Effect.Effect<unknown>
  }
): Effect.Effect<Renewal, never, SmartServers.SmartServers | SessionStore.SessionStore> =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const store = yield* SessionStore.SessionStore
    const failureCooldown = Duration.decode(options.failureCooldown ?? "2 seconds")
    const credentialsCooldown = Duration.decode(options.credentialsCooldown ?? "1 minute")
    const flights = SingleFlight.make<StoredSession, RenewalError | SessionError | UnknownServerError>()

    /** What to keep after a failure, and what to tell those who wait. */
    const failed = (
      id: Redacted.Redacted,
      session: StoredSession,
      error: RefreshFailure
    ): Effect.Effect<readonly [Outcome, StoredSession], SessionError> =>
      Effect.gen(function*() {
        const now = yield* DateTime.now
        const verdict = verdictOf(error)
        if (verdict === "relaunch") {
          // A holder whose lease ran out may have renewed meanwhile: then this is the answer to a token that has been replaced.
          const latest = yield* Effect.flatMap(store.get(options.keyOf(id)), asSession)
          if (!sameToken(latest.tokens.refreshToken, session.tokens.refreshToken)) {
            const refused = isExpired(latest.tokens, now) ? refusal(latest, now) : Option.none()
            return [Option.isSome(refused) ? Either.left(refused.value) : Either.right(latest), session] as const
          }
          const words = error._tag === "TokenError" ? error.error ?? `HTTP ${error.status ?? "4xx"}` : error.reason
          const detail = `the server refused the refresh token (${words})`
          const next = new StoredSession({
            ...session,
            tokens: new TokenSet({ ...session.tokens, refreshToken: undefined }, skipValidation),
            relaunchReason: detail
          }, skipValidation)
          yield* options.onRelaunchNeeded(id, next)
          return [Either.left(new SessionError({ reason: "NeedsRelaunch", detail })), next] as const
        }
        const asked = "retryAfter" in error && error.retryAfter !== undefined ? error.retryAfter : Duration.zero
        const cooldown = verdict === "credentials" ? credentialsCooldown : Duration.max(failureCooldown, asked)
        const retryAt = DateTime.addDuration(now, Duration.min(cooldown, LONGEST_COOLDOWN_MILLIS))
        // A rotated refresh token counts although the rest of its answer cannot be used: the one that was sent is spent.
        const rotated = error._tag === "TokenError" ? error.issued?.refreshToken : undefined
        const tokens = rotated === undefined
          ? session.tokens
          : new TokenSet({ ...session.tokens, refreshToken: rotated }, skipValidation)
        return [
          Either.left(error),
          new StoredSession({ ...session, tokens, renewalFailure: { error, retryAt } }, skipValidation)
        ] as const
      })

    /** Tokens that came and that the store has not taken yet. What they replace is spent: they are all there is. */
    const unsaved = new Map<string, { readonly replaced: Redacted.Redacted; readonly tokens: TokenSet }>()

    const withUnsaved = (id: Redacted.Redacted, stored: StoredSession, now: DateTime.Utc): StoredSession => {
      const kept = unsaved.get(Redacted.value(id))
      if (kept === undefined || !sameToken(kept.replaced, stored.tokens.accessToken)) return stored
      return renewed(stored, kept.tokens, now)
    }

    const renewed = (session: StoredSession, tokens: TokenSet, now: DateTime.Utc): StoredSession =>
      new StoredSession({
        ...session,
        tokens,
        expiresAt: later(now, options.idleTimeout),
        renewalFailure: undefined,
        relaunchReason: undefined
      }, skipValidation)

    /** Runs with the session's lock: looks again, and asks the server only if that is still needed, and `mayAsk`. */
    const renewLocked = (
      id: Redacted.Redacted,
      seen: StoredSession,
      stored: StoredSession,
      mayAsk: boolean
    ): Effect.Effect<readonly [Outcome, Option.Option<Entry>], UnknownServerError | SessionError> =>
      Effect.gen(function*() {
        const now = yield* DateTime.now
        const current = withUnsaved(id, stored, now)
        const isChanged = !sameToken(current.tokens.accessToken, seen.tokens.accessToken)
        if (isChanged && !isExpired(current.tokens, now)) return [Either.right(current), Option.some(current)] as const
        const refused = refusal(current, now)
        if (Option.isSome(refused)) return [Either.left(refused.value), Option.some(current)] as const
        if (!mayAsk) {
          const detail = "the session changed while it was renewed, and still has no token that is good"
          return yield* new SessionError({ reason: "LockLost", detail })
        }
        const client = yield* servers.client(current.server)
        const refreshed = yield* Effect.either(client.refresh(current.tokens))
        if (Either.isLeft(refreshed)) {
          if (refreshed.left._tag === "IdTokenError") {
            // Somebody else has logged in: neither the session nor what came is anybody's any more.
            yield* options.onEnded(id, current)
            const { tokens } = refreshed.left
            if (tokens !== undefined) yield* revoke(servers, current.server, Redacted.value(tokens))
            return [Either.left(refreshed.left), Option.none()] as const
          }
          const [outcome, next] = yield* failed(id, current, refreshed.left)
          return [outcome, Option.some(next)] as const
        }
        unsaved.set(Redacted.value(id), { replaced: stored.tokens.accessToken, tokens: refreshed.right })
        const next = renewed(current, refreshed.right, yield* DateTime.now)
        return [Either.right(next), Option.some(next)] as const
      })

    /** The session ended meanwhile, so the server is told of tokens that nobody else knows. */
    const discard = (id: Redacted.Redacted, { server }: StoredSession): Effect.Effect<void> => {
      const kept = unsaved.get(Redacted.value(id))
      unsaved.delete(Redacted.value(id))
      return kept === undefined ? Effect.void : revoke(servers, server, kept.tokens)
    }

    const renew = (id: Redacted.Redacted, seen: StoredSession) =>
      Effect.gen(function*() {
        const look = (mayAsk: boolean) =>
          store.modify(
            options.keyOf(id),
            (current) => Effect.flatMap(asSession(current), (session) => renewLocked(id, seen, session, mayAsk))
          )
        const outcome = yield* look(true).pipe(
          // The lease had run out and somebody else has written. What came is saved if theirs is not newer; nothing is sent again.
          Effect.catchIf(isSessionError("LockLost"), () => look(false)),
          Effect.tapErrorTag(
            "SessionError",
            (error) => error.reason === "NotFound" ? discard(id, seen) : options.onStoreError(error)
          )
        )
        unsaved.delete(Redacted.value(id))
        const session = yield* outcome
        if (!sameToken(session.tokens.accessToken, seen.tokens.accessToken)) yield* options.onRenewed(id, session)
        return session
      }).pipe(
        span("Sessions.renew", { attributes: { "smart.server": seen.server } })
      )

    return {
      renew: (id, seen) => flights.run(Redacted.value(id), () => renew(id, seen)),
      start: (id, seen) => flights.start(Redacted.value(id), () => renew(id, seen)),
      release: (id, removed) =>
        Effect.map(DateTime.now, (now) => {
          const latest = withUnsaved(id, removed, now)
          unsaved.delete(Redacted.value(id))
          return latest
        }),
      settle: flights.settle
    }
  })
