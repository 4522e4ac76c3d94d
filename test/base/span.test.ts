import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { span } from "../../src/base/Span.js"

/** A tracer that keeps the names of what it was asked for. */
const recording = () => {
  const names: Array<string> = []
  const plain: Tracer.Span = {
    _tag: "Span",
    name: "",
    spanId: "1",
    traceId: "2",
    parent: Option.none(),
    context: Effect.runSync(Effect.context<never>()),
    status: { _tag: "Started", startTime: 0n },
    attributes: new Map(),
    links: [],
    sampled: true,
    kind: "internal",
    end: () => undefined,
    attribute: () => undefined,
    event: () => undefined,
    addLinks: () => undefined
  }
  const tracer = Tracer.make({
    span: (name) => {
      names.push(name)
      return { ...plain, name }
    },
    context: (run) => run()
  })
  return { names, tracer }
}

const named = Effect.map(Effect.option(Effect.currentSpan), Option.map(({ name }) => name))

describe("span", () => {
  it.live("makes a span for the tracer of the program", () => {
    const { names, tracer } = recording()
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* span("Discovery.fetch")(named), Option.some("Discovery.fetch"))
      assert.deepStrictEqual(names, ["Discovery.fetch"])
    }).pipe(Effect.withTracer(tracer))
  })

  it.live("makes no span without a tracer, or with tracing disabled", () => {
    const { names, tracer } = recording()
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* span("Discovery.fetch")(named), Option.none())
      yield* span("Discovery.fetch")(named).pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
      assert.deepStrictEqual(names, [])
    })
  })
})

/** How often a step ended with a result, by the histogram that every program has. */
const counted = (step: string, result: string): Effect.Effect<number> =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs.flatMap(({ metricKey, metricState }) => {
      const tags = Object.fromEntries(Array.from(metricKey.tags, ({ key, value }) => [key, value]))
      return metricKey.name === "effect_safire_step_duration_seconds" && tags["step"] === step &&
          tags["result"] === result && MetricState.isHistogramState(metricState)
        ? [metricState.count]
        : []
    })[0] ?? 0)

describe("the histogram of steps", () => {
  it.effect("counts success, failure and interruption, and keeps the result of the step", () =>
    Effect.gen(function*() {
      const step = span("test.results")
      assert.strictEqual(yield* step(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(step(Effect.fail("no"))), "no")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(step(Effect.die("defect")))))
      const fiber = yield* Effect.fork(step(Effect.never))
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.strictEqual(yield* counted("test.results", "success"), 1)
      assert.strictEqual(yield* counted("test.results", "failure"), 2)
      assert.strictEqual(yield* counted("test.results", "interrupted"), 1)
    }))

  it.effect("counts an interruption once, whether or not the fiber goes on after it", () =>
    Effect.gen(function*() {
      const step = span("test.interrupted")
      const nested = yield* Effect.fork(span("test.outer")(step(Effect.never)))
      const goesOn = yield* Effect.fork(
        Effect.uninterruptible(
          Effect.zipRight(Effect.exit(Effect.interruptible(step(Effect.never))), step(Effect.void))
        )
      )
      const uninterruptible = yield* Effect.fork(Effect.uninterruptible(step(Effect.delay(Effect.void, "1 second"))))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(uninterruptible)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interruptAll([nested, goesOn, uninterruptible])
      assert.strictEqual(yield* counted("test.outer", "interrupted"), 1)
      assert.strictEqual(yield* counted("test.interrupted", "interrupted"), 2)
      assert.strictEqual(yield* counted("test.interrupted", "success"), 2)
      assert.strictEqual(yield* counted("test.interrupted", "failure"), 0)
    }))

  it.effect("has the labels of the program", () =>
    Effect.gen(function*() {
      yield* Effect.tagMetrics(span("test.labels")(Effect.void), "app", "growth-chart")
      const pairs = yield* Metric.snapshot
      const labels = pairs.flatMap(({ metricKey }) =>
        metricKey.tags.some(({ value }) => value === "test.labels")
          ? metricKey.tags.map(({ key, value }) => `${key}=${value}`)
          : []
      )
      assert.sameMembers(labels, ["step=test.labels", "result=success", "app=growth-chart"])
    }))

  it.effect("counts the requests of one interaction as one step, and steps beyond a limit as `other`", () =>
    Effect.gen(function*() {
      yield* span("test.read Patient")(Effect.void)
      yield* span("test.read Observation")(Effect.void)
      assert.strictEqual(yield* counted("test.read", "success"), 2)
      for (let index = 0; index < 500; index++) yield* span(`test.step${index}`)(Effect.void)
      assert.isAtLeast(yield* counted("other", "success"), 340)
      assert.strictEqual(yield* counted("test.step499", "success"), 0)
    }))
})
