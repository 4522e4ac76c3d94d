/**
 * The state of the authorization server: grants, codes, tokens, launches, pending authorization requests and used
 * `jti`s.
 *
 * Each operation that must succeed at most once (redeem a code, rotate a refresh token, accept a `jti`) is one
 * synchronous function, so that no other fiber runs between its read and its write.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { Client } from "./client.js"
import type { LaunchContext } from "./launchContext.js"

/** An authorization request that passed all checks. */
export interface ValidRequest {
  readonly client: Client
  readonly redirectUri: string
  /** Whether the request has the redirect URI; without it, the client's only one is used. */
  readonly sendsRedirectUri: boolean
  readonly state: string
  readonly scopes: ReadonlyArray<string>
  readonly challenge: string
  readonly nonce: string | undefined
  readonly launch: LaunchContext | undefined
  /** The FHIR reference of the user that an identity provider has authenticated. */
  readonly user?: string | undefined
  /** The base URL of the identity provider that must authenticate the user. */
  readonly idp?: string | undefined
}

/** The user's approval. Revoking it revokes everything issued for it. */
export interface Grant {
  readonly id: string
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  readonly requestedScopes: ReadonlyArray<string>
  readonly context: LaunchContext
  /** A FHIR reference. */
  readonly user: string
  readonly nonce: string | undefined
  readonly approvedAt: number
  revoked: boolean
}

interface Credential {
  readonly value: string
  /** Undefined for an access token of a backend service. */
  readonly grant: Grant | undefined
  readonly expiresAt: number
  /** Whether it is revoked or has been redeemed. */
  ended: boolean
}

/** An authorization code. */
export interface Code extends Credential {
  readonly grant: Grant
  readonly redirectUri: string
  readonly sendsRedirectUri: boolean
  readonly challenge: string
}

/** A refresh token. */
export interface RefreshToken extends Credential {
  readonly _tag: "RefreshToken"
  readonly grant: Grant
}

/** An access token. */
export interface AccessToken extends Credential {
  readonly _tag: "AccessToken"
  /** Identifies the token where its value must not be shown. */
  readonly id: string
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  /** The extensions that the client asserted in its request, with UDAP. */
  readonly extensions?: unknown
  readonly issuedAt: number
}

/**
 * An app's access: a user's approval with all codes and tokens issued for it, or a backend service's token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Access {
  readonly id: string
  readonly clientId: string
  /** The FHIR reference of the user who approved it; undefined for a backend service. */
  readonly user: string | undefined
  readonly scopes: ReadonlyArray<string>
  readonly context: LaunchContext
  /** In milliseconds since the epoch, like the other times. */
  readonly approvedAt: number
  /** When the newest access token expires; undefined before the code exchange. */
  readonly accessTokenExpiresAt: number | undefined
  /** When the newest refresh token expires; undefined if none was issued. */
  readonly refreshTokenExpiresAt: number | undefined
  /** Whether one of its tokens is valid now, or its code can still be exchanged. */
  readonly active: boolean
  readonly revoked: boolean
}

/** The result of redeeming a code or a refresh token. */
export type Redemption<A> =
  | { readonly _tag: "Redeemed"; readonly value: A }
  | { readonly _tag: "Unknown" | "Expired" | "Reused" }

const withNow = <A>(f: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, f)

// Effect's Random can be seeded; secrets need the platform's generator.
const randomText = (bytes: number) => Encoding.encodeBase64Url(globalThis.crypto.getRandomValues(new Uint8Array(bytes)))

const isActive = ({ ended, expiresAt, grant }: Credential, now: number): boolean =>
  !ended && grant?.revoked !== true && expiresAt > now

/** Redeems a code or a refresh token; redeeming it twice revokes its grant (RFC 6749 §4.1.2, RFC 9700 §4.14). */
const redeem = <A extends Code | RefreshToken>(credential: A | undefined, end: boolean, now: number): Redemption<A> => {
  if (credential === undefined) return { _tag: "Unknown" }
  if (credential.ended) {
    credential.grant.revoked = true
    return { _tag: "Reused" }
  }
  if (!isActive(credential, now)) return { _tag: "Expired" }
  credential.ended = end
  return { _tag: "Redeemed", value: credential }
}

const newestExpiry = (credentials: ReadonlyMap<string, Credential>, grant: Grant): number | undefined => {
  const usable = Array.from(credentials.values()).filter((credential) =>
    credential.grant === grant && !credential.ended
  )
  return usable.length === 0 ? undefined : Math.max(...usable.map(({ expiresAt }) => expiresAt))
}

/** An empty state. */
export const make = (lifetimes: { readonly code: Duration.Duration; readonly refreshToken: Duration.Duration }) => {
  const grants = new Map<string, Grant>()
  const codes = new Map<string, Code>()
  const accessTokens = new Map<string, AccessToken>()
  const refreshTokens = new Map<string, RefreshToken>()
  const launches = new Map<string, LaunchContext>()
  const pending = new Map<string, ValidRequest>()
  const jtis = new Map<string, number>()
  const issued: Array<string> = []

  const newSecret = (kind: string): string => {
    const value = `sandbox_${kind}_${randomText(32)}`
    issued.push(value)
    return value
  }

  const issue = (kind: string, grant: Grant | undefined, lifetime: Duration.Duration, now: number) => ({
    value: newSecret(kind),
    grant,
    expiresAt: now + Duration.toMillis(lifetime),
    ended: false
  })

  const accessOf = (grant: Grant, now: number): Access => {
    const accessTokenExpiresAt = newestExpiry(accessTokens, grant)
    const refreshTokenExpiresAt = newestExpiry(refreshTokens, grant)
    const expiries = [accessTokenExpiresAt, refreshTokenExpiresAt, newestExpiry(codes, grant)]
    const { nonce: _nonce, requestedScopes: _scopes, ...approval } = grant
    return {
      ...approval,
      accessTokenExpiresAt,
      refreshTokenExpiresAt,
      active: !grant.revoked && expiries.some((expiresAt) => expiresAt !== undefined && expiresAt > now)
    }
  }

  return {
    addGrant: (fields: Omit<Grant, "id" | "approvedAt" | "revoked">) =>
      withNow((approvedAt): Grant => {
        const grant = { ...fields, id: randomText(16), approvedAt, revoked: false }
        grants.set(grant.id, grant)
        return grant
      }),
    grants: Effect.sync(() => Array.from(grants.values())),
    /** Revokes a grant or a backend service's token; false if the id is unknown. */
    revokeAccess: (id: string) =>
      Effect.sync(() => {
        const grant = grants.get(id)
        const token = Array.from(accessTokens.values()).find((one) => one.id === id)
        if (grant !== undefined) grant.revoked = true
        if (token !== undefined) token.ended = true
        return grant !== undefined || token !== undefined
      }),
    access: withNow((now): ReadonlyArray<Access> => [
      ...Array.from(grants.values(), (grant) => accessOf(grant, now)),
      ...Array.from(accessTokens.values()).filter(({ grant }) => grant === undefined).map((token): Access => ({
        id: token.id,
        clientId: token.clientId,
        user: undefined,
        scopes: token.scopes,
        context: {},
        approvedAt: token.issuedAt,
        accessTokenExpiresAt: token.expiresAt,
        refreshTokenExpiresAt: undefined,
        active: isActive(token, now),
        revoked: token.ended
      }))
    ]),
    addCode: (fields: Pick<Code, "grant" | "redirectUri" | "sendsRedirectUri" | "challenge">) =>
      withNow((now): Code => {
        const code = { ...issue("code", fields.grant, lifetimes.code, now), ...fields }
        codes.set(code.value, code)
        return code
      }),
    redeemCode: (value: string, clientId: string) =>
      withNow((now): Redemption<Code> => {
        const code = codes.get(value)
        return redeem(code?.grant.clientId === clientId ? code : undefined, true, now)
      }),
    addAccessToken: (
      token: Pick<AccessToken, "clientId" | "scopes" | "grant" | "extensions">,
      lifetime: Duration.Duration
    ) =>
      withNow((now): AccessToken => {
        const fields = { ...token, ...issue("access", token.grant, lifetime, now), id: randomText(16), issuedAt: now }
        const accessToken: AccessToken = { _tag: "AccessToken", ...fields }
        accessTokens.set(accessToken.value, accessToken)
        return accessToken
      }),
    addRefreshToken: (grant: Grant) =>
      withNow((now): RefreshToken => {
        const fields = issue("refresh", grant, lifetimes.refreshToken, now)
        const refreshToken: RefreshToken = { _tag: "RefreshToken", ...fields, grant }
        refreshTokens.set(refreshToken.value, refreshToken)
        return refreshToken
      }),
    activeAccessToken: (value: string) =>
      withNow((now) => {
        const token = accessTokens.get(value)
        return token !== undefined && isActive(token, now) ? token : undefined
      }),
    activeRefreshToken: (value: string) =>
      withNow((now) => {
        const token = refreshTokens.get(value)
        return token !== undefined && isActive(token, now) ? token : undefined
      }),
    redeemRefreshToken: (value: string, rotate: boolean) =>
      withNow((now) => redeem(refreshTokens.get(value), rotate, now)),
    findToken: (value: string) => Effect.sync(() => accessTokens.get(value) ?? refreshTokens.get(value)),
    /** Revokes an access token, or the grant of a refresh token or a code; false if the value was never issued. */
    revoke: (value: string) =>
      Effect.sync(() => {
        const accessToken = accessTokens.get(value)
        const grant = (refreshTokens.get(value) ?? codes.get(value))?.grant
        if (accessToken !== undefined) accessToken.ended = true
        if (grant !== undefined) grant.revoked = true
        return accessToken !== undefined || grant !== undefined
      }),
    addLaunch: (context: LaunchContext) =>
      Effect.sync(() => {
        // Reserved characters on purpose: a client that does not encode `launch`, or normalises it, loses it.
        const launch = `sandbox/launch-${randomText(12)}+&=%2F`
        launches.set(launch, context)
        return launch
      }),
    findLaunch: (launch: string) => Effect.sync(() => launches.get(launch)),
    addPending: (request: ValidRequest) =>
      Effect.sync(() => {
        const ticket = randomText(24)
        pending.set(ticket, request)
        return ticket
      }),
    findPending: (ticket: string) => Effect.sync(() => pending.get(ticket)),
    removePending: (ticket: string) => Effect.sync(() => pending.delete(ticket)),
    /** False for a `jti` that this issuer used in an assertion that has not expired. */
    acceptJti: (issuer: string, jti: string, expiresAt: number) =>
      withNow((now) => {
        for (const [used, expiry] of jtis) if (expiry <= now) jtis.delete(used)
        const key = JSON.stringify([issuer, jti])
        if (jtis.has(key)) return false
        jtis.set(key, expiresAt)
        return true
      }),
    recordIssued: (value: string) => Effect.sync(() => void issued.push(value)),
    issued: Effect.sync((): ReadonlyArray<string> => Array.from(issued))
  }
}
