/** Without `@types/fhir`: a resource is JSON with its resource type, and not `any`. */
import type * as Effect from "effect/Effect"
import type { FhirClient } from "effect-safire"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
type Assert<T extends true> = T

export const calls = (fhir: FhirClient.Authorized, r5: FhirClient.Authorized<never, never, "R5">) => ({
  patient: fhir.read("Patient", "1"),
  r5: r5.read("Patient", "1"),
  any: fhir.readReference("Patient/1"),
  created: fhir.create({ resourceType: "Patient", name: [{ family: "x" }] }),
  // @ts-expect-error A resource has a type.
  invalid: fhir.create({ name: [] }),
  entries: fhir.transaction([{ method: "POST", url: "Patient", resource: { resourceType: "Patient", name: [] } }])
})

type Result<Name extends keyof ReturnType<typeof calls>> = Effect.Effect.Success<ReturnType<typeof calls>[Name]>

export type Assertions = [
  Assert<Equal<Result<"patient">["resourceType"], "Patient">>,
  Assert<Equal<Result<"patient">["name"], unknown>>,
  Assert<Equal<Result<"r5">["resourceType"], "Patient">>,
  Assert<Equal<Result<"any">, FhirClient.Resource>>
]
