import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient } from "effect-safire"

/** Stores a document without loading it into memory. */
export const upload = (content: Stream.Stream<Uint8Array, unknown>) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    const { location } = yield* fhir.createBinary({
      contentType: "application/pdf",
      content,
      securityContext: "Patient/patient-alpha"
    })
    return location
  })

/** The size of the document of an Attachment, by its URL. */
export const size = (url: string) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    const { contentType, stream } = yield* fhir.openBinary(url)
    const bytes = yield* Stream.runFold(stream, 0, (total, chunk) => total + chunk.byteLength)
    return { bytes, contentType }
  }).pipe(Effect.scoped)
