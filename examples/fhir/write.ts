import * as Effect from "effect/Effect"
import { FhirClient, FhirError } from "effect-safire"

const isConflict = (error: unknown) =>
  error instanceof FhirError && (error.reason === "PreconditionFailed" || error.reason === "Conflict")

/** Reads, changes and writes, if the patient is still the same version. */
const rename = <E, R>(fhir: FhirClient.Authorized<E, R>, id: string, family: string) =>
  Effect.gen(function*() {
    const { etag, resource } = yield* fhir.readStored("Patient", id)
    return yield* fhir.update({ ...resource, id, name: [{ family }] }, { ifMatch: etag })
  })

export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  const created = yield* fhir.create({ resourceType: "Patient", name: [{ family: "Old" }] })
  const id = created.resource?.id ?? ""
  yield* rename(fhir, id, "New").pipe(Effect.retry({ times: 1, while: isConflict }))
  yield* fhir.patch("Patient", id, [{ op: "add", path: "/active", value: true }])
  const { active, name } = yield* fhir.read("Patient", id)
  yield* fhir.delete("Patient", id)
  return { active, family: name?.[0]?.family }
})
