/** The output of the demo: a line or a JSON object for each step, without secrets. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ConfigError from "effect/ConfigError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { ConformanceWarning } from "effect-safire"

/** The result of a step: `text` for people, `found` for programs. */
export interface Found {
  readonly text: string
  readonly found?: Readonly<Record<string, unknown>> | undefined
}

export interface Report {
  /** Runs a step and prints its result or failure; the failure propagates. */
  readonly step: <A, E, R>(
    name: string,
    effect: Effect.Effect<A, E, R>,
    describe: (value: A) => Found
  ) => Effect.Effect<A, E, R>
  /** Prints a line for people only. */
  readonly note: (text: string) => Effect.Effect<void>
  /** Collects the library's warnings, to print them with their step. */
  readonly layerWarnings: Layer.Layer<never>
}

/** The missing or invalid variables. */
const configText = (error: ConfigError.ConfigError): string => {
  switch (error._op) {
    case "And":
    case "Or":
      return `${configText(error.left)}; ${configText(error.right)}`
    case "MissingData":
      return `${error.path.join("_")} is not set`
    default:
      return `${error.path.join("_")}: ${error.message}`
  }
}

const errorOf = (cause: Cause.Cause<unknown>): Readonly<Record<string, unknown>> => {
  const error = Option.getOrElse(Cause.failureOption(cause), () => Cause.squash(cause))
  if (ConfigError.isConfigError(error)) {
    return {
      _tag: "ConfigError",
      reason: error._op,
      message: `${configText(error)} (docs/demo.md lists the variables)`
    }
  }
  const members = [
    "_tag",
    "reason",
    "message",
    "status",
    "error",
    "errorDescription",
    "errorUri",
    "outcome",
    "processed"
  ]
  if (!Predicate.isRecord(error) && !(error instanceof Error)) return { message: String(error) }
  return Object.fromEntries(
    members.flatMap((member) =>
      Predicate.hasProperty(error, member) && error[member] !== undefined ? [[member, error[member]]] : []
    )
  )
}

export const make = (json: boolean): Report => {
  const warnings: Array<ConformanceWarning.ConformanceWarning> = []

  const say = (
    name: string,
    ms: number,
    outcome: { readonly ok: boolean; readonly text: string; readonly more: object }
  ) =>
    Effect.suspend(() => {
      const met = warnings.splice(0)
      if (json) {
        const line = {
          step: name,
          ok: outcome.ok,
          ms,
          ...outcome.more,
          warnings: met.map(({ code, detail }) => ({ code, detail }))
        }
        return Console.log(JSON.stringify(line))
      }
      const lines = [
        `${outcome.ok ? "✓" : "✗"} ${name.padEnd(12)} ${outcome.text}  (${ms} ms)`,
        ...met.map(({ message }) => `  ! ${message}`)
      ]
      return Console.log(lines.join("\n"))
    })

  return {
    step: (name, effect, describe) =>
      Effect.gen(function*() {
        const started = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(effect)
        const ms = (yield* Clock.currentTimeMillis) - started
        yield* Exit.match(exit, {
          onSuccess: (value) => {
            const { found, text } = describe(value)
            return say(name, ms, { ok: true, text, more: { found: found ?? {} } })
          },
          onFailure: (cause) => {
            const error = errorOf(cause)
            return say(name, ms, { ok: false, text: String(error["message"]), more: { error } })
          }
        })
        return yield* exit
      }),
    note: (text) => json ? Effect.void : Console.log(text),
    layerWarnings: Layer.succeed(ConformanceWarning.ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void warnings.push(warning)),
      stream: Stream.empty
    })
  }
}
