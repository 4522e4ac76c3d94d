/**
 * Runs a program of `examples/` as a stranger does, in a process of its own.
 */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

export const root = new URL("../../", import.meta.url).pathname

export interface Ran {
  readonly code: number | null
  /** What it said, on both its outputs. */
  readonly output: string
}

/** `path` is relative to `examples/`; `onText` hears what it says as it comes. */
export const runExample = (
  path: string,
  options: {
    readonly args?: ReadonlyArray<string>
    readonly environment?: Readonly<Record<string, string>>
    readonly onText?: (text: string) => void
  } = {}
): Effect.Effect<Ran> =>
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
