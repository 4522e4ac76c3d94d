import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient } from "effect-safire"

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  const { etag } = yield* fhir.readStored("Patient", "patient-alpha")
  const again = yield* fhir.conditionalRead("Patient", "patient-alpha", { ifNoneMatch: etag })
  const versions = yield* fhir.history({ resourceType: "Patient", id: "patient-alpha" }).pipe(Stream.runCount)
  return { isUnchanged: again instanceof FhirClient.NotModified, versions }
})
