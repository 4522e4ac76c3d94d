import * as Effect from "effect/Effect"
import { FhirClient } from "effect-safire"

const patient = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"

/** The server replaces the `urn:uuid` of the patient by its new id. */
export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  const [first, second] = yield* fhir.transaction([
    { method: "POST", url: "Patient", fullUrl: patient, resource: { resourceType: "Patient", gender: "female" } },
    {
      method: "POST",
      url: "Observation",
      resource: {
        resourceType: "Observation",
        status: "final",
        code: { coding: [{ system: "http://loinc.org", code: "8867-4" }] },
        subject: { reference: patient }
      }
    }
  ])
  return [first?.resource?.resourceType, second?.resource?.resourceType]
})
