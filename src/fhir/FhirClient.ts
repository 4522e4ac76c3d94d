/**
 * FHIR requests with an access token, which goes only to the server it is for (SMART App Launch 2.2, "Access FHIR API";
 * requirements 93, 97, 98).
 *
 * `forTokens`, `forSession` and `forBackend` choose the token. The last two need `Sessions` and `BackendServices` when
 * their requests run, not when the client is made, so programs without sessions need not provide them.
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
import type { FhirRequest, FhirResponse } from "./internal/fhirRequest.js"
import type { TokenSource } from "./internal/fhirRequester.js"
import * as FhirRequester from "./internal/fhirRequester.js"
import * as Interaction from "./internal/interaction.js"
import * as LaunchResources from "./internal/launchResources.js"
import type { LinkOptions } from "./internal/linkPolicy.js"
import * as Search from "./internal/search.js"
import * as Reference from "./Reference.js"

export type { BundleRequest, BundleResult } from "./internal/bundle.js"
export type { FhirRequest, FhirResponse } from "./internal/fhirRequest.js"
export type { ConditionOptions, OperationOptions, PatchOperation } from "./internal/interaction.js"
export type { LinkOptions } from "./internal/linkPolicy.js"
export type { Params } from "./internal/params.js"
export type { ReferenceInput, Resolver } from "./Reference.js"
export type { AnyResource, Decoding, Resource, Stored } from "./internal/resource.js"
export type { HistoryEntry, Page, SearchOptions } from "./internal/search.js"

/**
 * Requests with the tokens of one session, one backend service, or one token response. They fail with `FhirError`, or
 * with `E` if the token source fails.
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
  /** Sends any request, by the same rules. */
  readonly request: (request: FhirRequest) => Effect.Effect<FhirResponse, FhirError | E, R>
  /** The body of a response as a stream, by the same rules. */
  readonly download: (request: FhirRequest) => Stream.Stream<Uint8Array, FhirError | E, R>
  /** An `HttpClient` with the token. It fails if the token may not go to a URL, and does not follow redirects. */
  readonly httpClient: HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R>
  /** The SMART configuration of the server. */
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError | E, R>
  readonly fhirBaseUrl: Effect.Effect<string, E, R>
  /** The retry policy of the call, else that of the client's layer. */
  readonly retryPolicy: Effect.Effect<RetryPolicy.Policy>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** With tokens that the caller renews. */
  readonly forTokens: (client: SmartClient.Service, tokens: TokenSet, options?: LinkOptions) => Authorized
  /** With the tokens of a session, renewed when necessary. */
  readonly forSession: (
    id: Sessions.SessionId,
    options?: LinkOptions
  ) => Authorized<Sessions.SessionFailure, Sessions.Sessions>
  /** With the tokens of the backend service at a server. */
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
  const transport = yield* FhirRequester.transport

  const authorized = <E, R>(source: TokenSource<E, R>, options: LinkOptions | undefined): Authorized<E, R> => {
    const requester = FhirRequester.make(transport, source, options)
    const interactions = Interaction.make(requester)
    const references = Reference.make(requester)
    return {
      ...interactions,
      ...references,
      ...Search.make(requester),
      ...Bundle.make(requester),
      ...LaunchResources.make(requester, interactions, references),
      request: (request) =>
        Effect.map(requester.send(request), ({ body, headers, json, status, url }) => ({
          body,
          headers,
          json,
          status,
          url
        })),
      download: requester.download,
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
      retryPolicy: transport.settings(RetryPolicy.RetryPolicy)
    }
  }

  return {
    forTokens: (smart, tokens, options) =>
      authorized({
        server: Effect.succeed(smart),
        tokens: Effect.succeed(tokens),
        authorization: Effect.succeed({ client: smart, tokens: Effect.succeed(tokens) }),
        tokenAfter: (rejected) => Effect.succeed(rejected)
      }, options),
    forSession: (id, options) =>
      authorized<Sessions.SessionFailure, Sessions.Sessions>({
        server: Effect.flatMap(Sessions.Sessions, (sessions) => sessions.client(id)),
        tokens: Effect.flatMap(Sessions.Sessions, (sessions) => sessions.tokens(id)),
        authorization: Effect.flatMap(Sessions.Sessions, (sessions) =>
          Effect.map(sessions.authorization(id), ({ client, tokens }) => ({ client, tokens: Effect.succeed(tokens) }))),
        tokenAfter: (rejected) =>
          Effect.flatMap(Sessions.Sessions, (sessions) =>
            sessions.accessTokenAfter(id, rejected))
      }, options),
    forBackend: ({ foreignOrigins, rebaseLinks, ...request } = {}) =>
      authorized<BackendServices.BackendError, BackendServices.BackendServices>({
        server: Effect.flatMap(BackendServices.BackendServices, (backend) => backend.client(request)),
        tokens: Effect.flatMap(BackendServices.BackendServices, (backend) => backend.tokens(request)),
        authorization: Effect.flatMap(
          BackendServices.BackendServices,
          (backend) => Effect.map(backend.client(request), (client) => ({ client, tokens: backend.tokens(request) }))
        ),
        tokenAfter: (rejected) =>
          Effect.flatMap(BackendServices.BackendServices, (backend) => backend.accessTokenAfter(rejected, request))
      }, { foreignOrigins, rebaseLinks })
  }
})

/**
 * A new instance for each use: it keeps no state, and uses the `HttpClient` that it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FhirClient, never, HttpClient.HttpClient> = Layer.fresh(
  Layer.effect(FhirClient, make)
)
