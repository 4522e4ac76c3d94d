/**
 * An app of the library at `oidc-provider`, and its steps put together, for the tests of `test/integration`.
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

/** The server, and what an app needs beside its own settings. */
export const environment = (
  options?: Options
): Layer.Layer<OidcProvider.OidcProvider | HttpClient.HttpClient | FhirClient.FhirClient> =>
  Layer.merge(OidcProvider.layer(options), Layer.provideMerge(FhirClient.layer, NodeHttpClient.layer))

type Authentication = Layer.Layer<ClientAuthentication.ClientAuthentication, ConfigurationError>

/** An app registered at the server; without settings a public one. */
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

/** The callback of an approved launch, and what to exchange it with. */
export const approved = (
  client: SmartClient.Service,
  options?: SmartClient.AuthorizeOptions
): Effect.Effect<
  { readonly callback: URL; readonly pending: PendingAuthorization.PendingAuthorization },
  Effect.Effect.Error<ReturnType<SmartClient.Service["authorize"]>> | OidcProvider.WalkError,
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
  | OidcProvider.WalkError,
  OidcProvider.OidcProvider
> => Effect.flatMap(approved(client, options), ({ callback, pending }) => client.exchange(callback, pending))

/**
 * The error of an effect that must fail. A success is not carried into the failure of the test, as `Effect.flip` alone
 * would: tokens are no error text, and Vitest's parser of foreign stack traces takes for ever over values that print as
 * one long line.
 */
export const failed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<E, string, R> =>
  Effect.mapError(Effect.flip(self), () => "it succeeded")

/** What a program can decide by, of an error. */
export type Decisive = Pick<TokenError, "operation" | "reason" | "error" | "status" | "processed" | "isRetryable">

/** Anything but a `TokenError` fails the test. */
export const tokenError = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<Decisive, string, R> =>
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
 * What the library says of a refusal, and what the server notes of it for its operator: the right error for the right
 * reason.
 */
export const refusal = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<readonly [Decisive, string | undefined], string, R | OidcProvider.OidcProvider> =>
  Effect.all([tokenError(self), Effect.flatMap(OidcProvider.OidcProvider, ({ lastRefusal }) => lastRefusal)])

/** A refusal, as it should be reported; without `error` where the server said no more than its status. */
export const refused = (operation: TokenError["operation"], error: string | undefined, status: number): Decisive => ({
  operation,
  reason: "Refused",
  error,
  status,
  processed: "no",
  isRetryable: false
})

/** The token in clear, to give to the server itself. */
export const refreshTokenOf = (tokens: TokenSet.TokenSet): string =>
  tokens.refreshToken === undefined ? "" : Redacted.value(tokens.refreshToken)
