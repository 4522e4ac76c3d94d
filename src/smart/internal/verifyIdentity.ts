/**
 * The identity of the person who logged in (OpenID Connect Core 1.0): the id_token of a code exchange (section 3.1.3.7)
 * and of a refresh (section 12.2), userinfo (section 5.3) and logout at the server (RP-Initiated Logout 1.0). A chunk
 * of its own in a bundle: only `openIdConnect.ts` imports it, on demand.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import {
  type Code,
  ConformanceWarning,
  ConformanceWarnings,
  reportSafely,
  type Service as Warnings
} from "../../base/ConformanceWarning.js"
import { construct } from "../../base/SchemaFields.js"
import * as Url from "../../base/Url.js"
import type { Registry } from "../../http/PerHttpClient.js"
import { MetadataError } from "../../server/MetadataError.js"
import * as OpenIdConfiguration from "../../server/OpenIdConfiguration.js"
import { Identity, isSamePerson } from "../../token/Identity.js"
import * as IdToken from "../../token/IdToken.js"
import { IdTokenError } from "../../token/IdTokenError.js"
import * as LogoutRequest from "../../token/LogoutRequest.js"
import type * as TokenEndpoint from "../../token/TokenEndpoint.js"
import { renewed, TokenSet } from "../../token/TokenSet.js"
import type { UserInfo } from "../../token/UserInfo.js"

/** @internal */
export type IdTokenContext = Omit<IdToken.Request, "fhirUser" | "renewal">

const warn = (warnings: Warnings, server: string, code: Code, detail: string): Effect.Effect<void> =>
  reportSafely(warnings, new ConformanceWarning({ code, server, detail }))

const unverifiable = (warnings: Warnings, server: string): Effect.Effect<void> =>
  warn(
    warnings,
    server,
    "IdTokenUnverifiable",
    "the server has no issuer or no keys, so that its id_token cannot be verified: the tokens have no identity"
  )

const identityError = (
  server: string,
  reason: IdTokenError["reason"],
  detail: string,
  claim?: string,
  tokens?: TokenSet
): IdTokenError => new IdTokenError({ reason, server, detail, claim, tokens: tokens && Redacted.make(tokens) })

const withIdentity = (tokens: TokenSet, identity: Identity): TokenSet => construct(TokenSet, { ...tokens, identity })

/** The tokens of a code exchange that requested `openid` or was granted it, with the verified identity. */
const atExchange = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  tokens: TokenSet,
  context: IdTokenContext
): Effect.Effect<TokenSet, IdTokenError> => {
  const { server } = context
  if (tokens.idToken === undefined) {
    return tokens.scopes.includes("openid")
      ? Effect.as(
        warn(warnings, server, "IdTokenMissing", "openid was granted, and the response has no id_token"),
        tokens
      )
      : Effect.succeed(tokens)
  }
  return idTokens.verify(tokens.idToken, { ...context, fhirUser: tokens.scopes.includes("fhirUser") }).pipe(
    Effect.mapError(({ claim, detail, reason }) => identityError(server, reason, detail, claim, tokens)),
    Effect.flatMap(Option.match({
      onNone: () => Effect.as(unverifiable(warnings, server), tokens),
      onSome: (identity) => Effect.succeed(withIdentity(tokens, identity))
    }))
  )
}

const nonceOf = (identity: Identity | undefined): Redacted.Redacted | undefined => {
  const nonce = identity === undefined ? undefined : Redacted.value(identity.claims)["nonce"]
  return typeof nonce === "string" ? Redacted.make(nonce) : undefined
}

/** Until the id_token of a refresh is verified, the new tokens exist in memory only. */
const REFRESH_CHECK_TIMEOUT = "10 seconds"

/**
 * The tokens after a refresh. An invalid id_token is a warning and leaves the tokens usable; a valid one of another
 * person is an error.
 */
const atRefresh = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  previous: TokenSet,
  next: TokenSet,
  context: IdTokenContext
): Effect.Effect<TokenSet, IdTokenError> => {
  const { server } = context
  const before = previous.identity
  if (next.idToken === undefined || (before === undefined && !next.scopes.includes("openid"))) {
    return Effect.succeed(renewed(previous, next))
  }
  const late = `its keys were not received within ${REFRESH_CHECK_TIMEOUT}`
  const verified = idTokens.verify(next.idToken, { ...context, nonce: nonceOf(before), renewal: true }).pipe(
    Effect.timeoutFail({
      duration: REFRESH_CHECK_TIMEOUT,
      onTimeout: () => identityError(server, "KeysUnavailable", late)
    }),
    Effect.either
  )
  return Effect.flatMap(verified, (result): Effect.Effect<TokenSet, IdTokenError> => {
    if (Either.isLeft(result)) {
      const detail = `the id_token of a refresh is invalid (${result.left.reason}); the identity stays as it was`
      const withoutIdToken = construct(TokenSet, { ...next, idToken: undefined })
      return Effect.as(warn(warnings, server, "IdTokenInvalid", detail), renewed(previous, withoutIdToken))
    }
    if (Option.isNone(result.right)) return Effect.as(unverifiable(warnings, server), renewed(previous, next))
    const identity = result.right.value
    if (before !== undefined && !isSamePerson(before, identity)) {
      const detail = "the refresh response has an id_token with another sub"
      return identityError(server, "SubjectChanged", detail, "sub", withIdentity(next, identity))
    }
    const fhirUser = identity.fhirUser ?? before?.fhirUser
    const complete = construct(Identity, { ...identity, fhirUser })
    return Effect.succeed(renewed(previous, withIdentity(next, complete)))
  })
}

const issuerOf = ({ configuration, policy }: IdTokenContext): string =>
  policy?.issuer ?? configuration.issuer ?? configuration.fhirBaseUrl

/** Whether a URL is at an origin that already has the access token. */
const isServerOrigin = ({ configuration }: IdTokenContext, issuer: string, url: string): boolean => {
  const { authorizationEndpoint, fhirBaseUrl, tokenEndpoint } = configuration
  const origin = Url.parse(url)?.origin
  return origin !== undefined &&
    [issuer, tokenEndpoint, authorizationEndpoint, fhirBaseUrl].some((known) =>
      known !== undefined && Url.parse(known)?.origin === origin
    )
}

const endpointError = (reason: MetadataError["reason"], url: string, detail: string): MetadataError =>
  new MetadataError({ subject: "OpenIdConfiguration", reason, url: Url.forDisplay(url), detail })

/**
 * The claims of the userinfo endpoint, if their `sub` is that of the verified id_token.
 */
const userInfo = (
  openId: OpenIdConfiguration.Service,
  tokenEndpoint: TokenEndpoint.Service,
  { accessToken, identity }: TokenSet,
  target: Omit<TokenEndpoint.Target, "endpoint">,
  context: IdTokenContext
): Effect.Effect<UserInfo, TokenEndpoint.RequestError | IdTokenError | MetadataError> =>
  Effect.gen(function*() {
    const { server } = context
    if (identity === undefined) {
      const detail = "userinfo needs the sub of a verified id_token, and these tokens have none"
      return yield* identityError(server, "NoIdentity", detail)
    }
    const { issuer, userinfoEndpoint: endpoint } = yield* openId.metadata(issuerOf(context), context)
    if (identity.iss !== issuer) {
      return yield* identityError(server, "IssuerMismatch", "the person logged in at another issuer", "iss")
    }
    if (endpoint === undefined) {
      return yield* endpointError("EndpointMissing", issuer, "it has no usable userinfo_endpoint")
    }
    if (!isServerOrigin(context, issuer, endpoint)) {
      const detail = "the userinfo_endpoint is at an origin that does not belong to the server"
      return yield* endpointError("ForeignEndpoint", endpoint, detail)
    }
    const found = yield* tokenEndpoint.userInfo({ ...target, endpoint }, { token: accessToken })
    return found.sub === identity.sub
      ? found
      : yield* identityError(
        server,
        "SubjectMismatch",
        "the userinfo response has another sub than the id_token",
        "sub"
      )
  })

/**
 * The URL that logs the person out at the server; `None` if the server has no `end_session_endpoint`.
 */
const logoutUrl = (
  openId: OpenIdConfiguration.Service,
  request: LogoutRequest.LogoutRequest,
  context: IdTokenContext
): Effect.Effect<Option.Option<Redacted.Redacted<URL>>, MetadataError> =>
  openId.metadata(issuerOf(context), context).pipe(
    Effect.map(({ endSessionEndpoint }) => endSessionEndpoint),
    Effect.catchIf(({ reason }) => reason === "NotFound", () => Effect.succeed(undefined)),
    Effect.flatMap((endpoint) => {
      const url = endpoint === undefined ? undefined : Url.parse(endpoint)
      if (endpoint === undefined || url === undefined) return Effect.succeedNone
      return Url.isSecure(url, context.allowInsecureLocalhost ?? false)
        ? Effect.succeedSome(LogoutRequest.toUrl(endpoint, request))
        : endpointError("InsecureEndpoint", endpoint, "it gives an end_session_endpoint that is not https")
    })
  )

/**
 * OpenID Connect of one client.
 *
 * @internal
 */
export interface OpenId {
  readonly atExchange: (
    tokens: TokenSet,
    context: IdTokenContext
  ) => Effect.Effect<TokenSet, IdTokenError>
  readonly atRefresh: (
    previous: TokenSet,
    next: TokenSet,
    context: IdTokenContext
  ) => Effect.Effect<TokenSet, IdTokenError>
  readonly userInfo: (
    tokenEndpoint: TokenEndpoint.Service,
    tokens: TokenSet,
    target: Omit<TokenEndpoint.Target, "endpoint">,
    context: IdTokenContext
  ) => Effect.Effect<UserInfo, TokenEndpoint.RequestError | IdTokenError | MetadataError>
  readonly logoutUrl: (
    request: LogoutRequest.LogoutRequest,
    context: IdTokenContext
  ) => Effect.Effect<Option.Option<Redacted.Redacted<URL>>, MetadataError>
}

/**
 * For one client: with `IdToken` and `OpenIdConfiguration` of its `own` environment, else with those that the clients
 * of a build share.
 *
 * @internal
 */
export const make = (
  shared: Context.Context<Registry | HttpClient.HttpClient>,
  own: Context.Context<never>
): Effect.Effect<OpenId> => {
  const ownOr = <I, S, R>(tag: Context.Tag<I, S>, make: Effect.Effect<S, never, R>): Effect.Effect<S, never, R> =>
    Option.match(Context.getOption(own, tag), { onNone: () => make, onSome: Effect.succeed })
  return Effect.gen(function*() {
    const openId = yield* ownOr(OpenIdConfiguration.OpenIdConfiguration, OpenIdConfiguration.shared.service({}))
    const idTokens = yield* ownOr(IdToken.IdToken, IdToken.shared)
    const warnings = Context.get(own, ConformanceWarnings)
    return {
      atExchange: (tokens, context) => atExchange(idTokens, warnings, tokens, context),
      atRefresh: (previous, next, context) => atRefresh(idTokens, warnings, previous, next, context),
      userInfo: (tokenEndpoint, tokens, target, context) => userInfo(openId, tokenEndpoint, tokens, target, context),
      logoutUrl: (request, context) => logoutUrl(openId, request, context)
    } satisfies OpenId
    // The environment of the step that needs it first has the settings of one call.
  }).pipe(Effect.mapInputContext(() => shared))
}
