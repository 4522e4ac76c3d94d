/**
 * How long one attempt may take and how much an answer may hold. A time limit covers the body, not only the headers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"

/**
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
  /** Bytes of a metadata or token answer, after decompression. Default 1 MiB. */
  readonly maxResponseBytes: number
  /** Bytes of a FHIR answer. Default 64 MiB. */
  readonly maxFhirResponseBytes: number
}

/**
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
 * Given to a service's layer it holds for that service, given to a call it holds for that call.
 *
 * @since 0.1.0
 * @category tags
 */
export class HttpLimits extends Context.Reference<HttpLimits>()("effect-safire/HttpLimits", {
  defaultValue: (): Limits => defaults
}) {}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (limits: Partial<Limits>): Layer.Layer<never> =>
  Layer.succeed(HttpLimits, { ...defaults, ...limits })
