/**
 * FHIR requests that carry the access token to where it may go and nowhere else (SMART App Launch 2.2, "Access FHIR API"; requirements 93, 97, 98).
 *
 * Whose token it is, is said by `forTokens`, `forSession` and `forBackend`. The last two need `Sessions` and `BackendServices` where their requests run,
 * not where the client is made: one layer serves every program, and one that has no sessions is not asked for them.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { TokenAudienceError } from "../http/BearerClient.js"
import * as BearerClient from "../http/BearerClient.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TokenAudience from "../http/TokenAudience.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type { SmartConfiguration } from "../server/SmartConfiguration.js"
import * as BackendServices from "../session/BackendServices.js"
import * as Sessions from "../session/Sessions.js"
import type * as SmartClient from "../smart/SmartClient.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { FhirError } from "./FhirError.js"
import * as Bundle from "./internal/bundle.js"
import type { LinkOptions } from "./internal/fhirLink.js"
import type { Answer, Request } from "./internal/fhirRequest.js"
import type { TokenSource } from "./internal/fhirRequester.js"
import * as Exchange from "./internal/fhirRequester.js"
import * as Interaction from "./internal/interaction.js"
import * as LaunchResources from "./internal/launchResources.js"
import * as Search from "./internal/search.js"
import * as Reference from "./Reference.js"

export type { BundleRequest, BundleResult } from "./internal/bundle.js"
export type { Answer, Request } from "./internal/fhirRequest.js"
export type { LinkOptions } from "./internal/fhirLink.js"
export type { ConditionOptions, OperationOptions, PatchStep } from "./internal/interaction.js"
export type { Params } from "./internal/params.js"
export type { ReferenceInput, Resolver } from "./Reference.js"
export type { AnyResource, Decoding, Resource, Stored } from "./internal/resource.js"
export type { HistoryEntry, Page, SearchOptions } from "./internal/search.js"

/**
 * Requests with the token of one session, one backend service, or one set of tokens. Beside `FhirError` they fail with `E`: there is no token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorized<E = never, R = never>
  extends
    Interaction.Interactions<E, R>,
    Search.Searches<E, R>,
    Bundle.Bundles<E, R>,
    Reference.References<E, R>,
    LaunchResources.LaunchResources<E, R>
{
  /** A request of one's own, by the same rules. */
  readonly request: (request: Request) => Effect.Effect<Answer, FhirError | E, R>
  /** A body of any size as it comes, by the same rules. */
  readonly download: (request: Request) => Stream.Stream<Uint8Array, FhirError | E, R>
  /** For everything else: an `HttpClient` that fails rather than carry the token elsewhere. It follows no redirects. */
  readonly httpClient: HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R>
  /** What the server says about itself. */
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError | E, R>
  readonly fhirBaseUrl: Effect.Effect<string, E, R>
  /** The policy of the call, else that of the client's layer: for what repeats requests by itself. */
  readonly retryPolicy: Effect.Effect<RetryPolicy.Policy>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** With tokens that somebody else keeps fresh. */
  readonly forTokens: (client: SmartClient.Service, tokens: TokenSet, options?: LinkOptions) => Authorized
  /** With the tokens of a session, renewed as they need to be. */
  readonly forSession: (
    id: Sessions.SessionId,
    options?: LinkOptions
  ) => Authorized<Sessions.SessionFailure, Sessions.Sessions>
  /** With the program's own tokens at a server. */
  readonly forBackend: (
    request?: BackendServices.Request & LinkOptions
  ) => Authorized<BackendServices.BackendError, BackendServices.BackendServices>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class FhirClient extends Context.Tag("effect-safire/FhirClient")<FhirClient, Service>() {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const prepared = yield* Exchange.prepare

  const authorized = <E, R>(source: TokenSource<E, R>, options: LinkOptions | undefined): Authorized<E, R> => {
    const exchange = Exchange.make(prepared, source, options)
    const interactions = Interaction.make(exchange)
    const references = Reference.make(exchange)
    return {
      ...interactions,
      ...references,
      ...Search.make(exchange),
      ...Bundle.make(exchange),
      ...LaunchResources.make(exchange, interactions, references),
      request: (request) =>
        Effect.map(exchange.send(request), ({ body, headers, json, status, url }) => ({
          body,
          headers,
          json,
          status,
          url
        })),
      download: exchange.download,
      httpClient: BearerClient.make<E, R>(client, {
        authorization: Effect.flatMap(
          source.authorization,
          ({ client: { config }, tokens }) =>
            Effect.map(tokens, ({ accessToken, context, fhirBaseUrl }) => ({
              audience: {
                ...TokenAudience.make(
                  [
                    fhirBaseUrl ?? config.fhirBaseUrl,
                    ...(context.authorizationDetails ?? []).flatMap(({ locations }) => locations)
                  ],
                  config
                ),
                discovered: config.discovered
              },
              token: Effect.succeed(accessToken)
            }))
        ),
        tokenAfter: source.tokenAfter
      }),
      configuration: Effect.flatMap(source.server, (smart) => smart.configuration),
      fhirBaseUrl: Effect.map(source.server, ({ config }) => config.fhirBaseUrl),
      retryPolicy: prepared.settings(RetryPolicy.RetryPolicy)
    }
  }

  return {
    forTokens: (smart, tokens, options) =>
      authorized({
        server: Effect.succeed(smart),
        tokens: Effect.succeed(tokens),
        authorization: Effect.succeed({ client: smart, tokens: Effect.succeed(tokens) }),
        tokenAfter: (refused) => Effect.succeed(refused)
      }, options),
    forSession: (id, options) =>
      authorized<Sessions.SessionFailure, Sessions.Sessions>({
        server: Effect.flatMap(Sessions.Sessions, (sessions) => sessions.client(id)),
        tokens: Effect.flatMap(Sessions.Sessions, (sessions) => sessions.tokens(id)),
        authorization: Effect.flatMap(Sessions.Sessions, (sessions) =>
          Effect.map(sessions.authorization(id), ({ client, tokens }) => ({ client, tokens: Effect.succeed(tokens) }))),
        tokenAfter: (refused) =>
          Effect.flatMap(Sessions.Sessions, (sessions) =>
            sessions.accessTokenAfter(id, refused))
      }, options),
    forBackend: ({ foreignOrigins, rebaseLinks, ...request } = {}) =>
      authorized<BackendServices.BackendError, BackendServices.BackendServices>({
        server: Effect.flatMap(BackendServices.BackendServices, (backend) => backend.client(request)),
        tokens: Effect.flatMap(BackendServices.BackendServices, (backend) => backend.tokens(request)),
        authorization: Effect.flatMap(
          BackendServices.BackendServices,
          (backend) => Effect.map(backend.client(request), (client) => ({ client, tokens: backend.tokens(request) }))
        ),
        tokenAfter: (refused) =>
          Effect.flatMap(BackendServices.BackendServices, (backend) => backend.accessTokenAfter(refused, request))
      }, { foreignOrigins, rebaseLinks })
  }
})

/**
 * Made anew for each use: it keeps nothing that could be shared, and uses the `HttpClient` it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FhirClient, never, HttpClient.HttpClient> = Layer.fresh(
  Layer.effect(FhirClient, make)
)
