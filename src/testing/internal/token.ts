/**
 * The token endpoint (SMART App Launch 2.2, "Obtain access token", "Refresh access token", "Backend Services"; RFC 6749
 * §4.1.3, §4.4, §6).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { type Client, mayUse } from "./client.js"
import * as ClientAuthn from "./clientAuthn.js"
import * as Http from "./http.js"
import { toMembers } from "./launchContext.js"
import { invalidClient, invalidRequest, OAuthError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"
import * as Scope from "./scope.js"
import type { AccessToken, Grant, Redemption } from "./state.js"

const invalidGrant = (description: string) => new OAuthError({ error: "invalid_grant", description })
const invalidScope = (description: string) => new OAuthError({ error: "invalid_scope", description })

const required = (params: ReadonlyMap<string, string>, name: string): Effect.Effect<string, OAuthError> => {
  const value = params.get(name)
  return value === undefined ? invalidRequest(`${name} is required`) : Effect.succeed(value)
}

/** The S256 code challenge of a verifier (RFC 7636 §4.2). */
export const challengeOf = (verifier: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
    (digest) => Encoding.encodeBase64Url(new Uint8Array(digest))
  )

/** The `sub` of a user, given as a FHIR reference; it is stable and differs from the FHIR id. */
export const subjectOf = (user: string): string => `sandbox-user.${user.replace("/", ".").toLowerCase()}`

/** The claims about the user of a grant. */
export const userClaims = (
  { fhirRoot, issuer }: Sandbox,
  { user }: Grant,
  scopes: ReadonlyArray<string>
): Readonly<Record<string, string>> => ({
  iss: issuer,
  sub: subjectOf(user),
  ...(scopes.includes("fhirUser") ? { fhirUser: `${fhirRoot}/${user}` } : {})
})

const idToken = (sandbox: Sandbox, grant: Grant): Effect.Effect<string> =>
  Effect.gen(function*() {
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const signed = yield* sandbox.idTokens.sign({
      ...userClaims(sandbox, grant, grant.scopes),
      aud: grant.clientId,
      iat: now,
      exp: now + Math.floor(Duration.toSeconds(sandbox.accessTokenLifetime)),
      ...(grant.nonce === undefined ? {} : { nonce: grant.nonce })
    })
    yield* sandbox.state.recordIssued(signed)
    return signed
  })

/** An authenticated request to the token endpoint. */
export interface TokenRequest {
  readonly sandbox: Sandbox
  readonly client: Client
  readonly params: ReadonlyMap<string, string>
  /** For UDAP: the `extensions` of the authentication token. The response then repeats no scope that was requested. */
  readonly extensions?: unknown
  readonly isUdap?: boolean | undefined
}

const respond = (
  { client: { clientId }, extensions, isUdap, sandbox }: TokenRequest,
  token: Pick<AccessToken, "scopes" | "grant">,
  requested: ReadonlyArray<string>,
  lifetime: Duration.Duration,
  members: Readonly<Record<string, unknown>>
): Effect.Effect<Http.SandboxResponse> =>
  Effect.map(sandbox.state.addAccessToken({ clientId, extensions, ...token }, lifetime), ({ value }) =>
    Http.json({
      access_token: value,
      token_type: "Bearer",
      expires_in: Math.floor(Duration.toSeconds(lifetime)),
      ...(isUdap === true && token.scopes.join(" ") === requested.join(" ") ? {} : { scope: token.scopes.join(" ") }),
      ...members
    }, { headers: Http.noStore }))

const respondWithGrant = (
  request: TokenRequest,
  grant: Grant,
  options: {
    readonly scopes: ReadonlyArray<string>
    readonly requested: ReadonlyArray<string>
    readonly refreshToken: boolean
    readonly idToken: boolean
  }
): Effect.Effect<Http.SandboxResponse> =>
  Effect.gen(function*() {
    const { sandbox } = request
    const { requested, scopes } = options
    return yield* respond(request, { scopes, grant }, requested, sandbox.accessTokenLifetime, {
      ...(options.refreshToken ? { refresh_token: (yield* sandbox.state.addRefreshToken(grant)).value } : {}),
      ...(options.idToken ? { id_token: yield* idToken(sandbox, grant) } : {}),
      ...toMembers(grant.context)
    })
  })

const redeemed = <A>(redemption: Redemption<A>, kind: string): Effect.Effect<A, OAuthError> => {
  switch (redemption._tag) {
    case "Redeemed":
      return Effect.succeed(redemption.value)
    case "Reused":
      return invalidGrant(`the ${kind} has been used; all tokens of its grant are revoked`)
    default:
      return invalidGrant(`the ${kind} is unknown, revoked or has expired`)
  }
}

const exchangeCode = (request: TokenRequest): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const { client, params, sandbox } = request
    const value = yield* required(params, "code")
    const redirectUri = request.isUdap === true
      ? params.get("redirect_uri")
      : yield* required(params, "redirect_uri")
    const verifier = yield* required(params, "code_verifier")
    if (!/^[A-Za-z0-9\-._~]{43,128}$/.test(verifier)) {
      return yield* invalidRequest("code_verifier must be 43 to 128 unreserved characters")
    }
    // A wrong verifier or redirect URI uses the code up; the attempt of another client does not.
    const code = yield* redeemed(yield* sandbox.state.redeemCode(value, client.clientId), "code")
    if (redirectUri !== (code.sendsRedirectUri ? code.redirectUri : undefined)) {
      return yield* invalidGrant("redirect_uri differs from that of the authorization request")
    }
    if ((yield* challengeOf(verifier)) !== code.challenge) {
      return yield* invalidGrant("code_verifier does not match the code_challenge")
    }
    const { scopes } = code.grant
    return yield* respondWithGrant(request, code.grant, {
      scopes,
      requested: code.grant.requestedScopes,
      refreshToken: mayUse(client, "refresh_token") &&
        (scopes.includes("offline_access") || scopes.includes("online_access")),
      idToken: scopes.includes("openid")
    })
  })

const refresh = (request: TokenRequest): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const { client, params, sandbox } = request
    const value = yield* required(params, "refresh_token")
    const token = yield* sandbox.state.findToken(value)
    if (token?._tag !== "RefreshToken" || token.grant.clientId !== client.clientId) {
      return yield* invalidGrant("the refresh token is unknown")
    }
    const scope = params.get("scope")
    const scopes = scope === undefined ? token.grant.scopes : Scope.splitScopes(scope)
    if (scopes.some((wanted) => !Scope.covers(token.grant.scopes, wanted))) {
      return yield* invalidScope("a refresh cannot request more scopes than were granted")
    }
    const redemption = yield* sandbox.state.redeemRefreshToken(value, sandbox.rotateRefreshTokens)
    const { grant } = yield* redeemed(redemption, "refresh token")
    return yield* respondWithGrant(request, grant, {
      scopes,
      requested: scopes,
      refreshToken: sandbox.rotateRefreshTokens,
      idToken: false
    })
  })

const clientCredentials = (request: TokenRequest): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const { client, params, sandbox } = request
    const requested = Scope.splitScopes(params.get("scope") ?? "")
    const problem = Scope.findProblem(requested)
    if (problem !== undefined) return yield* invalidScope(problem)
    const scopes = requested.filter((scope) =>
      Scope.isGrantableToSystem(scope) && (client.scopes === undefined || Scope.covers(client.scopes, scope))
    )
    if (scopes.length === 0) {
      return yield* invalidScope("the client can be granted none of these scopes as a backend service")
    }
    const lifetime = Duration.min(sandbox.accessTokenLifetime, "5 minutes")
    return yield* respond(request, { scopes, grant: undefined }, requested, lifetime, { token_type: "bearer" })
  })

/** Responds to an authenticated request by its grant type. */
export const issueTokens = (request: TokenRequest): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const { client, params } = request
    const grantType = yield* required(params, "grant_type")
    if (grantType !== "authorization_code" && grantType !== "refresh_token" && grantType !== "client_credentials") {
      return yield* new OAuthError({
        error: "unsupported_grant_type",
        description: "the sandbox does not support this grant type"
      })
    }
    if (!mayUse(client, grantType) || grantType === "client_credentials" && client.authentication.method === "none") {
      return yield* new OAuthError({ error: "unauthorized_client", description: `the client may not use ${grantType}` })
    }
    switch (grantType) {
      case "authorization_code":
        return yield* exchangeCode(request)
      case "refresh_token":
        return yield* refresh(request)
      case "client_credentials":
        return yield* clientCredentials(request)
    }
  })

/** Responds to a POST to the token endpoint. */
export const handle = (
  sandbox: Sandbox,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Http.formParams(request)
    const client = yield* ClientAuthn.authenticate(sandbox, request, params, sandbox.endpoints.token)
    if (client.authentication.method === "udap") {
      return yield* invalidClient("the client is registered for the UDAP token endpoint")
    }
    return yield* issueTokens({ sandbox, client, params })
  })
