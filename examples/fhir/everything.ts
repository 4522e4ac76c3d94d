import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient } from "effect-safire"

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  return yield* fhir.operationStream("$everything", { on: "Patient/patient-alpha" }).pipe(
    Stream.filter((resource) => resource.resourceType === "Condition"),
    Stream.runCount
  )
})
