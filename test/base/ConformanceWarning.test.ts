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
  it("its message has the number of the requirement if there is one", () => {
    assert.strictEqual(warning("late").message, "https://ehr.test/fhir: late [78]")
    const { code, detail, server } = warning("late")
    assert.strictEqual(
      new ConformanceWarning.ConformanceWarning({ code, server, detail }).message,
      "https://ehr.test/fhir: late"
    )
  })

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

  it.effect("the first 1,000 warnings are remembered; later ones are logged as warnings each time", () =>
    Effect.gen(function*() {
      const { layer, lines } = capture()
      const service = yield* ConformanceWarning.make
      const reports = (from: number, to: number) =>
        Effect.forEach(
          Array.from({ length: to - from }, (_, index) => `${from + index}`),
          (detail) => service.report(warning(detail)),
          { discard: true }
        ).pipe(Effect.provide(layer), Logger.withMinimumLogLevel(LogLevel.All))
      yield* reports(0, 1_001)
      assert.isTrue(lines.every((line) => line.startsWith("WARN")))
      lines.length = 0
      yield* reports(999, 1_001)
      assert.deepStrictEqual(lines.map((line) => line.slice(0, 5)), ["DEBUG", "WARN "])
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

  it.effect("`reportSafely` reports, and logs a warning if the service has a defect", () =>
    Effect.gen(function*() {
      const reported: Array<string> = []
      const stream = Stream.empty
      const working: ConformanceWarning.Service = {
        report: ({ detail }) => Effect.sync(() => void reported.push(detail)),
        stream
      }
      yield* ConformanceWarning.reportSafely(working, warning("good"))
      assert.deepStrictEqual(reported, ["good"])
      const { layer, lines } = capture()
      const throwing = (): never => {
        throw new Error("bug")
      }
      for (const report of [() => Effect.die("bug"), throwing]) {
        yield* Effect.provide(ConformanceWarning.reportSafely({ report, stream }, warning("lost")), layer)
      }
      const line = "WARN a conformance warning could not be reported: https://ehr.test/fhir: lost [78] "
      assert.deepStrictEqual(lines, [line, line])
    }))

  it.effect("a layer gives a program its own service", () =>
    Effect.gen(function*() {
      const shared = yield* ConformanceWarning.ConformanceWarnings
      const own = yield* Effect.provide(ConformanceWarning.ConformanceWarnings, ConformanceWarning.layer)
      assert.notStrictEqual(own, shared)
      assert.strictEqual(yield* ConformanceWarning.ConformanceWarnings, shared)
    }))
})
