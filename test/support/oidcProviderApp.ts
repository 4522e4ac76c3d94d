/**
 * An app of the library at `oidc-provider`, and its combined steps, for the tests of `test/integration`.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { ConfigurationError, PendingAuthorization, TokenSet } from "effect-safire"
import { ClientAuthentication, FhirClient, SmartClient, TokenError } from "effect-safire"
import * as OidcProvider from "./OidcProvider.js"
import { redirectUri } from "./oidcProviderClients.js"
import type { Options } from "./oidcProviderConfiguration.js"

export const scopes = ["openid", "fhirUser", "offline_access", "launch/patient", "patient/*.rs"]

/** The server, and the other services that an app needs. */
export const environment = (
  options?: Options
): Layer.Layer<OidcProvider.OidcProvider | HttpClient.HttpClient | FhirClient.FhirClient> =>
  Layer.merge(OidcProvider.layer(options), Layer.provideMerge(FhirClient.layer, NodeHttpClient.layer))

type Authentication = Layer.Layer<ClientAuthentication.ClientAuthentication, ConfigurationError>

/** An app that is registered at the server; by default a public one. */
export const connect = (
  clientId = "public-app",
  authentication: Authentication = ClientAuthentication.layerPublic,
  changes: Partial<SmartClient.Config> = {}
): Effect.Effect<
  SmartClient.Service,
  ConfigurationError,
  OidcProvider.OidcProvider | HttpClient.HttpClient | Scope.Scope
> =>
  Effect.gen(function*() {
    const { fhirBaseUrl } = yield* OidcProvider.OidcProvider
    const config = { fhirBaseUrl, clientId, redirectUri, scopes, allowInsecureLocalhost: true, ...changes }
    const context = yield* Layer.build(Layer.provide(SmartClient.layer(config), authentication))
    return Context.get(context, SmartClient.SmartClient)
  })

/** The callback of an approved launch, with the pending authorization and the client. */
export const approved = (
  client: SmartClient.Service,
  options?: SmartClient.AuthorizeOptions
): Effect.Effect<
  { readonly callback: URL; readonly pending: PendingAuthorization.PendingAuthorization },
  Effect.Effect.Error<ReturnType<SmartClient.Service["authorize"]>> | OidcProvider.LoginError,
  OidcProvider.OidcProvider
> =>
  Effect.gen(function*() {
    const server = yield* OidcProvider.OidcProvider
    const { pending, url } = yield* client.authorize(options)
    return { callback: yield* server.approve(url), pending }
  })

/** The tokens of an approved launch. */
export const login = (
  client: SmartClient.Service,
  options?: SmartClient.AuthorizeOptions
): Effect.Effect<
  TokenSet.TokenSet,
  | Effect.Effect.Error<ReturnType<SmartClient.Service["authorize"] | SmartClient.Service["exchange"]>>
  | OidcProvider.LoginError,
  OidcProvider.OidcProvider
> => Effect.flatMap(approved(client, options), ({ callback, pending }) => client.exchange(callback, pending))

/**
 * The error of an effect that must fail. Unlike with `Effect.flip`, a success is not in the failure of the test: Vitest
 * parses it as a stack trace, which takes minutes for the long line of a token.
 */
export const failed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<E, string, R> =>
  Effect.mapError(Effect.flip(self), () => "it succeeded")

/** The fields of an error by which a program decides. */
export type ErrorFields = Pick<TokenError, "operation" | "reason" | "error" | "status" | "processed" | "isRetryable">

/** Another error than a `TokenError` fails the test. */
export const tokenError = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<ErrorFields, string, R> =>
  Effect.map(
    Effect.filterOrDieMessage(
      failed(self),
      (error): error is E & TokenError => error instanceof TokenError,
      "not a TokenError"
    ),
    ({ error, isRetryable, operation, processed, reason, status }) => ({
      operation,
      reason,
      error,
      status,
      processed,
      isRetryable
    })
  )

/**
 * The error of the library for a refusal, and the reason that the server logs for its operator.
 */
export const refusal = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<readonly [ErrorFields, string | undefined], string, R | OidcProvider.OidcProvider> =>
  Effect.all([tokenError(self), Effect.flatMap(OidcProvider.OidcProvider, ({ lastRefusal }) => lastRefusal)])

/** The expected error of a refusal; without `error` if the server sent only a status. */
export const refused = (
  operation: TokenError["operation"],
  error: string | undefined,
  status: number
): ErrorFields => ({
  operation,
  reason: "Refused",
  error,
  status,
  processed: "no",
  isRetryable: false
})

/** The token in clear, for requests to the server. */
export const refreshTokenOf = (tokens: TokenSet.TokenSet): string =>
  tokens.refreshToken === undefined ? "" : Redacted.value(tokens.refreshToken)
