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
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as Url from "../base/Url.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import { DiscoveryError } from "./DiscoveryError.js"
import { fetchConfiguration } from "./internal/fetchConfiguration.js"
import * as PublishedDocument from "./PublishedDocument.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

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
   * Where the server has no SMART configuration (the response is 404, 410, 406 or a web page), use the deprecated
   * `oauth-uris` of its CapabilityStatement, with a warning. Not after a failure of the network. Default false.
   */
  readonly legacyMetadata?: boolean | undefined
}

/**
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
 * @since 0.1.0
 * @category tags
 */
export class Discovery extends Context.Tag("effect-safire/Discovery")<Discovery, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a response without `Cache-Control` and `Expires` is fresh. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for `Cache-Control` and `Expires`. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
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
        accepts: ({ reason }) => reason !== "NotFound" && reason !== "InvalidUrl",
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
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> => makeWith(options)

const shared = perHttpClient(Discovery, make)

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
export const layer = (options: Options = {}): Layer.Layer<Discovery, never, HttpClient.HttpClient> => shared(options)
