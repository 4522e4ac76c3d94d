/**
 * The command line tool in this process: its output and its exit code.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Terminal from "@effect/platform/Terminal"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { run } from "../../src/cli/Cli.js"

export interface CliResult {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface Place {
  readonly isTTY?: boolean
  readonly environment?: Readonly<Record<string, string>>
  readonly http?: Layer.Layer<HttpClient.HttpClient>
}

export const runCli = (args: ReadonlyArray<string>, place: Place = {}): Effect.Effect<CliResult> =>
  Effect.gen(function*() {
    const out: Array<string> = []
    const err: Array<string> = []
    const note = (lines: Array<string>) => (...args: ReadonlyArray<unknown>) =>
      Effect.sync(() => void lines.push(args.map(String).join(" ")))
    const code = yield* Console.consoleWith((console) =>
      Effect.withConsole(run(["node", "effect-safire", ...args]), { ...console, log: note(out), error: note(err) })
    ).pipe(
      Effect.provide(
        Layer.effect(
          Terminal.Terminal,
          Effect.map(Terminal.Terminal, (terminal) => ({ ...terminal, isTTY: Effect.succeed(place.isTTY ?? false) }))
        ).pipe(
          Layer.provideMerge(NodeContext.layer),
          Layer.merge(place.http ?? FetchHttpClient.layer),
          Layer.merge(
            Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(place.environment ?? {}))))
          )
        )
      )
    )
    return { code, out: out.join("\n"), err: err.join("\n") }
  })
