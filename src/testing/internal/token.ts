/**
 * The token endpoint (SMART App Launch 2.2, "Obtain access token", "Refresh access token", "Backend Services"; RFC 6749 §4.1.3, §4.4, §6).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { Client } from "./client.js"
import { mayUse } from "./client.js"
import * as ClientAuthn from "./clientAuthn.js"
import { toMembers } from "./launchContext.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import { OAuthError } from "./oAuthError.js"
import * as Scope from "./scope.js"
import type { Grant } from "./state.js"
import type { World } from "./world.js"

const invalidRequest = (description: string) => new OAuthError({ error: "invalid_request", description })
const invalidGrant = (description: string) => new OAuthError({ error: "invalid_grant", description })
const invalidScope = (description: string) => new OAuthError({ error: "invalid_scope", description })

const required = (params: ReadonlyMap<string, string>, name: string): Effect.Effect<string, OAuthError> => {
  const value = params.get(name)
  return value === undefined ? invalidRequest(`${name} is required`) : Effect.succeed(value)
}

const matchesChallenge = (verifier: string, challenge: string): Effect.Effect<boolean> =>
  Effect.map(
    Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
    (digest) => Encoding.encodeBase64Url(new Uint8Array(digest)) === challenge
  )

const answer = (members: Readonly<Record<string, unknown>>): Reply =>
  Message.json(members, { headers: Message.noStore })

/** The subject of a person: a stable name that is no FHIR id. */
export const subjectOf = (user: string): string => `sandbox-user.${user.replace("/", ".").toLowerCase()}`

const idToken = (world: World, grant: Grant): Effect.Effect<string> =>
  Effect.gen(function*() {
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const signed = yield* world.idTokens.sign({
      iss: world.issuer,
      sub: subjectOf(grant.user),
      aud: grant.clientId,
      iat: now,
      exp: now + Math.floor(Duration.toSeconds(world.accessTokenLifetime)),
      ...(grant.nonce === undefined ? {} : { nonce: grant.nonce }),
      ...(grant.scopes.includes("fhirUser")
        ? { fhirUser: `${world.fhirBaseUrl.replace(/\/$/, "")}/${grant.user}` }
        : {})
    })
    yield* world.state.remember(signed)
    return signed
  })

const issue = (
  world: World,
  client: Client,
  grant: Grant,
  options: { readonly scopes: ReadonlyArray<string>; readonly refreshToken: boolean; readonly idToken: boolean }
): Effect.Effect<Reply> =>
  Effect.gen(function*() {
    const access = yield* world.state.addAccessToken(
      { clientId: client.clientId, scopes: options.scopes, grant },
      world.accessTokenLifetime
    )
    const refresh = options.refreshToken ? yield* world.state.addRefreshToken(grant) : undefined
    return answer({
      access_token: access.value,
      token_type: "Bearer",
      expires_in: Math.floor(Duration.toSeconds(world.accessTokenLifetime)),
      scope: options.scopes.join(" "),
      ...(refresh === undefined ? {} : { refresh_token: refresh.value }),
      ...(options.idToken ? { id_token: yield* idToken(world, grant) } : {}),
      ...toMembers(grant.context)
    })
  })

const exchangeCode = (
  world: World,
  client: Client,
  params: ReadonlyMap<string, string>
): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const value = yield* required(params, "code")
    const redirectUri = yield* required(params, "redirect_uri")
    const verifier = yield* required(params, "code_verifier")
    if (!/^[A-Za-z0-9\-._~]{43,128}$/.test(verifier)) {
      return yield* invalidRequest("code_verifier must be 43 to 128 unreserved characters")
    }
    // A wrong verifier or redirect URI uses the code up as well; another client's attempt does not.
    const redeemed = yield* world.state.redeemCode(value, (code) => code.grant.clientId === client.clientId)
    if (redeemed._tag !== "Taken") {
      return yield* invalidGrant(
        redeemed._tag === "Reused"
          ? "the code has been used; what was issued for it is revoked"
          : "no such code, or no longer"
      )
    }
    const code = redeemed.value
    if (code.redirectUri !== redirectUri) {
      return yield* invalidGrant("redirect_uri is not that of the authorization request")
    }
    if (!(yield* matchesChallenge(verifier, code.challenge))) {
      return yield* invalidGrant("code_verifier does not belong to the code_challenge")
    }
    const { scopes } = code.grant
    return yield* issue(world, client, code.grant, {
      scopes,
      refreshToken: mayUse(client, "refresh_token") &&
        (scopes.includes("offline_access") || scopes.includes("online_access")),
      idToken: scopes.includes("openid")
    })
  })

const refresh = (
  world: World,
  client: Client,
  params: ReadonlyMap<string, string>
): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const value = yield* required(params, "refresh_token")
    const found = yield* world.state.findToken(value)
    if (found?._tag !== "RefreshToken" || found.grant.clientId !== client.clientId) {
      return yield* invalidGrant("no such refresh token")
    }
    const scope = params.get("scope")
    const scopes = scope === undefined ? found.grant.scopes : Scope.splitScopes(scope)
    if (scopes.some((wanted) => !Scope.covers(found.grant.scopes, wanted))) {
      return yield* invalidScope("a refresh cannot ask for more than was granted")
    }
    const used = yield* world.state.useRefreshToken(value, world.rotateRefreshTokens)
    if (used._tag !== "Taken") {
      return yield* invalidGrant(
        used._tag === "Reused"
          ? "the refresh token has been used; its family is revoked"
          : "the refresh token is no longer good"
      )
    }
    return yield* issue(world, client, used.value.grant, {
      scopes,
      refreshToken: world.rotateRefreshTokens,
      idToken: false
    })
  })

const fiveMinutes = Duration.minutes(5)

const clientCredentials = (
  world: World,
  client: Client,
  params: ReadonlyMap<string, string>
): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const requested = Scope.splitScopes(params.get("scope") ?? "")
    if (requested.length === 0) return yield* invalidScope("scope is required")
    const malformed = Scope.findMalformed(requested)
    if (malformed !== undefined) return yield* invalidScope(malformed)
    const scopes = requested.filter((scope) =>
      Scope.isGrantableToSystem(scope) && (client.scopes === undefined || Scope.covers(client.scopes, scope))
    )
    if (scopes.length === 0) return yield* invalidScope("none of these scopes is for a backend service of this client")
    const lifetime = Duration.min(world.accessTokenLifetime, fiveMinutes)
    const access = yield* world.state.addAccessToken({ clientId: client.clientId, scopes, grant: undefined }, lifetime)
    return answer({
      access_token: access.value,
      token_type: "bearer",
      expires_in: Math.floor(Duration.toSeconds(lifetime)),
      scope: scopes.join(" ")
    })
  })

/** Answers a POST to the token endpoint. */
export const handle = (world: World, request: SandboxRequest): Effect.Effect<Reply, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Message.formParams(request)
    const client = yield* ClientAuthn.authenticate(world, request, params, world.endpoints.token)
    const grantType = yield* required(params, "grant_type")
    if (grantType !== "authorization_code" && grantType !== "refresh_token" && grantType !== "client_credentials") {
      return yield* new OAuthError({ error: "unsupported_grant_type", description: "no such grant type here" })
    }
    if (!mayUse(client, grantType) || grantType === "client_credentials" && client.authentication.method === "none") {
      return yield* new OAuthError({
        error: "unauthorized_client",
        description: `the client may not use ${grantType}`
      })
    }
    switch (grantType) {
      case "authorization_code":
        return yield* exchangeCode(world, client, params)
      case "refresh_token":
        return yield* refresh(world, client, params)
      case "client_credentials":
        return yield* clientCredentials(world, client, params)
    }
  })
