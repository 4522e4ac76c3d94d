import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { FhirClient, FhirSearch } from "effect-safire"

/** The position as you store it: a file, a row, a message. */
const Stored = Schema.parseJson(FhirSearch.PagePosition)

export const program = (stored?: string) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forBackend()
    const pages = stored === undefined
      ? fhir.searchPages("Observation", FhirSearch.all({ _count: 2 }, FhirSearch.include("Observation:subject")))
      : fhir.resumeSearch(yield* Schema.decode(Stored)(stored))
    return yield* pages.pipe(
      Stream.mapEffect(({ included, matches, next, total }) =>
        Effect.gen(function*() {
          yield* Effect.logDebug(`${matches.length} of ${total} observations, ${included.length} patients`)
          return next === undefined ? undefined : yield* Schema.encode(Stored)(next)
        })
      ),
      Stream.take(1),
      Stream.runHead
    )
  })
