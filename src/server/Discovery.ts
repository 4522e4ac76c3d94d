/**
 * From a FHIR base URL to its SMART configuration: fetched when first needed, cached, one request however many ask (SMART App Launch 2.2,
 * "Retrieve .well-known/smart-configuration"; requirements 29, 226, 227).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import { ConformanceWarnings } from "../base/ConformanceWarning.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import type { DiscoveryError } from "./DiscoveryError.js"
import * as WellKnown from "./internal/wellKnown.js"
import * as MetadataCache from "./MetadataCache.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

/**
 * What may differ from one server to the next.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /**
   * Where the server has no SMART configuration (it answers 404, 406 or a page), put up with the deprecated `oauth-uris` of its CapabilityStatement,
   * with a warning. Never after a failure of the network. Default false.
   */
  readonly legacyMetadata?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached document, or a fetched one. */
  readonly configuration: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Fetches anew. A failure leaves what is cached as it is. */
  readonly refresh: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Forgets: the next `configuration` fetches, even if a fetch is under way. */
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
  /** How long a document is fresh that says nothing about it itself. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for what `Cache-Control` and `Expires` may ask. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** How long after its freshness a document still serves while the server fails. Default 1 day; zero: never. */
  readonly staleIfError?: Duration.DurationInput | undefined
  /** How long a failure is remembered, so that a dead server is not hammered. Default 3 seconds. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  /** How many servers are remembered. Default 10,000. */
  readonly capacity?: number | undefined
}

/**
 * @internal
 */
export const makeShared = (
  options: Options,
  shared: MetadataCache.Shared | undefined
): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const warnings = yield* ConformanceWarnings
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    return yield* MetadataCache.make(
      (fhirBaseUrl, request) =>
        WellKnown.fetch(client, warnings, fhirBaseUrl, request).pipe(
          RetryPolicy.retry("always"),
          withPolicy,
          withLimits
        ),
      warnings,
      options,
      shared
    )
  })

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  makeShared(options, undefined)

const shared = perHttpClient(Discovery, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient`, equal options and the same settings (`RetryPolicy` …). Call it
 * for each use: Effect builds a layer that is bound to a `const` once, with the `HttpClient` of its first use.
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
