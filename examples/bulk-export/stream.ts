/** The resources as a stream, for a program that keeps no checkpoint. */
import * as Stream from "effect/Stream"
import { BulkExport, type FhirClient } from "effect-safire"

export const vitalSigns = <E, R>(fhir: FhirClient.Authorized<E, R>, since: string) =>
  BulkExport.run(fhir, {
    of: { group: "diabetes" },
    types: ["Observation"],
    since,
    typeFilters: ["Observation?category=vital-signs"]
  }).pipe(
    Stream.filter(({ kind }) => kind === "output"),
    Stream.map(({ resource }) => resource)
  )
