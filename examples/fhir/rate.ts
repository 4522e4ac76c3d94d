import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FhirClient, RateLimit } from "effect-safire"

/** At each server: 8 requests at the same time, and 600 in any minute. */
export const FhirLive = FhirClient.layer.pipe(
  Layer.provide(RateLimit.layer({ concurrency: 8, requests: 600, interval: "1 minute" }))
)

export const program = (ids: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    return yield* Effect.forEach(ids, (id) => fhir.read("Patient", id), { concurrency: "unbounded" })
  })
