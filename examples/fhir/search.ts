import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient, FhirSearch } from "effect-safire"

const heartRates = FhirSearch.all(
  { _count: 100 },
  FhirSearch.reference("subject", "Patient/patient-alpha"),
  FhirSearch.token("code", { system: "http://loinc.org", code: "8867-4" }),
  FhirSearch.date("date", { ge: "2024-01-01", lt: "2025-01-01" }),
  FhirSearch.sort("-date")
)

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  return yield* fhir.search("Observation", heartRates).pipe(
    Stream.map(({ effectiveDateTime, valueQuantity }) => `${effectiveDateTime}: ${valueQuantity?.value}`),
    Stream.runCollect
  )
})
