import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient } from "effect-safire"

/** `reason` of an R5 Encounter is another element than in R4: the compiler knows. */
export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend<"R5">()
  return yield* fhir.search("Encounter").pipe(
    Stream.mapConcat(({ reason }) => reason ?? []),
    Stream.runCount
  )
})
