import * as Effect from "effect/Effect"
import { FhirClient } from "effect-safire"

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  return yield* fhir.searchTotal("Patient")
})
