/**
 * One discovery for many clients and for many processes: `npx tsx examples/shared-metadata-cache/main.ts`.
 *
 * It starts an EHR, and then the app as two processes (`process.ts`), one after the other, each with two clients of
 * that EHR. They share the metadata through a directory here; with `@effect/experimental/Persistence/Redis` it would be
 * a Redis. Clients that are built together in one process share their metadata in memory without it.
 */
import { fileURLToPath } from "node:url"
import * as Command from "@effect/platform/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { SandboxEhr } from "effect-safire/testing"
import * as Sandbox from "../support/sandbox.js"

const main = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const app = Command.make(
    process.execPath,
    "--import",
    "tsx",
    fileURLToPath(new URL("process.ts", import.meta.url))
  ).pipe(
    Command.env({ FHIR_BASE_URL: ehr.fhirBaseUrl, METADATA_DIRECTORY: directory }),
    Command.stdout("inherit"),
    Command.stderr("inherit"),
    Command.exitCode
  )
  yield* Effect.repeatN(app, 1)

  const discoveries = (yield* ehr.requests).filter(({ step }) => step === "discovery")
  yield* Console.log(`${discoveries.length} discovery at the EHR`)
}).pipe(Effect.scoped)

main.pipe(Effect.provide([Sandbox.layer(), NodeContext.layer]), NodeRuntime.runMain)
