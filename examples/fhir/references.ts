import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { FhirClient, Reference } from "effect-safire"

/** The encounters with their practitioners and patients: for each page, one request for each type. */
export const program = Effect.gen(function*() {
  const fhir = (yield* FhirClient.FhirClient).forBackend()
  const resolver = fhir.resolver({ timeToLive: "10 minutes" })
  return yield* fhir.searchPages("Encounter", { _count: 50 }, { readAhead: 1 }).pipe(
    Stream.mapEffect(({ matches }) => resolver.resolveAll(matches.flatMap(Reference.collect))),
    Stream.mapConcat((resolved) => Array.from(resolved.values())),
    Stream.filterMap(Either.getRight),
    Stream.map(({ id, resourceType }) => `${resourceType}/${id}`),
    Stream.runCollect
  )
})
