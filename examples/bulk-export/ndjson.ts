/**
 * An export as NDJSON files, one for each resource type. The checkpoint has the length of each file: after a kill, the
 * text after the checkpoint is removed, and the export continues from there.
 */
import { open, readFile, rename, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BulkExport, type FhirClient } from "effect-safire"

/** A file could not be written. */
export class WriteError extends Data.TaggedError("WriteError")<{ readonly path: string; readonly cause: unknown }> {
  override get message(): string {
    return `${this.path} could not be read or written`
  }
}

const State = Schema.parseJson(Schema.Struct({
  checkpoint: BulkExport.Checkpoint,
  lengths: Schema.Record({ key: Schema.String, value: Schema.Number })
}))

const attempt = <A>(path: string, run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new WriteError({ path, cause }) })

/** Replaces the file atomically. */
const replace = (path: string, text: string) =>
  attempt(path, async () => {
    await writeFile(`${path}.new`, text, { flush: true })
    await rename(`${path}.new`, path)
  })

const append = (path: string, bytes: Uint8Array) =>
  Effect.acquireUseRelease(
    attempt(path, () => open(path, "a")),
    (file) =>
      attempt(path, async () => {
        await file.appendFile(bytes)
        await file.sync()
        return (await file.stat()).size
      }),
    (file) => Effect.promise(() => file.close())
  )

/** Writes `Patient.ndjson`, `Observation.ndjson` and so on into a directory; resumes an export that was interrupted. */
export const toNdjson = <E, R>(
  fhir: FhirClient.Authorized<E, R>,
  directory: string,
  options: BulkExport.BatchOptions = {}
) =>
  Effect.gen(function*() {
    const statePath = join(directory, "state.json")
    const pathOf = (name: string) => join(directory, `${name}.ndjson`)
    const stored = yield* Effect.option(attempt(statePath, () => readFile(statePath, "utf8")))
    const state = stored._tag === "None" ? undefined : yield* Schema.decode(State)(stored.value)
    let lengths = state?.lengths ?? {}
    yield* Effect.forEach(Object.entries(lengths), ([name, length]) =>
      attempt(pathOf(name), () => truncate(pathOf(name), length)))
    const save = (checkpoint: BulkExport.Checkpoint) =>
      Effect.flatMap(Effect.orDie(Schema.encode(State)({ checkpoint, lengths })), (text) =>
        replace(statePath, text))

    yield* BulkExport.runForEachBatch(fhir, ({ checkpoint, lines }) =>
      Effect.gen(function*() {
        const parts = new Map<string, Array<Uint8Array>>()
        for (const { bytes, kind, resourceType } of lines) {
          // The server chooses the type, which becomes the name of a file.
          const type = /^[A-Za-z]{1,64}$/.test(resourceType) ? resourceType : "Resource"
          const name = kind === "output" ? type : kind
          const all = parts.get(name)
          if (all === undefined) parts.set(name, [bytes])
          else all.push(bytes)
        }
        for (const [name, all] of parts) {
          lengths = { ...lengths, [name]: yield* append(pathOf(name), Buffer.concat(all)) }
        }
        yield* save(checkpoint)
      }), {
      batchSize: 20_000,
      ...options,
      from: state?.checkpoint,
      onStart: (checkpoint) => Effect.orDie(save(checkpoint))
    })
    return lengths
  })
