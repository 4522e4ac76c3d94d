/**
 * The SMART configuration of a FHIR server (SMART App Launch 2.2, "Retrieve .well-known/smart-configuration";
 * requirements 29, 226, 227): fetched when it is first needed, cached, one request for concurrent callers.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as BoundedMap from "../base/BoundedMap.js"
import { mapFailure } from "../base/CatchFailure.js"
import { ConformanceWarning, ConformanceWarnings, type Service as Warnings } from "../base/ConformanceWarning.js"
import { eitherOnDefect } from "../base/FailOnDefect.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import * as MediaType from "../base/MediaType.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import { DiscoveryError } from "./DiscoveryError.js"
import * as DocumentRequest from "./internal/documentRequest.js"
import type { LegacyMetadata, Steps } from "./LegacyMetadata.js"
import * as PublishedDocument from "./PublishedDocument.js"
import { fromDocument, type SmartConfiguration } from "./SmartConfiguration.js"

/**
 * Options of one call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /**
   * A source of metadata for a server without a SMART configuration: `LegacyMetadata.capabilityStatement`. Default:
   * such a server causes a `DiscoveryError`.
   */
  readonly legacyMetadata?: LegacyMetadata | undefined
}

/**
 * Fetches and caches SMART configurations. Failures are `DiscoveryError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached configuration while it is fresh, else a fetched one. */
  readonly configuration: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Fetches the configuration again. A failure leaves the cached one. */
  readonly refresh: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Removes the configuration from the cache: the next call fetches it, even if a fetch is under way. */
  readonly invalidate: (fhirBaseUrl: string) => Effect.Effect<void>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Discovery extends Context.Tag("effect-safire/Discovery")<Discovery, Service>() {}

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a response without `Cache-Control` and `Expires` is fresh. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for `Cache-Control` and `Expires`. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  /** The upper bound. Default 1 day. */
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** How long a configuration that is no longer fresh is used while its server fails. Default 1 day; 0 disables it. */
  readonly staleIfError?: Duration.DurationInput | undefined
  /** How long a failure is cached, so that a failing server gets few requests. Default 3 seconds. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  /** How many configurations are cached. Default 10,000. */
  readonly capacity?: number | undefined
}

/** Parsed FHIR base URLs. To parse a URL twice would cost as much as the rest of a cached lookup. */
const parsed = BoundedMap.make<{ readonly id: string; readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl }>(1_000)

/** Calls `use` with a valid URL and the normalised one that identifies its document. */
const withFhirBaseUrl = <A>(
  input: string,
  use: (id: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl) => Effect.Effect<A, DiscoveryError>
): Effect.Effect<A, DiscoveryError> => {
  const known = parsed.get(input)
  if (known !== undefined) return use(known.id, known.fhirBaseUrl)
  return Either.match(FhirBaseUrl.parse(input), {
    onLeft: (problem) => {
      const url = Url.forDisplay(input)
      return new DiscoveryError({
        reason: "InvalidUrl",
        fhirBaseUrl: url,
        url,
        detail: `it is not a FHIR base URL (${problem})`
      })
    },
    onRight: (fhirBaseUrl) => {
      const id = FhirBaseUrl.key(fhirBaseUrl)
      parsed.set(input, { id, fhirBaseUrl })
      return use(id, fhirBaseUrl)
    }
  })
}

const ACCEPT = "application/json, application/fhir+json;q=0.9"

const contentTypeWarnings = (
  server: string,
  response: ReceivedResponse
): ReadonlyArray<ConformanceWarning> => {
  const type = MediaType.of(response.headers)?.toLowerCase()
  return MediaType.isJson(type) ? [] : [
    new ConformanceWarning({
      code: "MetadataContentType",
      server,
      detail: `the SMART configuration has the content type ${type ?? "(none)"}`,
      requirement: "374"
    })
  ]
}

const deviationWarnings = (
  { deviations, fhirBaseUrl: server }: SmartConfiguration
): ReadonlyArray<ConformanceWarning> =>
  deviations.map(({ expected, member, problem }) =>
    new ConformanceWarning(
      problem === "Relative"
        ? {
          code: "MetadataEndpointRelative",
          server,
          detail: `${member} is relative; it was resolved`,
          requirement: "379"
        }
        : { code: "MetadataMemberMalformed", server, detail: `${member} is not ${expected}; it counts as absent` }
    )
  )

/** One attempt to fetch the configuration (requirements 226, 227, 374 and 379). */
const fetchConfiguration = (
  client: HttpClient.HttpClient,
  warnings: Warnings,
  fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
  { allowInsecureLocalhost, legacyMetadata }: Request = {}
): Effect.Effect<PublishedDocument.Loaded<SmartConfiguration>, DiscoveryError> => {
  const errorOf = (problem: DocumentRequest.Problem): DiscoveryError => new DiscoveryError({ fhirBaseUrl, ...problem })

  const request: Steps["request"] = (path, accept, limits) => {
    const url = FhirBaseUrl.append(fhirBaseUrl, path)
    return mapFailure(DocumentRequest.request({ client, url, accept, limits, allowInsecureLocalhost }), errorOf)
  }

  const decode: Steps["decode"] = (members, { declaredMaxAge, response }, others, source) =>
    Effect.flatMap(
      eitherOnDefect(
        () => Either.right(fromDocument(fhirBaseUrl, members, source)),
        (exception) => {
          const { status, url } = response
          return errorOf({ reason: "NotObject", url, detail: `the document cannot be read (${exception})`, status })
        }
      ),
      (value) => {
        const found = [...deviationWarnings(value), ...others]
        const loaded = { value, declaredMaxAge }
        return found.length === 0
          ? Effect.succeed(loaded)
          : Effect.as(Effect.forEach(found, warnings.report, { discard: true }), loaded)
      }
    )

  return Effect.flatMap(request(".well-known/smart-configuration", ACCEPT, "metadata"), (response) => {
    const parsed = DocumentRequest.parse(response, unsafeMillis())
    if (Either.isRight(parsed)) {
      return decode(parsed.right.members ?? {}, parsed.right, contentTypeWarnings(fhirBaseUrl, response))
    }
    return legacyMetadata === undefined
      ? errorOf(parsed.left)
      : legacyMetadata.find({ fhirBaseUrl, request, decode, errorOf }, parsed.left, response)
  }).pipe(span("Discovery.fetch", { kind: "client", attributes: { "smart.fhir_base_url": fhirBaseUrl } }))
}

/**
 * As `make`, with a store that processes share.
 *
 * @internal
 */
export const makeWith = (
  options: Options,
  shared?: PublishedDocument.SharedStore<SmartConfiguration> | undefined
): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const warnings = yield* ConformanceWarnings
    const documents = yield* PublishedDocument.make<SmartConfiguration, DiscoveryError>({
      ...options,
      capacity: options.capacity ?? 10_000,
      failureTimeToLive: options.failureTimeToLive ?? "3 seconds",
      staleIfError: {
        duration: options.staleIfError ?? "1 day",
        // After a 404 the server no longer supports SMART.
        accepts: ({ reason }) => reason !== "NotFound",
        report: ({ fhirBaseUrl, reason }) =>
          warnings.report(
            new ConformanceWarning({
              code: "MetadataStale",
              server: fhirBaseUrl,
              detail: `the SMART configuration could not be fetched (${reason}); the last valid one is used`
            })
          )
      },
      shared
    })
    const call = (method: "get" | "refresh"): Service["configuration"] => (input, request) =>
      withFhirBaseUrl(input, (id, fhirBaseUrl) =>
        documents[method](
          PublishedDocument.cacheKey(id, request),
          () => fetchConfiguration(client, warnings, fhirBaseUrl, request)
        ))
    return {
      configuration: call("get"),
      refresh: call("refresh"),
      invalidate: (input) =>
        Either.match(FhirBaseUrl.parse(input), {
          onLeft: () => Effect.void,
          onRight: (fhirBaseUrl) => documents.invalidate(FhirBaseUrl.key(fhirBaseUrl))
        })
    }
  })

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> => makeWith(options)

/** @internal */
export const shared = perHttpClient(Discovery, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient`, equal options and the same
 * settings (`RetryPolicy` …). Call it for each use: Effect builds a layer that is bound to a `const` once, with the
 * `HttpClient` of its first use.
 *
 * @example
 * import { Discovery } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const withDiscovery = Layer.provide(Discovery.layer({ timeToLive: "5 minutes" }))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Discovery, never, HttpClient.HttpClient> =>
  shared.layer(options)
