import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { freePort } from "../support/freePort.js"

const script = fileURLToPath(new URL("../../scripts/bundle-cli.mjs", import.meta.url))

const run = (cwd: string, ...args: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    // With an environment of its own: a package manager says much in the one of this process.
    execFile(process.execPath, [...args], { cwd, env: {} }, (error, out, err) => {
      resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), out, err }))
    })
  })

describe("the bundle", () => {
  it.scopedLive("runs with Node alone, from an empty directory", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-cli-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      assert.deepStrictEqual(yield* run(folder, script, join(folder, "cli.mjs")), { code: 0, out: "", err: "" })
      assert.deepStrictEqual(readdirSync(folder), ["cli.mjs"])
      const version = yield* run(folder, "cli.mjs", "--version")
      assert.strictEqual(version.code, 0)
      assert.match(version.out, /^\d+\.\d+\.\d+/)
      const closed = yield* run(
        folder,
        "cli.mjs",
        "doctor",
        "--json",
        "--allow-insecure-localhost",
        `http://127.0.0.1:${yield* freePort}/fhir`
      )
      assert.deepStrictEqual([closed.code, closed.err], [1, ""])
      assert.propertyVal(JSON.parse(closed.out).error, "detail", "ECONNREFUSED")
      const wrong = yield* run(folder, "cli.mjs", "doctor")
      assert.strictEqual(wrong.code, 2)
    }), 60_000)
})
