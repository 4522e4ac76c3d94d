import { spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Sandbox from "../../examples/support/sandbox.js"
import { root } from "../support/runExample.js"

/** `npm run doctor -- <args>` as in a fresh checkout: nothing is built. */
const doctor = (args: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number | null; readonly output: string }>((resume) => {
    const child = spawn("npm", ["run", "--silent", "doctor", "--", ...args], { cwd: root })
    let output = ""
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString()
    })
    child.on("close", (code) => resume(Effect.succeed({ code, output })))
    return Effect.sync(() => child.kill())
  })

describe("`npm run doctor` in a checkout", () => {
  it.scopedLive("probes the server of the argument and passes the exit code on", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl } = yield* Sandbox.start()
      const { code, output } = yield* doctor(["--allow-insecure-localhost", fhirBaseUrl])
      assert.include(output, "✓ Usable: EHR launch, standalone launch, backend services.")
      assert.strictEqual(code, 0)
      assert.strictEqual((yield* doctor([`${fhirBaseUrl}?query`])).code, 2)
    }), 60_000)
})
