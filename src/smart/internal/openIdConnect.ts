/**
 * OpenID Connect of a client. Its code (`verifyIdentity.ts`) is loaded when the client first needs it: a page whose
 * launches do not request `openid` does not load it.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { ConformanceWarning, ConformanceWarnings, reportSafely } from "../../base/ConformanceWarning.js"
import * as Jose from "../../base/Jose.js"
import * as OnDemand from "../../base/OnDemand.js"
import { construct } from "../../base/SchemaFields.js"
import type { Registry } from "../../http/PerHttpClient.js"
import { AuthorizationError } from "../../launch/AuthorizationError.js"
import { DiscoveryError } from "../../server/DiscoveryError.js"
import type { IdTokenError } from "../../token/IdTokenError.js"
import { TokenError } from "../../token/TokenError.js"
import { grantOf, renewed, TokenSet } from "../../token/TokenSet.js"
import type { IdTokenContext, OpenId } from "./verifyIdentity.js"

/**
 * The environment in which the clients of a build make the services that fetch key sets and OpenID metadata.
 * `SmartClient.layerDependencies` provides it.
 *
 * @since 0.1.0
 * @category tags
 */
export class OpenIdConnect extends Context.Tag("effect-safire/smart/OpenIdConnect")<
  OpenIdConnect,
  Context.Context<Registry | HttpClient.HttpClient>
>() {}

/** It verifies signatures with `jose`, which is loaded at the same time. */
const verifyIdentity = OnDemand.module(
  "verifies id_tokens",
  () => Promise.all([import("./verifyIdentity.js"), Jose.importFunctions()]).then(([loaded]) => loaded)
)

/** How long a step waits for the code if it can do without. */
const OPTIONAL_TIMEOUT = "10 seconds"

/** @internal */
export interface ClientOpenId extends Pick<OpenId, "atExchange"> {
  /** Loads the code. Without it, an authorization code must not be sent, which can be used only once. */
  readonly beforeExchange: Effect.Effect<void, AuthorizationError>
  /** Loads the code, so that no new tokens wait for it, and returns what completes the refresh. */
  readonly beforeRefresh: (previous: TokenSet) => Effect.Effect<
    (next: TokenSet, context: IdTokenContext) => Effect.Effect<TokenSet, IdTokenError>
  >
  /** For userinfo. */
  readonly forUserInfo: Effect.Effect<OpenId, TokenError>
  /** For logout, whose endpoint is in the OpenID metadata. */
  readonly forLogout: Effect.Effect<OpenId, DiscoveryError>
}

/**
 * For a client that is made in this environment.
 *
 * @internal
 */
export const forClient = (
  server: string,
  fhirBaseUrl: string
): Effect.Effect<ClientOpenId, never, OpenIdConnect> =>
  Effect.gen(function*() {
    const shared = yield* OpenIdConnect
    const own = yield* Effect.context<never>()
    const warnings = yield* ConformanceWarnings

    let made: OpenId | undefined
    const required: Effect.Effect<OpenId, string> = Effect.suspend(() =>
      made !== undefined ?
        Effect.succeed(made) :
        Effect.flatMap(verifyIdentity, ({ make }) =>
          Effect.map(make(shared, own), (openId) => {
            made = openId
            return openId
          }))
    )
    const ifAvailable: Effect.Effect<OpenId | undefined> = Effect.suspend(() =>
      made !== undefined
        ? Effect.succeed(made)
        : Effect.catchAll(Effect.timeout(required, OPTIONAL_TIMEOUT), () => Effect.succeed(undefined))
    )

    /** The tokens without an id_token that cannot be verified, because the code for that is not available. */
    const withoutIdToken = (tokens: TokenSet): Effect.Effect<TokenSet> => {
      if (tokens.idToken === undefined) return Effect.succeed(tokens)
      const detail = "the code that verifies its id_token could not be loaded: the id_token is not used"
      return Effect.as(
        reportSafely(warnings, new ConformanceWarning({ code: "IdTokenUnverifiable", server, detail })),
        construct(TokenSet, { ...tokens, idToken: undefined })
      )
    }

    return {
      beforeExchange: Effect.asVoid(Effect.mapError(
        required,
        (detail) => new AuthorizationError({ reason: "ModuleUnavailable", server, detail })
      )),
      atExchange: (tokens, context) =>
        Effect.flatMap(
          ifAvailable,
          (openId) => openId === undefined ? withoutIdToken(tokens) : openId.atExchange(tokens, context)
        ),
      beforeRefresh: (previous) => {
        const isKnown = previous.identity !== undefined
        const openId = isKnown || grantOf(previous).includes("openid") ? ifAvailable : Effect.succeed(undefined)
        return Effect.map(openId, (openId) => (next, context) =>
          openId !== undefined
            ? openId.atRefresh(previous, next, context)
            : isKnown || next.scopes.includes("openid")
            ? Effect.map(withoutIdToken(next), (tokens) => renewed(previous, tokens))
            : Effect.succeed(renewed(previous, next)))
      },
      forUserInfo: Effect.mapError(required, (detail) =>
        new TokenError({
          reason: "ModuleUnavailable",
          operation: "userInfo",
          server,
          url: fhirBaseUrl,
          detail,
          processed: "no"
        })),
      forLogout: Effect.mapError(
        required,
        (detail) => new DiscoveryError({ reason: "ModuleUnavailable", fhirBaseUrl, url: fhirBaseUrl, detail })
      )
    }
  })
