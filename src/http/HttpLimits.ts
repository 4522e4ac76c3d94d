/**
 * Time and size limits of one attempt. A time limit covers the headers and the body.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"

/**
 * Time and size limits of one attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** One attempt at a metadata document, redirects included. Default 10 seconds. */
  readonly discoveryTimeout: Duration.DurationInput
  /** One request to the token endpoint. Default 30 seconds. */
  readonly tokenTimeout: Duration.DurationInput
  /** One FHIR request. Default 30 seconds. */
  readonly fhirTimeout: Duration.DurationInput
  /** Bytes of a metadata or token response, after decompression. Default 1 MiB. */
  readonly maxResponseBytes: number
  /** Bytes of a FHIR response. Default 64 MiB. */
  readonly maxFhirResponseBytes: number
}

/**
 * The default limits: 10 seconds for metadata, 30 seconds for tokens and FHIR, 1 MiB and 64 MiB.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: Limits = {
  discoveryTimeout: Duration.seconds(10),
  tokenTimeout: Duration.seconds(30),
  fhirTimeout: Duration.seconds(30),
  maxResponseBytes: 1024 * 1024,
  maxFhirResponseBytes: 64 * 1024 * 1024
}

/**
 * Provided to a service's layer, it applies to that service; provided to a call, to that call.
 *
 * @since 0.1.0
 * @category tags
 */
export class HttpLimits extends Context.Reference<HttpLimits>()("effect-safire/HttpLimits", {
  defaultValue: (): Limits => defaults
}) {}

/**
 * Limits of all services that this layer is provided to. Limits that are not given have their defaults.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (limits: Partial<Limits>): Layer.Layer<never> =>
  Layer.succeed(HttpLimits, { ...defaults, ...limits })
