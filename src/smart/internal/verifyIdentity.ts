/**
 * When a client learns who logged in, and when it does not: the rules of a code exchange, of a refresh, of userinfo and of logout over the services that
 * know how.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { Code, Service as Warnings } from "../../base/ConformanceWarning.js"
import { ConformanceWarning, reportSafely } from "../../base/ConformanceWarning.js"
import { skipValidation } from "../../base/SkipValidation.js"
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
    "the server names no issuer or no keys: its id_token is not believed, and nobody knows who logged in"
  )

/**
 * The tokens of a code exchange with who logged in. Where `openid` was neither asked for nor granted, an id_token is nobody's business.
 *
 * @internal
 */
export const atExchange = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  tokens: TokenSet,
  whose: IdTokenContext & { readonly asked: ReadonlyArray<string> }
): Effect.Effect<TokenSet, IdTokenError> => {
  const granted = tokens.scopes.includes("openid")
  if (tokens.idToken === undefined) {
    return Effect.as(
      granted
        ? warn(warnings, whose.server, "IdTokenMissing", "openid was granted, and there is no id_token in the answer")
        : Effect.void,
      tokens
    )
  }
  if (!granted && !whose.asked.includes("openid")) return Effect.succeed(tokens)
  return Effect.flatMap(
    idTokens.verify(tokens.idToken, { ...whose, fhirUser: tokens.scopes.includes("fhirUser") }),
    Option.match({
      onNone: () => Effect.as(unverifiable(warnings, whose.server), tokens),
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

/** The tokens of a refresh are held in memory alone until its id_token has been checked. */
const REFRESH_CHECK_TIMEOUT = "10 seconds"

/**
 * The tokens after a refresh. They are good whatever is wrong with the id_token beside them, unless it proves that they are somebody else's.
 *
 * @internal
 */
export const atRefresh = (
  idTokens: IdToken.Service,
  warnings: Warnings,
  previous: TokenSet,
  next: TokenSet,
  whose: IdTokenContext
): Effect.Effect<TokenSet, IdTokenError> => {
  const before = previous.identity
  if (next.idToken === undefined || (before === undefined && !next.scopes.includes("openid"))) {
    return Effect.succeed(renewed(previous, next))
  }
  return Effect.flatMap(
    Effect.either(
      idTokens.verify(next.idToken, { ...whose, nonce: nonceOf(before), renewal: true }).pipe(
        Effect.timeoutFail({
          duration: REFRESH_CHECK_TIMEOUT,
          onTimeout: () =>
            new IdTokenError({
              reason: "KeysUnavailable",
              server: whose.server,
              detail: `its keys did not come within ${REFRESH_CHECK_TIMEOUT}`
            })
        })
      )
    ),
    Either.match({
      onLeft: ({ reason }) =>
        Effect.as(
          warn(
            warnings,
            whose.server,
            "IdTokenInvalid",
            `the id_token of a refresh is not believed (${reason}); who logged in stays as it was`
          ),
          renewed(previous, new TokenSet({ ...next, idToken: undefined }, skipValidation))
        ),
      onRight: Option.match({
        onNone: () => Effect.as(unverifiable(warnings, whose.server), renewed(previous, next)),
        onSome: (identity) =>
          before !== undefined && !isSamePerson(before, identity)
            ? new IdTokenError({
              reason: "SubjectChanged",
              server: whose.server,
              detail: "the refresh answered with another person's id_token",
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

/** The origins that hold the token already, or gave it. */
const ownOrigins = ({ configuration }: IdTokenContext, issuer: string): ReadonlySet<string | undefined> =>
  new Set(
    [issuer, configuration.tokenEndpoint, configuration.authorizationEndpoint, configuration.fhirBaseUrl].flatMap((
      url
    ) => url === undefined ? [] : Url.parse(url)?.origin ?? [])
  )

/**
 * What the server's userinfo endpoint says of the person who logged in, and of nobody else.
 *
 * @internal
 */
export const userInfo = (
  openId: OpenIdConfiguration.Service,
  tokenEndpoint: TokenEndpoint.Service,
  tokens: TokenSet,
  target: Omit<TokenEndpoint.Target, "endpoint">,
  whose: IdTokenContext
): Effect.Effect<UserInfo, TokenError | IdTokenError | MetadataError | ConfigurationError> =>
  Effect.gen(function*() {
    const { identity } = tokens
    const { server } = whose
    if (identity === undefined) {
      return yield* new IdTokenError({
        reason: "NoIdentity",
        server,
        detail: "no id_token was verified, so that there is nobody to compare userinfo with"
      })
    }
    const { issuer, userinfoEndpoint: endpoint } = yield* openId.metadata(issuerOf(whose), whose)
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
    if (!ownOrigins(whose, issuer).has(Url.parse(endpoint)?.origin)) {
      return yield* refuse(
        "ForeignEndpoint",
        endpoint,
        "the userinfo_endpoint is on a host that the token was not issued by"
      )
    }
    const found = yield* tokenEndpoint.userInfo({ ...target, endpoint }, { token: tokens.accessToken })
    if (found.sub !== identity.sub) {
      return yield* new IdTokenError({
        reason: "SubjectMismatch",
        server,
        detail: "userinfo answered with another sub than the id_token's",
        claim: "sub"
      })
    }
    return found
  })

/**
 * Where to send the browser to log out at the server; nothing where the server does not offer it.
 *
 * @internal
 */
export const logoutUrl = (
  openId: OpenIdConfiguration.Service,
  request: LogoutRequest.LogoutRequest,
  whose: IdTokenContext
): Effect.Effect<Option.Option<Redacted.Redacted<URL>>, MetadataError> =>
  openId.metadata(issuerOf(whose), whose).pipe(
    Effect.map(({ endSessionEndpoint }) => endSessionEndpoint),
    Effect.catchIf(({ reason }) => reason === "NotFound", () => Effect.succeed(undefined)),
    Effect.flatMap((endpoint) => {
      const url = endpoint === undefined ? undefined : Url.parse(endpoint)
      if (endpoint === undefined || url === undefined) return Effect.succeedNone
      return Url.isSecure(url, whose.allowInsecureLocalhost ?? false)
        ? Effect.succeedSome(LogoutRequest.toUrl(endpoint, request))
        : new MetadataError({
          subject: "OpenIdConfiguration",
          reason: "InsecureEndpoint",
          url: Url.forDisplay(url),
          detail: "it gives an end_session_endpoint that is not https"
        })
    })
  )
