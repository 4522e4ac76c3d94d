/** With `@types/fhir`: reads return its interfaces, and the compiler checks the resources of writes. */
import type * as Effect from "effect/Effect"
import type { FhirClient } from "effect-safire"
import type { Bundle, FhirResource, Patient } from "fhir/r4.js"
import type { Patient as PatientR5 } from "fhir/r5.js"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
type Assert<T extends true> = T

export const calls = (
  fhir: FhirClient.Authorized,
  r5: FhirClient.Authorized<never, never, "R5">,
  patient: Patient
) => ({
  patient: fhir.read("Patient", "1"),
  bundle: fhir.read("Bundle", "1"),
  r5: r5.read("Patient", "1"),
  unknown: fhir.read("Unheard", "1"),
  any: fhir.readReference("Patient/1"),
  created: fhir.create(patient),
  inline: fhir.create({ resourceType: "Patient", name: [{ family: "x" }] }),
  // @ts-expect-error A Patient does not have this member.
  invalid: fhir.create({ resourceType: "Patient", nam: [] }),
  entries: fhir.transaction([
    { method: "POST", url: "Patient", resource: { resourceType: "Patient", name: [{ family: "x" }] } },
    { method: "GET", url: "Patient/1" }
  ]),
  // @ts-expect-error A Patient does not have this member.
  invalidEntries: fhir.transaction([{ method: "POST", url: "Patient", resource: { resourceType: "Patient", nam: [] } }])
})

type Result<Name extends keyof ReturnType<typeof calls>> = Effect.Effect.Success<ReturnType<typeof calls>[Name]>

export type Assertions = [
  Assert<Equal<Result<"patient">, Patient>>,
  Assert<Equal<Result<"bundle">, Bundle>>,
  Assert<Equal<Result<"r5">, PatientR5>>,
  Assert<Equal<Result<"unknown">["resourceType"], "Unheard">>,
  Assert<Equal<Result<"any">, FhirResource>>,
  Assert<Equal<Result<"created">["resource"], Patient | undefined>>
]
