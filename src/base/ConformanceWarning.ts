/**
 * A deviation of a server from its specification that the library tolerated: it is strict about security and lenient
 * about the shape of data. Every warning goes to the log, to a metric and to the subscribers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/**
 * The closed set of tolerated deviations.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Code = Schema.Literal(
  "MetadataMemberMalformed",
  "MetadataEndpointRelative",
  "MetadataContentType",
  "MetadataStale",
  "MetadataLegacy",
  "PkceNotAdvertised",
  "IssuerUnknown",
  "IssuerShared",
  "TokenContentType",
  "TokenMemberMalformed",
  "TokenTypeMissing",
  "ExpiresInNotNumber",
  "ExpiresInMissing",
  "ScopeMissing",
  "ScopeNotString",
  "ScopeNotGranted",
  "ScopeNotNarrowed",
  "LaunchContextLegacy",
  "LaunchContextMalformed",
  "PatientMissing",
  "IdTokenMissing",
  "IdTokenNonceMissing",
  "IdTokenUnverifiable",
  "IdTokenInvalid",
  "IdTokenAlgorithmUnlisted",
  "FhirUserMissing",
  "FhirUserMalformed",
  "ExportCountWrong",
  "CapabilityUnlisted",
  "RegistrationChanged"
)

/**
 * The code of a warning: which deviation was tolerated.
 *
 * @since 0.1.0
 * @category models
 */
export type Code = typeof Code.Type

/**
 * One tolerated deviation. `detail` names members and rules, never values that could be secret.
 *
 * @since 0.1.0
 * @category models
 */
export class ConformanceWarning extends Schema.TaggedClass<ConformanceWarning>("effect-safire/ConformanceWarning")(
  "ConformanceWarning",
  {
    code: Code,
    /** The FHIR base URL of the server, or its endpoint if only that is known. */
    server: Schema.String,
    detail: Schema.String,
    /** Number of the requirement in `hl7.fhir.uv.smart-app-launch_2.2.0`, if there is one. */
    requirement: Schema.optional(Schema.String)
  }
) {
  get message(): string {
    return `${this.server}: ${this.detail}${this.requirement === undefined ? "" : ` [${this.requirement}]`}`
  }
}

/**
 * Receives the warnings of the library.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly report: (warning: ConformanceWarning) => Effect.Effect<void>
  /** The warnings from the subscription on. A slow subscriber loses the oldest warnings and does not delay a login. */
  readonly stream: Stream.Stream<ConformanceWarning>
}

/**
 * `report` for a step that holds tokens: a defect of a custom service must not lose them.
 *
 * @internal
 */
export const reportSafely = (service: Service, warning: ConformanceWarning): Effect.Effect<void> =>
  Effect.catchAllDefect(
    Effect.suspend(() => service.report(warning)),
    () => Effect.logWarning(`a conformance warning could not be reported: ${warning.message}`)
  )

const counter = Metric.counter("effect_safire_conformance_warnings_total", {
  description: "Deviations from SMART App Launch that were tolerated, by code",
  incremental: true
})

/**
 * Makes a service that logs and counts each warning, and publishes it on `stream`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service> = Effect.map(
  PubSub.sliding<ConformanceWarning>(256),
  (hub): Service => {
    // The same deviation recurs at every renewal: the first is logged as a warning, repetitions for debugging.
    const reported = new Set<string>()
    return {
      report: (warning) =>
        Effect.suspend(() => {
          const key = `${warning.server} ${warning.code} ${warning.detail}`
          const repeated = reported.has(key)
          if (reported.size < 1_000) reported.add(key)
          const line = (repeated ? Effect.logDebug(warning.message) : Effect.logWarning(warning.message)).pipe(
            Effect.annotateLogs("code", warning.code)
          )
          return line.pipe(
            Effect.zipRight(Metric.increment(Metric.tagged(counter, "code", warning.code))),
            Effect.zipRight(PubSub.publish(hub, warning))
          )
        }),
      stream: Stream.fromPubSub(hub)
    }
  }
)

/**
 * The service; one for the whole process unless a layer provides another. Read when a service is built.
 *
 * @since 0.1.0
 * @category tags
 */
export class ConformanceWarnings extends Context.Reference<ConformanceWarnings>()("effect-safire/ConformanceWarnings", {
  defaultValue: (): Service => Effect.runSync(make)
}) {}

/**
 * A new service, for a program or a test with its own subscribers.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never> = Layer.effect(ConformanceWarnings, make)
