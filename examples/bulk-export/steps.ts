/** The steps of an export one by one, for a program that distributes them. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BulkExport, type FhirClient } from "effect-safire"

export const countByFile = <E, R>(fhir: FhirClient.Authorized<E, R>) =>
  Effect.gen(function*() {
    let job = yield* BulkExport.start(fhir, { of: "patients", types: ["Patient"] })
    while (!job.isComplete) {
      const status = yield* BulkExport.poll(fhir, job)
      if (status._tag === "Manifest") job = status.job
      else yield* Effect.sleep(status.retryAfter ?? "10 seconds")
    }
    const counts = yield* Effect.forEach(
      job.files,
      (_, index) => Stream.runCount(BulkExport.readFile(fhir, job, index))
    )
    yield* BulkExport.remove(fhir, job)
    return counts
  })
