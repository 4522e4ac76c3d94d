import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { FhirClient } from "effect-safire"

const Data = Schema.Struct({ Patient: Schema.Struct({ birthDate: Schema.String }) })

export const birthDate = (id: string) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    const query = "query($id: ID!) { Patient(id: $id) { birthDate } }"
    const { data } = yield* fhir.graphql(query, { variables: { id }, schema: Data })
    return data.Patient.birthDate
  })
