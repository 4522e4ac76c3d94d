import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { FhirClient } from "effect-safire"

const Patient = Schema.Struct({ id: Schema.String, birthDate: Schema.String })

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  const patient = yield* fhir.read("Patient", "patient-alpha")
  const family = patient.name?.[0]?.family
  const { birthDate } = yield* fhir.read("Patient", "patient-alpha", { schema: Patient })
  return { family, birthDate }
})
