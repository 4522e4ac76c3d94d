/**
 * A look at one server from outside, as a client would first see it: whether it can be used, and everything that its SMART configuration does against
 * SMART App Launch 2.2.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { ConformanceWarning } from "../../base/ConformanceWarning.js"
import { ConformanceWarnings } from "../../base/ConformanceWarning.js"
import * as HttpLimits from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import * as Discovery from "../../server/Discovery.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import { type Finding, finding, type Severity } from "../../server/Finding.js"
import { endpoint, type SmartConfiguration } from "../../server/SmartConfiguration.js"

/**
 * What came of it: nothing usable was found, or a configuration with all that is to be said about it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Probe {
  readonly fhirBaseUrl: string
  readonly outcome: Either.Either<ProbeResult, DiscoveryError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ProbeResult {
  readonly configuration: SmartConfiguration
  /** The worst first. */
  readonly findings: ReadonlyArray<Finding<string>>
  /** Why no client could get a token here; none where some can. */
  readonly blockers: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly allowInsecureLocalhost: boolean
  readonly timeout: Duration.DurationInput
}

/**
 * Whether some client of this library could get a token at this server.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUsable = ({ outcome }: Probe): boolean => Either.isRight(outcome) && outcome.right.blockers.length === 0

const RANK: Record<Severity, number> = { error: 0, warning: 1, information: 2 }

/** What the transport saw and the document cannot show. */
const fromWarnings = (warnings: ReadonlyArray<ConformanceWarning>): ReadonlyArray<Finding<string>> =>
  warnings.filter(({ code }) => code === "MetadataContentType").map(({ detail, requirement }) =>
    finding("ContentTypeWrong", "warning", undefined, requirement, detail, "answer as application/json")
  )

const obstaclesOf = (configuration: SmartConfiguration, options: Options) =>
  Effect.gen(function*() {
    const token = yield* Effect.either(endpoint(configuration, "tokenEndpoint", options))
    if (Either.isLeft(token)) return [token.left.detail]
    const authorization = yield* Effect.either(endpoint(configuration, "authorizationEndpoint", options))
    return Either.isRight(authorization) || configuration.supportsBackendServices
      ? []
      : [`${authorization.left.detail}, and it does not offer backend services either`]
  })

/**
 * One look, without repeats: what is wanted is what the server answers now.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  fhirBaseUrl: string,
  options: Options
): Effect.Effect<Probe, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const warnings: Array<ConformanceWarning> = []
    const discovery = yield* Effect.provideService(Discovery.make(), ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void warnings.push(warning)),
      stream: Stream.empty
    })
    const found = yield* discovery.configuration(fhirBaseUrl, {
      allowInsecureLocalhost: options.allowInsecureLocalhost,
      legacyMetadata: true
    }).pipe(
      RetryPolicy.withPolicy(RetryPolicy.none),
      Effect.provide(HttpLimits.layer({ discoveryTimeout: options.timeout })),
      Effect.either
    )
    if (Either.isLeft(found)) return { fhirBaseUrl, outcome: Either.left(found.left) }
    const configuration = found.right
    const findings = [...configuration.conformance(options), ...fromWarnings(warnings)]
    return {
      fhirBaseUrl,
      outcome: Either.right({
        configuration,
        findings: findings.sort((a, b) => RANK[a.severity] - RANK[b.severity]),
        blockers: yield* obstaclesOf(configuration, options)
      })
    }
  })
