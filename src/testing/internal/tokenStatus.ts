/**
 * Asking about tokens and ending them: introspection (RFC 7662, SMART App Launch 2.2 "Token Introspection"), revocation (RFC 7009) and the
 * OpenID Connect userinfo endpoint.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as ClientAuthn from "./clientAuthn.js"
import { toMembers } from "./launchContext.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import { invalidClient, OAuthError } from "./oAuthError.js"
import type { Grant } from "./state.js"
import * as Token from "./token.js"
import type { World } from "./world.js"

const invalidToken = (description: string) =>
  new OAuthError({
    error: "invalid_token",
    description,
    status: 401,
    challenge: "Bearer realm=\"sandbox\", error=\"invalid_token\""
  })

const tokenParam = (params: ReadonlyMap<string, string>): Effect.Effect<string, OAuthError> => {
  const token = params.get("token")
  return token === undefined
    ? new OAuthError({ error: "invalid_request", description: "token is required" })
    : Effect.succeed(token)
}

const identity = (world: World, grant: Grant, scopes: ReadonlyArray<string>): Readonly<Record<string, unknown>> =>
  scopes.includes("openid")
    ? {
      iss: world.issuer,
      sub: Token.subjectOf(grant.user),
      ...(scopes.includes("fhirUser") ? { fhirUser: `${world.fhirBaseUrl.replace(/\/$/, "")}/${grant.user}` } : {})
    }
    : {}

/** Introspection, for an authenticated client or for the bearer of a good token; never for a public client's bare `client_id`. */
export const introspect = (world: World, request: SandboxRequest): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Message.formParams(request)
    if (/^Bearer /i.test(request.headers["authorization"] ?? "")) {
      const presented = yield* world.state.activeAccessToken(Message.bearer(request) ?? "")
      if (presented === undefined) return yield* invalidToken("the bearer token is not good")
    } else {
      const client = yield* ClientAuthn.authenticate(world, request, params, world.endpoints.introspection)
      if (client.authentication.method === "none") {
        return yield* invalidClient("a public client introspects with a bearer token")
      }
    }
    const value = yield* tokenParam(params)
    const access = yield* world.state.activeAccessToken(value)
    const refresh = yield* world.state.activeRefreshToken(value)
    const token = access ?? refresh
    if (token === undefined) return Message.json({ active: false }, { headers: Message.noStore })
    const scopes = token._tag === "AccessToken" ? token.scopes : token.grant.scopes
    return Message.json({
      active: true,
      scope: scopes.join(" "),
      client_id: token._tag === "AccessToken" ? token.clientId : token.grant.clientId,
      exp: Math.floor(token.expiresAt / 1000),
      ...(token._tag === "AccessToken" ? { token_type: "Bearer", iat: Math.floor(token.issuedAt / 1000) } : {}),
      ...(token.grant === undefined
        ? {}
        : { ...identity(world, token.grant, scopes), ...toMembers(token.grant.context) })
    }, { headers: Message.noStore })
  })

/** Revocation: an access token ends alone, a refresh token with its whole family; an unknown token is no error. */
export const revoke = (world: World, request: SandboxRequest): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Message.formParams(request)
    const client = yield* ClientAuthn.authenticate(world, request, params, world.endpoints.revocation)
    const value = yield* tokenParam(params)
    const token = yield* world.state.findToken(value)
    if (token !== undefined) {
      const owner = token._tag === "AccessToken" ? token.clientId : token.grant.clientId
      if (owner !== client.clientId) {
        return yield* new OAuthError({
          error: "invalid_request",
          description: "the token was not issued to this client"
        })
      }
      yield* world.state.revoke(value)
    }
    return Message.empty(200, Message.noStore)
  })

/** Userinfo: who the bearer of a token with `openid` is. */
export const userinfo = (world: World, request: SandboxRequest): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const token = yield* world.state.activeAccessToken(Message.bearer(request) ?? "")
    if (token === undefined) return yield* invalidToken("a good bearer token is required")
    if (token.grant === undefined || !token.scopes.includes("openid")) {
      return yield* new OAuthError({
        error: "insufficient_scope",
        description: "openid was not granted",
        status: 403,
        challenge: "Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"openid\""
      })
    }
    const { iss: _, ...claims } = identity(world, token.grant, token.scopes)
    return Message.json(claims, { headers: Message.noStore })
  })
