import * as Effect from "effect/Effect"
import { FhirClient } from "effect-safire"

export const program = (id: string) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    return yield* fhir.read("Patient", id)
  }).pipe(
    Effect.map(({ id }) => `found ${id}`),
    Effect.catchTag("FhirError", (error) => {
      switch (error.reason) {
        case "NotFound":
        case "Gone":
          return Effect.succeed("the patient does not exist")
        case "Forbidden":
          return Effect.succeed(`the scope ${error.requiredScope ?? ""} is missing`)
        default:
          return Effect.fail(error)
      }
    })
  )
