/**
 * What a server did that its specification does not allow and that was tolerated: strict on security, lenient on shape, and nothing silent.
 * Every warning goes to the log, to a metric and to whoever subscribed.
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
  "FhirUserMalformed"
)

/**
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
    /** The FHIR base URL of the server, or its endpoint where that is all that is known. */
    server: Schema.String,
    detail: Schema.String,
    /** Number of the requirement in `hl7.fhir.uv.smart-app-launch_2.2.0`, where it has one. */
    requirement: Schema.optional(Schema.String)
  }
) {
  get message(): string {
    return `${this.server}: ${this.detail}${this.requirement === undefined ? "" : ` [${this.requirement}]`}`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly report: (warning: ConformanceWarning) => Effect.Effect<void>
  /** What is reported from the moment of subscription on. A slow subscriber loses the oldest, never slows a login. */
  readonly stream: Stream.Stream<ConformanceWarning>
}

/**
 * For a step that holds tokens: a service of the caller's that dies must not lose them.
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
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service> = Effect.map(
  PubSub.sliding<ConformanceWarning>(256),
  (hub): Service => {
    // A sloppy server would otherwise write the same line at every renewal: the first is a warning, the rest are for debugging.
    const seen = new Set<string>()
    return {
      report: (warning) =>
        Effect.suspend(() => {
          const key = `${warning.server} ${warning.code} ${warning.detail}`
          const repeated = seen.has(key)
          if (seen.size < 1_000) seen.add(key)
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
 * One for the whole process unless a layer gives another. Read when a service is built.
 *
 * @since 0.1.0
 * @category tags
 */
export class ConformanceWarnings extends Context.Reference<ConformanceWarnings>()("effect-safire/ConformanceWarnings", {
  defaultValue: (): Service => Effect.runSync(make)
}) {}

/**
 * A fresh one, for a program or a test that wants its own subscribers.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never> = Layer.effect(ConformanceWarnings, make)
