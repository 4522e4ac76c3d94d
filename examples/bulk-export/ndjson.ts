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
  lengths: Schema.Record({ key: Schema.String, value: Schema.Number }),
  isComplete: Schema.Boolean
}))

const attempt = <A>(path: string, run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new WriteError({ path, cause }) })

/** Replaces the file atomically. */
const replace = (path: string, text: string) =>
  attempt(path, async () => {
    await writeFile(`${path}.new`, text, { flush: true })
    await rename(`${path}.new`, path)
  })

/** The text of the file; `undefined` if it does not exist. */
const read = (path: string) =>
  attempt(path, () =>
    readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined
      throw error
    }))

const write = (path: string, flags: "w" | "a", bytes: Uint8Array) =>
  Effect.acquireUseRelease(
    attempt(path, () => open(path, flags)),
    (file) =>
      attempt(path, async () => {
        await file.appendFile(bytes)
        await file.sync()
        return (await file.stat()).size
      }),
    (file) => Effect.promise(() => file.close())
  )

/**
 * Writes `Patient.ndjson`, `Observation.ndjson` and so on into a directory; resumes an export that was interrupted. A
 * complete export is not repeated: the next one needs another directory.
 */
export const toNdjson = <E, R>(
  fhir: FhirClient.Authorized<E, R>,
  directory: string,
  options: BulkExport.BatchOptions = {}
) =>
  Effect.gen(function*() {
    const statePath = join(directory, "state.json")
    const pathOf = (name: string) => join(directory, `${name}.ndjson`)
    const stored = yield* read(statePath)
    const state = stored === undefined ? undefined : yield* Schema.decode(State)(stored)
    let lengths = state?.lengths ?? {}
    if (state?.isComplete === true) return lengths
    let last = state?.checkpoint
    yield* Effect.forEach(Object.entries(lengths), ([name, length]) =>
      attempt(pathOf(name), () => truncate(pathOf(name), length)))
    const save = (checkpoint: BulkExport.Checkpoint, isComplete = false) => {
      last = checkpoint
      return Effect.flatMap(Effect.orDie(Schema.encode(State)({ checkpoint, lengths, isComplete })), (text) =>
        replace(statePath, text))
    }

    yield* BulkExport.runForEachBatch(fhir, ({ checkpoint, lines }) =>
      Effect.gen(function*() {
        const parts = new Map<string, Array<Uint8Array>>()
        for (const { bytes, kind, resourceType } of lines) {
          // The server chooses the type, which becomes the name of a file.
          const type = /^[A-Za-z]{1,64}$/.test(resourceType) ? resourceType : "Resource"
          const name = kind === "output" ? type : kind
          const all = parts.get(name) ?? []
          all.push(bytes)
          parts.set(name, all)
        }
        for (const [name, all] of parts) {
          // A file without a stored length may be left from a kill.
          const flags = lengths[name] === undefined ? "w" : "a"
          lengths = { ...lengths, [name]: yield* write(pathOf(name), flags, Buffer.concat(all)) }
        }
        yield* save(checkpoint)
      }), {
      batchSize: 20_000,
      ...options,
      from: state?.checkpoint,
      onStart: (checkpoint) =>
        Effect.orDie(save(checkpoint)),
      onFinish: "keep"
    })
    if (last !== undefined) {
      // Before the deletion: without the export, the program could not resume.
      yield* save(last, true)
      yield* Effect.ignoreLogged(BulkExport.remove(fhir, last.job))
    }
    return lengths
  })
