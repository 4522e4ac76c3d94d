/**
 * A program that exports and keeps every resource together with its checkpoint, to be killed at any moment:
 * `exportingProcess.ts <origin> <file>`.
 */
import * as Fs from "node:fs"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BulkExport from "../../src/fhir/BulkExport.js"
import { over } from "./fixtures.js"

const Kept = Schema.parseJson(Schema.Struct({ ids: Schema.Array(Schema.Unknown), checkpoint: BulkExport.Checkpoint }))

const [, , origin = "", path = ""] = process.argv

const keep = (kept: typeof Kept.Type) =>
  Effect.map(Schema.encode(Kept)(kept), (text) => {
    // As a database transaction would do it: all of it, or nothing.
    Fs.writeFileSync(`${path}.new`, text)
    Fs.renameSync(`${path}.new`, path)
  })

const program = Effect.gen(function*() {
  const before = Fs.existsSync(path) ? yield* Schema.decode(Kept)(Fs.readFileSync(path, "utf8")) : undefined
  const ids = [...before?.ids ?? []]
  const fhir = yield* over(NodeHttpClient.layerUndici, { fhirBaseUrl: `${origin}/fhir` })
  yield* BulkExport.run(fhir, {
    from: before?.checkpoint,
    onCheckpoint: (checkpoint) => Effect.orDie(keep({ ids, checkpoint }))
  }).pipe(
    Stream.runForEach(({ checkpoint, resource }) => {
      ids.push(resource["id"])
      return keep({ ids, checkpoint })
    })
  )
})

Effect.runPromise(Effect.scoped(program)).then(() => process.exit(0), () => process.exit(1))
