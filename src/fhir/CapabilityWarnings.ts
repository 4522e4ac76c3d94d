/**
 * Warnings about FHIR requests that the CapabilityStatement of the server does not list: a `ConformanceWarning` with
 * the code `CapabilityUnlisted`, once for each interaction and parameter. The request is sent all the same, because
 * servers may support more than they list.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as CapabilityStatements from "../server/CapabilityStatements.js"
import { interactionsOf } from "./internal/capabilityInteraction.js"
import type { FhirRequest } from "./internal/fhirMessage.js"

/** Checks a request in the background: it neither delays nor fails the request. */
type Check = (
  server: { readonly fhirBaseUrl: string; readonly allowInsecureLocalhost?: boolean | undefined },
  request: FhirRequest
) => Effect.Effect<void>

/**
 * The check of the `FhirClient`s that are built with it; by default none.
 *
 * @since 0.1.0
 * @category tags
 */
export class CapabilityWarnings extends Context.Reference<CapabilityWarnings>()("effect-safire/CapabilityWarnings", {
  defaultValue: (): Check | undefined => undefined
}) {}

const MAX_REPORTED = 1_000

/**
 * Provide it to `FhirClient.layer`. If the CapabilityStatement cannot be fetched, there are no warnings.
 *
 * @example
 * import { CapabilityStatements, CapabilityWarnings, FhirClient } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const FhirLive = FhirClient.layer.pipe(
 *   Layer.provide(CapabilityWarnings.layer),
 *   Layer.provide(CapabilityStatements.layer())
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never, never, CapabilityStatements.CapabilityStatements> = Layer.fresh(Layer.scoped(
  CapabilityWarnings,
  Effect.gen(function*() {
    const statements = yield* CapabilityStatements.CapabilityStatements
    const warnings = yield* ConformanceWarnings
    const scope = yield* Effect.scope
    const reported = new Set<string>()

    return (server, request) => {
      const interactions = interactionsOf(request)
      if (interactions.length === 0) return Effect.void
      const { allowInsecureLocalhost, fhirBaseUrl } = server
      return statements.capabilities(fhirBaseUrl, { allowInsecureLocalhost }).pipe(
        Effect.flatMap((capabilities) => {
          // One of several codes is enough: a history of a type, or of an instance.
          const missing = interactions.map((interaction) => CapabilityStatements.unlisted(capabilities, interaction))
          if (missing.some((parts) => parts.length === 0)) return Effect.void
          return Effect.forEach(missing[0] ?? [], (part) => {
            const detail = `the CapabilityStatement does not list ${part} for the interaction "${request.interaction}"`
            const key = `${fhirBaseUrl} ${detail}`
            if (reported.has(key) || reported.size >= MAX_REPORTED) return Effect.void
            reported.add(key)
            return warnings.report(
              new ConformanceWarning({ code: "CapabilityUnlisted", server: fhirBaseUrl, detail })
            )
          }, { discard: true })
        }),
        Effect.ignore,
        Effect.forkIn(scope),
        Effect.asVoid
      )
    }
  })
))
