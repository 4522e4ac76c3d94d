/**
 * All output of a program as text, to search it for secrets: logs of all built-in loggers, spans, metrics, and the
 * result, printed in each way.
 */
import { inspect } from "node:util"
import * as Cause from "effect/Cause"
import type * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import { escape } from "../../src/base/Html.js"

const json = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? ""
  } catch {
    return ""
  }
}

const print = (value: unknown): string =>
  typeof value === "string" ? value : [
    inspect(value, { depth: 10, maxStringLength: null, maxArrayLength: null, getters: true }),
    json(value),
    String(value),
    value instanceof Error ? `${value.message} ${value.stack ?? ""} ${inspect(value.cause)}` : ""
  ].join("\n")

const printExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.match(exit, {
    onSuccess: print,
    onFailure: (cause) =>
      [print(cause), Cause.pretty(cause, { renderErrorCause: true }), print(Cause.squash(cause)), print(exit)].join(
        "\n"
      )
  })

/** Runs a program and records its output. Its result is logged, too, as a user would log it. */
export const observe = <A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly exit: Exit.Exit<A, E>; readonly shown: () => string }, never, R> =>
  Effect.gen(function*() {
    const output: Array<string> = []
    const record = (text: string) => void output.push(text)
    const late: Array<() => string> = []

    const builtIn = [Logger.stringLogger, Logger.logfmtLogger, Logger.jsonLogger, Logger.structuredLogger] as const
    const recording = builtIn.map((logger) =>
      Logger.map(logger as Logger.Logger<unknown, unknown>, (out) => record(print(out)))
    )
    const raw = Logger.make(({ annotations, cause, message, spans }) => {
      record(print(message))
      record(print(HashMap.toEntries(annotations)))
      record(Cause.pretty(cause))
      record(print([...spans]))
    })
    const loggers = [...recording, raw, Logger.prettyLogger({ colors: false, mode: "tty" })].reduce<Layer.Layer<never>>(
      (layer, logger) => Layer.merge(layer, Logger.add(logger)),
      Logger.remove(Logger.defaultLogger)
    )

    const write = (...args: ReadonlyArray<unknown>) => args.forEach((arg) => record(print(arg)))
    const line = (...args: ReadonlyArray<unknown>) => Effect.sync(() => write(...args))
    const nothing = () => Effect.void
    const quiet = () => undefined
    const unsafe = {
      assert: write,
      clear: quiet,
      count: quiet,
      countReset: quiet,
      debug: write,
      dir: write,
      dirxml: write,
      error: write,
      group: write,
      groupCollapsed: write,
      groupEnd: quiet,
      info: write,
      log: write,
      table: write,
      time: quiet,
      timeEnd: quiet,
      timeLog: quiet,
      trace: write,
      warn: write
    }
    const console = {
      assert: line,
      clear: Effect.void,
      count: nothing,
      countReset: nothing,
      debug: line,
      dir: line,
      dirxml: line,
      error: line,
      group: line,
      groupEnd: Effect.void,
      info: line,
      log: line,
      table: line,
      time: nothing,
      timeEnd: nothing,
      timeLog: nothing,
      trace: line,
      warn: line,
      unsafe
    } as unknown as Console.Console // only what a logger calls

    const tracer = Tracer.make({
      context: (f) => f(),
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        record(name)
        late.push(() => print([...attributes]))
        return {
          _tag: "Span",
          name,
          parent,
          context,
          links,
          kind,
          attributes,
          spanId: "span",
          traceId: "trace",
          sampled: true,
          status: { _tag: "Started", startTime },
          attribute: (key, value) => void attributes.set(key, value),
          event: (event, _, attributes) => record(print([event, attributes])),
          // Tracers print the error of a span, but not its result.
          end: (_, exit) => Exit.isFailure(exit) && record(printExit(exit)),
          addLinks: (added) => record(print(added.map(({ attributes }) => attributes)))
        }
      }
    })

    const exit = yield* program.pipe(
      Effect.tapErrorCause((cause) =>
        Effect.logError("it failed", cause).pipe(
          Effect.zipRight(Effect.logFatal(Cause.squash(cause))),
          Effect.annotateLogs("error", Cause.squash(cause))
        )
      ),
      Effect.tap((value) => Effect.logTrace("it succeeded", value).pipe(Effect.annotateLogs("value", value))),
      Effect.withSpan("canary"),
      Effect.withTracer(tracer),
      Logger.withMinimumLogLevel(LogLevel.All),
      Effect.provide(loggers),
      Effect.withConsole(console),
      Effect.exit
    )
    record(printExit(exit))
    record(
      print((yield* Metric.snapshot).map(({ metricKey, metricState }) => [metricKey.name, metricKey.tags, metricState]))
    )
    return { exit, shown: () => [...output, ...late.map((text) => text())].join("\n") }
  })

const url = encodeURIComponent
const quoted = (text: string): string => JSON.stringify(text).slice(1, -1)
const bytes = (text: string): ReadonlyArray<number> => [...Buffer.from(text)]

/** The encodings in which servers repeat a text. */
export const encodings: Readonly<Record<string, (text: string) => string>> = {
  "as it is": (text) => text,
  "for a URL": url,
  "for a URL, twice": (text) => url(url(text)),
  "for a URL, every byte": (text) => bytes(text).map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  "for a form": (text) => new URLSearchParams([["", text]]).toString().slice(1),
  "for HTML": (text) => escape(text),
  "for HTML, every character": (text) => Array.from(text, (char) => `&#${char.codePointAt(0)};`).join(""),
  "for HTML, in hexadecimal": (text) => Array.from(text, (char) => `&#x${char.codePointAt(0)?.toString(16)};`).join(""),
  "for JSON": quoted,
  "for JSON, twice": (text) => quoted(quoted(text)),
  "for JSON, every character": (text) =>
    Array.from(text, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  "for a URL in HTML": (text) => escape(url(text)),
  "in base64": (text) => Buffer.from(text).toString("base64"),
  "in base64url": (text) => Buffer.from(text).toString("base64url"),
  "in base64 for a URL": (text) => url(Buffer.from(text).toString("base64")),
  "with control characters": (text) => Array.from(text).join("\u0000"),
  "with characters of no width": (text) => Array.from(text).join("\u200b")
}

/** The base64 forms of a secret after other text. */
const inBase64 = (secret: string): ReadonlyArray<string> =>
  [1, 2].map((offset) => Buffer.from("x".repeat(offset) + secret).toString("base64").slice(4, -4))

/** The first of `secrets` in the output, in clear or in an encoding, with its surroundings. */
export const leak = (shown: string, secrets: Iterable<string>): string | undefined => {
  for (const secret of secrets) {
    const spellings = [
      ...Object.values(encodings).map((encode) => encode(secret).replace(/=+$/, "")),
      ...inBase64(secret),
      secret.toLowerCase()
    ]
    for (const spelling of spellings) {
      const at = spelling.length < 6 ? -1 : shown.indexOf(spelling)
      if (at >= 0) return shown.slice(Math.max(0, at - 200), at + spelling.length + 50)
    }
  }
  return undefined
}
