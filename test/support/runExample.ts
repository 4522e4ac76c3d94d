/**
 * Runs a program of `examples/` in a new process, as a user does.
 */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

export const root = new URL("../../", import.meta.url).pathname

export interface ExampleResult {
  readonly code: number | null
  /** The text of both outputs. */
  readonly output: string
}

/** `path` is relative to `examples/`; `onText` gets each piece of output. */
export const runExample = (
  path: string,
  options: {
    readonly args?: ReadonlyArray<string>
    readonly environment?: Readonly<Record<string, string>>
    readonly onText?: (text: string) => void
  } = {}
): Effect.Effect<ExampleResult> =>
  Effect.async((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", `examples/${path}`, ...options.args ?? []], {
      cwd: root,
      env: { PATH: process.env["PATH"] ?? "", ...options.environment }
    })
    let output = ""
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString()
      options.onText?.(data.toString())
    })
    child.stderr.on("data", (data: Buffer) => {
      output += data.toString()
    })
    child.on("close", (code) => resume(Effect.succeed({ code, output })))
    return Effect.sync(() => child.kill())
  })
