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
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { withService } from "../base/FiberEnvironment.js"
import type * as ClientAuthentication from "../client/ClientAuthentication.js"
import type { TokenAudienceError } from "../http/BearerRequest.js"
import * as BearerRequest from "../http/BearerRequest.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TokenAudience from "../http/TokenAudience.js"
import type { SmartConfiguration } from "../server/SmartConfiguration.js"
import * as BackendServices from "../session/BackendServices.js"
import * as Sessions from "../session/Sessions.js"
import type * as SmartClient from "../smart/SmartClient.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { FhirError } from "./FhirError.js"
import * as Binary from "./internal/binary.js"
import * as Bundle from "./internal/bundle.js"
import type { FhirRequest, FhirResponse, StreamedResponse } from "./internal/fhirMessage.js"
import * as FhirRequester from "./internal/fhirRequester.js"
import * as History from "./internal/history.js"
import * as Interaction from "./internal/interaction.js"
import * as LaunchResources from "./internal/launchResources.js"
import * as Operation from "./internal/operation.js"
import type { RequestOptions } from "./internal/requestOptions.js"
import type { FhirVersion } from "./internal/resourceTypes.js"
import * as Search from "./internal/search.js"
import * as TokenSource from "./internal/tokenSource.js"
import * as Reference from "./Reference.js"

export type { BinaryContent, BinaryInfo, BinaryInput, BinaryOptions, OpenBinary } from "./internal/binary.js"
export type { BundleEntry, BundleRequest, BundleResult } from "./internal/bundle.js"
export type { PageOptions } from "./internal/bundlePages.js"
export type { FhirBody, FhirRequest, FhirResponse, StreamedResponse } from "./internal/fhirMessage.js"
export type { HistoryEntry, HistoryOptions } from "./internal/history.js"
export { NotModified } from "./internal/interaction.js"
export type { IfModified } from "./internal/interaction.js"
export type { LinkOptions } from "./internal/linkPolicy.js"
export type { RequestOptions } from "./internal/requestOptions.js"
export type { GraphqlOptions, GraphqlResult, OperationOptions } from "./internal/operation.js"
export type { Params, ParamValue } from "./internal/params.js"
export type {
  AnyResource,
  AnySchema,
  Decoded,
  Decoding,
  Resource,
  ResourceOptions,
  Stored
} from "./internal/resource.js"
export type { AnyResourceOf, FhirVersion, ResourceInput, ResourceOf } from "./internal/resourceTypes.js"
export type { MatchOf, Page, ReadOptions, SearchOptions, TotalOptions } from "./internal/search.js"
export type {
  CreateOptions,
  MatchOptions,
  Patch,
  PatchOperation,
  PatchOptions,
  UpdateOptions,
  WriteOptions
} from "./internal/writeOptions.js"
export type { ReferenceInput, Resolver, Surroundings } from "./Reference.js"

/**
 * Requests with the tokens of one session, one backend service, or one token response. They fail with `FhirError`, or
 * with `E` if the token source fails. `V` is the version of FHIR, by which `@types/fhir` types the resources.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorized<E = never, R = never, V extends FhirVersion = "R4">
  extends
    Interaction.Interactions<E, R, V>,
    Operation.Operations<E, R, V>,
    Search.Searches<E, R, V>,
    History.Histories<E, R, V>,
    Bundle.Bundles<E, R, V>,
    Binary.Binaries<E, R, V>,
    Reference.References<E, R, V>,
    LaunchResources.LaunchResources<E, R, V>
{
  /** Sends any request, by the same rules. */
  readonly request: (request: FhirRequest) => Effect.Effect<FhirResponse, FhirError | E, R>
  /** A response whose body is a stream until the scope closes, by the same rules. May be a 304. */
  readonly open: (request: FhirRequest) => Effect.Effect<StreamedResponse, FhirError | E, R | Scope.Scope>
  /** The body of a response as a stream, by the same rules. */
  readonly download: (request: FhirRequest) => Stream.Stream<Uint8Array, FhirError | E, R>
  /** An `HttpClient` with the token. It fails if the token may not go to a URL, and does not follow redirects. */
  readonly httpClient: HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R>
  /** The SMART configuration of the server. */
  readonly configuration: Effect.Effect<SmartConfiguration, ClientAuthentication.EndpointsError | E, R>
  /** The FHIR base URL of the server, as configured. */
  readonly fhirBaseUrl: Effect.Effect<string, E, R>
  /** The retry policy of the call, else that of the client's layer. */
  readonly retryPolicy: Effect.Effect<RetryPolicy.Policy>
}

/**
 * FHIR clients for tokens, sessions and backend services.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** With tokens that the caller renews. */
  readonly forTokens: <V extends FhirVersion = "R4">(
    client: SmartClient.Service,
    tokens: TokenSet,
    options?: RequestOptions
  ) => Authorized<never, never, V>
  /** With the tokens of a session, renewed when necessary. */
  readonly forSession: <V extends FhirVersion = "R4">(
    id: Sessions.SessionId,
    options?: RequestOptions
  ) => Authorized<Sessions.SessionFailure, Sessions.Sessions, V>
  /** With the tokens of the backend service at a server. */
  readonly forBackend: <V extends FhirVersion = "R4">(
    request?: BackendServices.Request & RequestOptions
  ) => Authorized<BackendServices.BackendError, BackendServices.BackendServices, V>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class FhirClient extends Context.Tag("effect-safire/FhirClient")<FhirClient, Service>() {}

/** A stream cannot tell a 304 from an empty body. */
const NOT_DOWNLOADED = {
  reason: "InvalidRequest",
  detail: "HTTP status 304 to a download with a condition; use `open` or `request`, which return it as a response",
  processed: "no"
} as const

/**
 * Makes the service. It sends requests with the `HttpClient` of its environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const transport = yield* FhirRequester.transport

  const authorized = <E, R, V extends FhirVersion>(
    source: TokenSource.TokenSource<E, R>,
    options: RequestOptions | undefined
  ): Authorized<E, R, V> => {
    const requester = FhirRequester.make(transport, source, options)
    const interactions = Interaction.make<E, R, V>(requester)
    const references = Reference.make<E, R, V>(requester)
    return {
      ...interactions,
      ...references,
      ...Operation.make<E, R, V>(requester),
      ...Search.make<E, R, V>(requester),
      ...History.make<E, R, V>(requester),
      ...Bundle.make<E, R, V>(requester),
      ...Binary.make<E, R, V>(requester),
      ...LaunchResources.make<E, R, V>(requester, interactions, references),
      request: (request) =>
        Effect.map(requester.send(request), ({ body, headers, json, status, url }) => ({
          body,
          headers,
          json,
          status,
          url
        })),
      open: requester.open,
      download: (request) =>
        Stream.unwrapScoped(
          Effect.flatMap(requester.open(request), ({ body, fail, status }) =>
            status === 304 ? fail({ ...NOT_DOWNLOADED, status }) : Effect.succeed(body))
        ),
      httpClient: BearerRequest.makeClient<E, R>(client, {
        authorization: Effect.flatMap(
          source.authorization,
          ({ client: { config }, tokens }) =>
            Effect.map(TokenSource.obtain(tokens), ({ accessToken, context, fhirBaseUrl }) => ({
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
    forTokens: <V extends FhirVersion>(smart: SmartClient.Service, tokens: TokenSet, options?: RequestOptions) =>
      authorized<never, never, V>({
        server: Effect.succeed(smart),
        tokens: Effect.succeed(tokens),
        authorization: Effect.succeed({ client: smart, tokens }),
        tokenAfter: (rejected) => Effect.succeed(rejected)
      }, options),
    forSession: <V extends FhirVersion>(id: Sessions.SessionId, options?: RequestOptions) =>
      authorized<Sessions.SessionFailure, Sessions.Sessions, V>({
        server: withService(Sessions.Sessions, (sessions) => sessions.client(id)),
        tokens: withService(Sessions.Sessions, (sessions) => sessions.tokens(id)),
        authorization: withService(Sessions.Sessions, (sessions) => sessions.authorization(id)),
        tokenAfter: (rejected) => withService(Sessions.Sessions, (sessions) => sessions.accessTokenAfter(id, rejected))
      }, options),
    forBackend: <V extends FhirVersion>(
      { foreignOrigins, headers, rebaseLinks, ...request }: BackendServices.Request & RequestOptions = {}
    ) =>
      authorized<BackendServices.BackendError, BackendServices.BackendServices, V>({
        server: withService(BackendServices.BackendServices, (backend) => backend.client(request)),
        tokens: withService(BackendServices.BackendServices, (backend) => backend.tokens(request)),
        authorization: withService(
          BackendServices.BackendServices,
          (backend) => Effect.map(backend.client(request), (client) => ({ client, tokens: backend.tokens(request) }))
        ),
        tokenAfter: (rejected) =>
          withService(BackendServices.BackendServices, (backend) => backend.accessTokenAfter(rejected, request))
      }, { foreignOrigins, headers, rebaseLinks })
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
