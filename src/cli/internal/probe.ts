/**
 * A probe of one server with a client's first request: whether clients can use it, and how its SMART configuration
 * deviates from SMART App Launch 2.2.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { type ConformanceWarning, ConformanceWarnings } from "../../base/ConformanceWarning.js"
import * as HttpLimits from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import * as Capabilities from "../../server/Capabilities.js"
import * as Conformance from "../../server/Conformance.js"
import * as Discovery from "../../server/Discovery.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import { type Finding, finding, type Severity } from "../../server/Finding.js"
import * as LegacyMetadata from "../../server/LegacyMetadata.js"
import { endpoint, type SmartConfiguration } from "../../server/SmartConfiguration.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Probe {
  readonly fhirBaseUrl: string
  readonly result: Either.Either<ProbeResult, DiscoveryError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ProbeResult {
  readonly configuration: SmartConfiguration
  /** Errors first. */
  readonly findings: ReadonlyArray<Finding<string>>
  /** Reasons why no client can get a token from this server. Empty where some client can. */
  readonly blockers: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ProbeOptions {
  readonly allowInsecureLocalhost: boolean
  readonly timeout: Duration.DurationInput
}

/**
 * Whether some client of this library can get a token from this server.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUsable = ({ result }: Probe): boolean => Either.isRight(result) && result.right.blockers.length === 0

/**
 * Whether the server has a finding of the severity `error`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const hasErrors = ({ result }: Probe): boolean =>
  Either.isRight(result) && result.right.findings.some(({ severity }) => severity === "error")

const RANK: Record<Severity, number> = { error: 0, warning: 1, information: 2 }

/** The content type is in the response, not in the document. */
const fromWarnings = (warnings: ReadonlyArray<ConformanceWarning>): ReadonlyArray<Finding<string>> =>
  warnings.filter(({ code }) => code === "MetadataContentType").map(({ detail, requirement }) =>
    finding("ContentTypeWrong", "warning", undefined, requirement, detail, "respond with application/json")
  )

const findBlockers = (configuration: SmartConfiguration, options: ProbeOptions) =>
  Effect.gen(function*() {
    const token = yield* Effect.either(endpoint(configuration, "tokenEndpoint", options))
    if (Either.isLeft(token)) return [token.left.detail]
    const authorization = yield* Effect.either(endpoint(configuration, "authorizationEndpoint", options))
    return Either.isRight(authorization) || Capabilities.supportsBackendServices(configuration)
      ? []
      : [`${authorization.left.detail}, and the server does not support backend services`]
  })

/**
 * Probes a server with one attempt, so that the result is its current response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  fhirBaseUrl: string,
  options: ProbeOptions
): Effect.Effect<Probe, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const warnings: Array<ConformanceWarning> = []
    const discovery = yield* Effect.provideService(Discovery.make(), ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void warnings.push(warning)),
      stream: Stream.empty
    })
    const found = yield* discovery.configuration(fhirBaseUrl, {
      allowInsecureLocalhost: options.allowInsecureLocalhost,
      legacyMetadata: LegacyMetadata.capabilityStatement
    }).pipe(
      RetryPolicy.withPolicy(RetryPolicy.none),
      Effect.provide(HttpLimits.layer({ discoveryTimeout: options.timeout })),
      Effect.either
    )
    if (Either.isLeft(found)) return { fhirBaseUrl, result: Either.left(found.left) }
    const configuration = found.right
    const findings = [...Conformance.findings(configuration, options), ...fromWarnings(warnings)]
    return {
      fhirBaseUrl,
      result: Either.right({
        configuration,
        findings: findings.sort((a, b) => RANK[a.severity] - RANK[b.severity]),
        blockers: yield* findBlockers(configuration, options)
      })
    }
  })
