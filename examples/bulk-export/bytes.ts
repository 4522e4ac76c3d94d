/** All resources of an export in one file, as the server wrote them, for a program that keeps no checkpoint. */
import { createWriteStream } from "node:fs"
import * as NodeSink from "@effect/platform-node/NodeSink"
import * as Data from "effect/Data"
import * as Stream from "effect/Stream"
import { BulkExport, type FhirClient } from "effect-safire"

/** The file could not be written. */
export class FileError extends Data.TaggedError("FileError")<{ readonly path: string; readonly cause: unknown }> {
  override get message(): string {
    return `${this.path} could not be written`
  }
}

export const toFile = <E, R>(fhir: FhirClient.Authorized<E, R>, path: string, options: BulkExport.Options = {}) =>
  BulkExport.runLines(fhir, options).pipe(
    Stream.map(({ bytes }) => bytes),
    Stream.run(NodeSink.fromWritable(() => createWriteStream(path), (cause) => new FileError({ path, cause })))
  )
