import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ConformanceWarning from "../../src/base/ConformanceWarning.js"

const warning = (detail: string, code: ConformanceWarning.Code = "ScopeMissing") =>
  new ConformanceWarning.ConformanceWarning({ code, server: "https://ehr.test/fhir", detail, requirement: "78" })

const capture = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    lines.push(`${logLevel.label} ${String(message)} ${Option.getOrElse(HashMap.get(annotations, "code"), () => "")}`)
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

const count = (code: string) =>
  Effect.map(
    Metric.snapshot,
    (pairs) =>
      pairs.filter(({ metricKey }) =>
        metricKey.name === "effect_safire_conformance_warnings_total" &&
        metricKey.tags.some(({ key, value }) => key === "code" && value === code)
      ).map(({ metricState }) => metricState)
  )

describe("ConformanceWarning", () => {
  it.effect("is logged as a warning once, then at debug level", () =>
    Effect.gen(function*() {
      const { layer, lines } = capture()
      const service = yield* ConformanceWarning.make
      yield* Effect.forEach(["a", "a", "b", "a"], (detail) => service.report(warning(detail))).pipe(
        Effect.provide(layer),
        Logger.withMinimumLogLevel(LogLevel.All)
      )
      assert.deepStrictEqual(lines, [
        "WARN https://ehr.test/fhir: a [78] ScopeMissing",
        "DEBUG https://ehr.test/fhir: a [78] ScopeMissing",
        "WARN https://ehr.test/fhir: b [78] ScopeMissing",
        "DEBUG https://ehr.test/fhir: a [78] ScopeMissing"
      ])
    }))

  it.effect("each report increments the counter of its code", () =>
    Effect.gen(function*() {
      const service = yield* ConformanceWarning.make
      const before = yield* count("LaunchContextLegacy")
      yield* service.report(warning("x", "LaunchContextLegacy"))
      yield* service.report(warning("x", "LaunchContextLegacy"))
      const after = yield* count("LaunchContextLegacy")
      const value = (states: typeof after) => (states[0] as { readonly count: number } | undefined)?.count ?? 0
      assert.strictEqual(value(after) - value(before), 2)
    }))

  it.effect("reaches each subscriber after its subscription", () =>
    Effect.gen(function*() {
      const service = yield* ConformanceWarning.make
      yield* service.report(warning("before"))
      const subscribers = yield* Effect.forEach([1, 2], () =>
        Effect.fork(Stream.runCollect(Stream.take(service.stream, 2))))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      yield* service.report(warning("first"))
      yield* service.report(warning("second"))
      for (const subscriber of subscribers) {
        const got = Chunk.toReadonlyArray(yield* Fiber.join(subscriber))
        assert.deepStrictEqual(
          got.map(({ detail }) =>
            detail
          ),
          ["first", "second"]
        )
      }
    }))

  it.effect("a subscriber that does not read does not block a report", () =>
    Effect.gen(function*() {
      const service = yield* ConformanceWarning.make
      yield* Effect.fork(Stream.runForEach(service.stream, () => Effect.never))
      yield* Effect.yieldNow()
      yield* Effect.forEach(Array.from({ length: 2_000 }, (_, index) => index), (index) =>
        service.report(warning(`${index}`)), { discard: true }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      assert.strictEqual(yield* Effect.succeed("reported"), "reported")
    }))

  it.effect("a layer gives a program its own service", () =>
    Effect.gen(function*() {
      const shared = yield* ConformanceWarning.ConformanceWarnings
      const own = yield* Effect.provide(ConformanceWarning.ConformanceWarnings, ConformanceWarning.layer)
      assert.notStrictEqual(own, shared)
      assert.strictEqual(yield* ConformanceWarning.ConformanceWarnings, shared)
    }))
})
