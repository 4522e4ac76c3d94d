import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import { BackendServices } from "effect-safire"

/** The client sends the token to the FHIR base URL only, and renews it when necessary. */
export const countPatients = (fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const backend = yield* BackendServices.BackendServices
    const client = HttpClient.filterStatusOk(backend.httpClient())
    const response = yield* client.get(`${fhirBaseUrl}/Patient?_summary=count`)
    const bundle = (yield* response.json) as { readonly total?: number }
    return bundle.total
  })
