/**
 * Introspection (RFC 7662, SMART App Launch 2.2 "Token Introspection"), revocation (RFC 7009) and the OpenID Connect
 * userinfo endpoint.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ClientAuthn from "./clientAuthn.js"
import * as Http from "./http.js"
import { toMembers } from "./launchContext.js"
import { invalidClient, invalidRequest, OAuthError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"
import * as Token from "./token.js"

const invalidToken = (description: string) =>
  new OAuthError({
    error: "invalid_token",
    description,
    status: 401,
    challenge: "Bearer realm=\"sandbox\", error=\"invalid_token\""
  })

const tokenParam = (params: ReadonlyMap<string, string>): Effect.Effect<string, OAuthError> => {
  const token = params.get("token")
  return token === undefined ? invalidRequest("token is required") : Effect.succeed(token)
}

/**
 * Introspection, for an authenticated client or a request with a valid bearer token; not for a public client's
 * `client_id`.
 */
export const introspect = (
  sandbox: Sandbox,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Http.formParams(request)
    if (/^Bearer /i.test(request.headers["authorization"] ?? "")) {
      const presented = yield* sandbox.state.activeAccessToken(Http.bearer(request) ?? "")
      if (presented === undefined) return yield* invalidToken("the bearer token is invalid or has expired")
    } else {
      const client = yield* ClientAuthn.authenticate(sandbox, request, params, sandbox.endpoints.introspection)
      if (client.authentication.method === "none") {
        return yield* invalidClient("a public client needs a bearer token for introspection")
      }
    }
    const value = yield* tokenParam(params)
    const access = yield* sandbox.state.activeAccessToken(value)
    const refresh = yield* sandbox.state.activeRefreshToken(value)
    const token = access ?? refresh
    if (token === undefined) return Http.json({ active: false }, { headers: Http.noStore })
    const scopes = token._tag === "AccessToken" ? token.scopes : token.grant.scopes
    return Http.json({
      active: true,
      scope: scopes.join(" "),
      client_id: token._tag === "AccessToken" ? token.clientId : token.grant.clientId,
      exp: Math.floor(token.expiresAt / 1000),
      ...(token._tag === "AccessToken" ? { token_type: "Bearer", iat: Math.floor(token.issuedAt / 1000) } : {}),
      ...(token.grant === undefined
        ? {}
        : {
          ...(scopes.includes("openid") ? Token.userClaims(sandbox, token.grant, scopes) : {}),
          ...toMembers(token.grant.context)
        })
    }, { headers: Http.noStore })
  })

/** Revokes an access token, or the grant of a refresh token. An unknown token succeeds (RFC 7009 §2.2). */
export const revoke = (
  sandbox: Sandbox,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Http.formParams(request)
    const client = yield* ClientAuthn.authenticate(sandbox, request, params, sandbox.endpoints.revocation)
    const value = yield* tokenParam(params)
    const token = yield* sandbox.state.findToken(value)
    if (token !== undefined) {
      const owner = token._tag === "AccessToken" ? token.clientId : token.grant.clientId
      if (owner !== client.clientId) {
        return yield* invalidRequest("the token was not issued to this client")
      }
      yield* sandbox.state.revoke(value)
    }
    return Http.empty(200, Http.noStore)
  })

/** Userinfo: the claims about the user of a token with `openid`. */
export const userinfo = (
  sandbox: Sandbox,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const token = yield* sandbox.state.activeAccessToken(Http.bearer(request) ?? "")
    if (token === undefined) return yield* invalidToken("a valid bearer token is required")
    if (token.grant === undefined || !token.scopes.includes("openid")) {
      return yield* new OAuthError({
        error: "insufficient_scope",
        description: "openid was not granted",
        status: 403,
        challenge: "Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"openid\""
      })
    }
    const { iss: _, ...claims } = Token.userClaims(sandbox, token.grant, token.scopes)
    return Http.json(claims, { headers: Http.noStore })
  })
