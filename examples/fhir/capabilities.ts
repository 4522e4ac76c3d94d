import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CapabilityStatements, CapabilityWarnings, FhirClient } from "effect-safire"

/** Requests that the server does not list are sent, and cause a warning. */
export const FhirLive = FhirClient.layer.pipe(
  Layer.provide(CapabilityWarnings.layer),
  Layer.provideMerge(CapabilityStatements.layer())
)

export const program = (fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const statements = yield* CapabilityStatements.CapabilityStatements
    const capabilities = yield* statements.capabilities(fhirBaseUrl)
    return CapabilityStatements.unlisted(capabilities, { code: "transaction" }).length === 0
  })
