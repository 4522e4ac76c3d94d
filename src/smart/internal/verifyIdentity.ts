/**
 * The identity of the person who logged in (OpenID Connect Core 1.0): the id_token of a code exchange (section 3.1.3.7)
 * and of a refresh (section 12.2), userinfo (section 5.3) and logout at the server (RP-Initiated Logout 1.0).
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { Code, Service as Warnings } from "../../base/ConformanceWarning.js"
import { ConformanceWarning, reportSafely } from "../../base/ConformanceWarning.js"
import { skipValidation } from "../../base/SchemaFields.js"
import * as Url from "../../base/Url.js"
import { MetadataError } from "../../server/MetadataError.js"
import type * as OpenIdConfiguration from "../../server/OpenIdConfiguration.js"
import { Identity, isSamePerson } from "../../token/Identity.js"
import type * as IdToken from "../../token/IdToken.js"
import { IdTokenError } from "../../token/IdTokenError.js"
import * as LogoutRequest from "../../token/LogoutRequest.js"
import type * as TokenEndpoint from "../../token/TokenEndpoint.js"
import type { TokenError } from "../../token/TokenError.js"
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

/**
 * The tokens of a code exchange, with the verified identity. If `openid` was neither requested nor granted, an id_token
 * is ignored.
 *
 * @internal
 */
export const atExchange = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  tokens: TokenSet,
  context: IdTokenContext & { readonly requestedScopes: ReadonlyArray<string> }
): Effect.Effect<TokenSet, IdTokenError> => {
  const granted = tokens.scopes.includes("openid")
  if (tokens.idToken === undefined) {
    return Effect.as(
      granted
        ? warn(warnings, context.server, "IdTokenMissing", "openid was granted, and the response has no id_token")
        : Effect.void,
      tokens
    )
  }
  if (!granted && !context.requestedScopes.includes("openid")) return Effect.succeed(tokens)
  return Effect.flatMap(
    idTokens.verify(tokens.idToken, { ...context, fhirUser: tokens.scopes.includes("fhirUser") }),
    Option.match({
      onNone: () => Effect.as(unverifiable(warnings, context.server), tokens),
      onSome: (identity) => Effect.succeed(new TokenSet({ ...tokens, identity }, skipValidation))
    })
  ).pipe(
    Effect.mapError(({ claim, detail, reason, server }) =>
      new IdTokenError({ reason, server, detail, claim, tokens: Redacted.make(tokens) })
    )
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
 *
 * @internal
 */
export const atRefresh = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  previous: TokenSet,
  next: TokenSet,
  context: IdTokenContext
): Effect.Effect<TokenSet, IdTokenError> => {
  const before = previous.identity
  if (next.idToken === undefined || (before === undefined && !next.scopes.includes("openid"))) {
    return Effect.succeed(renewed(previous, next))
  }
  return Effect.flatMap(
    Effect.either(
      idTokens.verify(next.idToken, { ...context, nonce: nonceOf(before), renewal: true }).pipe(
        Effect.timeoutFail({
          duration: REFRESH_CHECK_TIMEOUT,
          onTimeout: () =>
            new IdTokenError({
              reason: "KeysUnavailable",
              server: context.server,
              detail: `its keys were not received within ${REFRESH_CHECK_TIMEOUT}`
            })
        })
      )
    ),
    Either.match({
      onLeft: ({ reason }) =>
        Effect.as(
          warn(
            warnings,
            context.server,
            "IdTokenInvalid",
            `the id_token of a refresh is invalid (${reason}); the identity stays as it was`
          ),
          renewed(previous, new TokenSet({ ...next, idToken: undefined }, skipValidation))
        ),
      onRight: Option.match({
        onNone: () => Effect.as(unverifiable(warnings, context.server), renewed(previous, next)),
        onSome: (identity) =>
          before !== undefined && !isSamePerson(before, identity)
            ? new IdTokenError({
              reason: "SubjectChanged",
              server: context.server,
              detail: "the refresh response has an id_token with another sub",
              claim: "sub",
              tokens: Redacted.make(new TokenSet({ ...next, identity }, skipValidation))
            })
            : Effect.succeed(renewed(
              previous,
              new TokenSet({
                ...next,
                identity: new Identity({ ...identity, fhirUser: identity.fhirUser ?? before?.fhirUser }, skipValidation)
              }, skipValidation)
            ))
      })
    })
  )
}

const issuerOf = ({ configuration, policy }: IdTokenContext): string =>
  policy?.issuer ?? configuration.issuer ?? configuration.fhirBaseUrl

/** The origins that already have the access token. */
const ownOrigins = ({ configuration }: IdTokenContext, issuer: string): ReadonlySet<string | undefined> =>
  new Set(
    [issuer, configuration.tokenEndpoint, configuration.authorizationEndpoint, configuration.fhirBaseUrl].flatMap((
      url
    ) => url === undefined ? [] : Url.parse(url)?.origin ?? [])
  )

/**
 * The claims of the userinfo endpoint, if their `sub` is that of the verified id_token.
 *
 * @internal
 */
export const userInfo = (
  openId: OpenIdConfiguration.Service,
  tokenEndpoint: TokenEndpoint.Service,
  tokens: TokenSet,
  target: Omit<TokenEndpoint.Target, "endpoint">,
  context: IdTokenContext
): Effect.Effect<UserInfo, TokenError | IdTokenError | MetadataError | ConfigurationError> =>
  Effect.gen(function*() {
    const { identity } = tokens
    const { server } = context
    if (identity === undefined) {
      return yield* new IdTokenError({
        reason: "NoIdentity",
        server,
        detail: "userinfo needs the sub of a verified id_token, and these tokens have none"
      })
    }
    const { issuer, userinfoEndpoint: endpoint } = yield* openId.metadata(issuerOf(context), context)
    if (identity.iss !== issuer) {
      return yield* new IdTokenError({
        reason: "IssuerMismatch",
        server,
        detail: "the person logged in at another issuer",
        claim: "iss"
      })
    }
    const refuse = (reason: MetadataError["reason"], url: string, detail: string) =>
      new MetadataError({ subject: "OpenIdConfiguration", reason, url: Url.forDisplay(url), detail })
    if (endpoint === undefined) return yield* refuse("EndpointMissing", issuer, "it has no usable userinfo_endpoint")
    if (!ownOrigins(context, issuer).has(Url.parse(endpoint)?.origin)) {
      return yield* refuse(
        "ForeignEndpoint",
        endpoint,
        "the userinfo_endpoint is at an origin that does not belong to the server"
      )
    }
    const found = yield* tokenEndpoint.userInfo({ ...target, endpoint }, { token: tokens.accessToken })
    if (found.sub !== identity.sub) {
      return yield* new IdTokenError({
        reason: "SubjectMismatch",
        server,
        detail: "the userinfo response has another sub than the id_token",
        claim: "sub"
      })
    }
    return found
  })

/**
 * The URL that logs the person out at the server; `None` if the server has no `end_session_endpoint`.
 *
 * @internal
 */
export const logoutUrl = (
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
        : new MetadataError({
          subject: "OpenIdConfiguration",
          reason: "InsecureEndpoint",
          url: Url.forDisplay(url),
          detail: "it gives an end_session_endpoint that is not https"
        })
    })
  )
