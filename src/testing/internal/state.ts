/**
 * What the sandbox remembers: grants, codes, tokens, launches, consent pages that wait, and the `jti`s it has seen.
 *
 * Every step that must happen at most once (redeem a code, rotate a refresh token, accept a `jti`) is one synchronous function, so that no
 * other fiber can come between reading and writing.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { LaunchContext } from "./launchContext.js"

/** What a person approved: everything issued for it lives and dies with it. */
export interface Grant {
  readonly id: string
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  readonly context: LaunchContext
  /** A FHIR reference. */
  readonly user: string
  readonly nonce: string | undefined
  readonly approvedAt: number
  revoked: boolean
}

/** An authorization code. */
export interface Code {
  readonly value: string
  readonly grant: Grant
  readonly redirectUri: string
  readonly challenge: string
  readonly expiresAt: number
  used: boolean
}

/** An access token; a backend service's has no grant. */
export interface AccessToken {
  readonly _tag: "AccessToken"
  /** Names the token where its value must not be shown. */
  readonly id: string
  readonly value: string
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  readonly grant: Grant | undefined
  readonly issuedAt: number
  readonly expiresAt: number
  revoked: boolean
}

/**
 * What an app may do and for whom: all that came of one approval, or a backend service's token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Access {
  readonly id: string
  readonly clientId: string
  /** The reference of who approved it; undefined for a backend service. */
  readonly user: string | undefined
  readonly scopes: ReadonlyArray<string>
  readonly context: LaunchContext
  /** Milliseconds since the epoch, as are the others. */
  readonly since: number
  /** When the newest access token expires; undefined before the code has been exchanged. */
  readonly accessTokenUntil: number | undefined
  /** When the newest refresh token expires; undefined without one. */
  readonly refreshTokenUntil: number | undefined
  /** Whether a token of it is good at this moment, or its code could still bring one. */
  readonly active: boolean
  readonly revoked: boolean
}

/** A refresh token. */
export interface RefreshToken {
  readonly _tag: "RefreshToken"
  readonly value: string
  readonly grant: Grant
  readonly expiresAt: number
  rotated: boolean
}

/** The outcome of presenting something that may be used once. */
export type Single<A> =
  | { readonly _tag: "Taken"; readonly value: A }
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Expired" }
  | { readonly _tag: "Reused" }

/** The sandbox's memory. */
export interface State<Pending> {
  readonly secret: (kind: string) => Effect.Effect<string>
  readonly addGrant: (grant: Omit<Grant, "id" | "approvedAt" | "revoked">) => Effect.Effect<Grant>
  readonly grants: Effect.Effect<ReadonlyArray<Grant>>
  /** Ends a grant with all that was issued for it, or a backend service's token; false if there is none with this id. */
  readonly revokeAccess: (id: string) => Effect.Effect<boolean>
  readonly access: Effect.Effect<ReadonlyArray<Access>>
  readonly addCode: (code: Pick<Code, "grant" | "redirectUri" | "challenge">) => Effect.Effect<Code>
  /** Uses a code up if `accept` says it fits; a second presentation revokes the grant. */
  readonly redeemCode: (value: string, accept: (code: Code) => boolean) => Effect.Effect<Single<Code>>
  readonly findCode: (value: string) => Effect.Effect<Code | undefined>
  readonly addAccessToken: (
    token: Pick<AccessToken, "clientId" | "scopes" | "grant">,
    lifetime: Duration.Duration
  ) => Effect.Effect<AccessToken>
  /** An access token that is good at this moment. */
  readonly activeAccessToken: (value: string) => Effect.Effect<AccessToken | undefined>
  readonly addRefreshToken: (grant: Grant) => Effect.Effect<RefreshToken>
  readonly activeRefreshToken: (value: string) => Effect.Effect<RefreshToken | undefined>
  /** Uses a refresh token, up if `rotate`; presenting a used one revokes the grant. */
  readonly useRefreshToken: (value: string, rotate: boolean) => Effect.Effect<Single<RefreshToken>>
  readonly findToken: (value: string) => Effect.Effect<AccessToken | RefreshToken | undefined>
  /** Ends a token, a refresh token's whole family, or a code; false if there is no such thing. */
  readonly revoke: (value: string) => Effect.Effect<boolean>
  readonly addLaunch: (context: LaunchContext) => Effect.Effect<string>
  readonly findLaunch: (launch: string) => Effect.Effect<LaunchContext | undefined>
  readonly addPending: (pending: Pending) => Effect.Effect<string>
  readonly findPending: (ticket: string) => Effect.Effect<Pending | undefined>
  readonly takePending: (ticket: string) => Effect.Effect<Pending | undefined>
  /** True the first time a `jti` is seen from an issuer while its assertion could still be good. */
  readonly acceptJti: (issuer: string, jti: string, expiresAt: number) => Effect.Effect<boolean>
  readonly remember: (issued: string) => Effect.Effect<void>
  readonly issued: Effect.Effect<ReadonlyArray<string>>
}

/** The lifetimes of what is issued. */
export interface Lifetimes {
  readonly code: Duration.Duration
  readonly refreshToken: Duration.Duration
}

/** An empty memory. */
export const make = <Pending>(lifetimes: Lifetimes): State<Pending> => {
  const grants = new Map<string, Grant>()
  const codes = new Map<string, Code>()
  const accessTokens = new Map<string, AccessToken>()
  const refreshTokens = new Map<string, RefreshToken>()
  const launches = new Map<string, LaunchContext>()
  const pending = new Map<string, Pending>()
  const jtis = new Map<string, number>()
  const issued: Array<string> = []

  // Effect's Random is seeded and made to be repeatable; secrets come from the platform.
  const randomText = (bytes: number) =>
    Encoding.encodeBase64Url(globalThis.crypto.getRandomValues(new Uint8Array(bytes)))

  const mint = (kind: string): string => {
    const value = `sandbox_${kind}_${randomText(32)}`
    issued.push(value)
    return value
  }

  const withNow = <A>(f: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, f)

  const revokeGrant = (grant: Grant) => {
    grant.revoked = true
  }

  const newest = (until: ReadonlyArray<number>): number | undefined =>
    until.length === 0 ? undefined : Math.max(...until)

  const accessOf = (grant: Grant, now: number): Access => {
    const of = <A extends { readonly grant: Grant | undefined }>(all: ReadonlyMap<string, A>) =>
      Array.from(all.values()).filter((one) => one.grant === grant)
    const accessTokenUntil = newest(
      of(accessTokens).filter(({ revoked }) => !revoked).map(({ expiresAt }) => expiresAt)
    )
    const refreshTokenUntil = newest(
      of(refreshTokens).filter(({ rotated }) => !rotated).map(({ expiresAt }) => expiresAt)
    )
    const codeUntil = newest(of(codes).filter(({ used }) => !used).map(({ expiresAt }) => expiresAt))
    return {
      id: grant.id,
      clientId: grant.clientId,
      user: grant.user,
      scopes: grant.scopes,
      context: grant.context,
      since: grant.approvedAt,
      accessTokenUntil,
      refreshTokenUntil,
      active: !grant.revoked &&
        [accessTokenUntil, refreshTokenUntil, codeUntil].some((until) => until !== undefined && until > now),
      revoked: grant.revoked
    }
  }

  return {
    secret: (kind) => Effect.sync(() => mint(kind)),
    addGrant: (fields) =>
      withNow((approvedAt) => {
        const grant: Grant = { ...fields, id: randomText(16), approvedAt, revoked: false }
        grants.set(grant.id, grant)
        return grant
      }),
    grants: Effect.sync(() => Array.from(grants.values())),
    revokeAccess: (id) =>
      Effect.sync(() => {
        const found = grants.get(id) ?? Array.from(accessTokens.values()).find((token) => token.id === id)
        if (found !== undefined) found.revoked = true
        return found !== undefined
      }),
    access: withNow((now) => [
      ...Array.from(grants.values(), (grant) => accessOf(grant, now)),
      ...Array.from(accessTokens.values()).filter(({ grant }) => grant === undefined).map((token): Access => ({
        id: token.id,
        clientId: token.clientId,
        user: undefined,
        scopes: token.scopes,
        context: {},
        since: token.issuedAt,
        accessTokenUntil: token.expiresAt,
        refreshTokenUntil: undefined,
        active: !token.revoked && token.expiresAt > now,
        revoked: token.revoked
      }))
    ]),
    addCode: (fields) =>
      withNow((now) => {
        const code: Code = {
          ...fields,
          value: mint("code"),
          expiresAt: now + Duration.toMillis(lifetimes.code),
          used: false
        }
        codes.set(code.value, code)
        return code
      }),
    redeemCode: (value, accept) =>
      withNow((now): Single<Code> => {
        const code = codes.get(value)
        if (code === undefined || !accept(code)) return { _tag: "Unknown" }
        if (code.used) {
          revokeGrant(code.grant)
          return { _tag: "Reused" }
        }
        code.used = true
        return code.expiresAt <= now || code.grant.revoked ? { _tag: "Expired" } : { _tag: "Taken", value: code }
      }),
    findCode: (value) => Effect.sync(() => codes.get(value)),
    addAccessToken: (fields, lifetime) =>
      withNow((now) => {
        const token: AccessToken = {
          _tag: "AccessToken",
          ...fields,
          id: randomText(16),
          value: mint("access"),
          issuedAt: now,
          expiresAt: now + Duration.toMillis(lifetime),
          revoked: false
        }
        accessTokens.set(token.value, token)
        return token
      }),
    activeAccessToken: (value) =>
      withNow((now) => {
        const token = accessTokens.get(value)
        return token === undefined || token.revoked || token.grant?.revoked === true || token.expiresAt <= now
          ? undefined
          : token
      }),
    addRefreshToken: (grant) =>
      withNow((now) => {
        const token: RefreshToken = {
          _tag: "RefreshToken",
          value: mint("refresh"),
          grant,
          expiresAt: now + Duration.toMillis(lifetimes.refreshToken),
          rotated: false
        }
        refreshTokens.set(token.value, token)
        return token
      }),
    activeRefreshToken: (value) =>
      withNow((now) => {
        const token = refreshTokens.get(value)
        return token === undefined || token.rotated || token.grant.revoked || token.expiresAt <= now ? undefined : token
      }),
    useRefreshToken: (value, rotate) =>
      withNow((now): Single<RefreshToken> => {
        const token = refreshTokens.get(value)
        if (token === undefined) return { _tag: "Unknown" }
        if (token.rotated) {
          revokeGrant(token.grant)
          return { _tag: "Reused" }
        }
        if (token.expiresAt <= now || token.grant.revoked) return { _tag: "Expired" }
        token.rotated = rotate
        return { _tag: "Taken", value: token }
      }),
    findToken: (value) => Effect.sync(() => accessTokens.get(value) ?? refreshTokens.get(value)),
    revoke: (value) =>
      Effect.sync(() => {
        const token = accessTokens.get(value)
        if (token !== undefined) {
          token.revoked = true
          return true
        }
        const grant = refreshTokens.get(value)?.grant ?? codes.get(value)?.grant
        if (grant !== undefined) revokeGrant(grant)
        return grant !== undefined
      }),
    addLaunch: (context) =>
      Effect.sync(() => {
        // Reserved characters on purpose: a client that does not encode `launch`, or tidies it up, loses it.
        const launch = `sandbox/launch-${randomText(12)}+&=%2F`
        launches.set(launch, context)
        return launch
      }),
    findLaunch: (launch) => Effect.sync(() => launches.get(launch)),
    addPending: (value) =>
      Effect.sync(() => {
        const ticket = randomText(24)
        pending.set(ticket, value)
        return ticket
      }),
    findPending: (ticket) => Effect.sync(() => pending.get(ticket)),
    takePending: (ticket) =>
      Effect.sync(() => {
        const value = pending.get(ticket)
        pending.delete(ticket)
        return value
      }),
    acceptJti: (issuer, jti, expiresAt) =>
      withNow((now) => {
        for (const [seen, until] of jtis) if (until <= now) jtis.delete(seen)
        const key = JSON.stringify([issuer, jti])
        if (jtis.has(key)) return false
        jtis.set(key, expiresAt)
        return true
      }),
    remember: (value) => Effect.sync(() => void issued.push(value)),
    issued: Effect.sync(() => Array.from(issued))
  }
}
