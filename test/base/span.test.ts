import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { annotate, event, span } from "../../src/base/Span.js"

/** A tracer that records the names of its spans, and what is written to them. */
const recording = () => {
  const names: Array<string> = []
  const written: Array<string> = []
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
    attribute: (key, value) => void written.push(`${key}=${String(value)}`),
    event: (name, _, attributes) => void written.push(`${name} ${JSON.stringify(attributes)}`),
    addLinks: () => undefined
  }
  const tracer = Tracer.make({
    span: (name) => {
      names.push(name)
      return { ...plain, name }
    },
    context: (run) => run()
  })
  return { names, tracer, written }
}

const named = Effect.map(Effect.option(Effect.currentSpan), Option.map(({ name }) => name))

describe("span", () => {
  it.live("makes a span for the tracer of the program", () => {
    const { names, tracer } = recording()
    return Effect.gen(function*() {
      assertSome(yield* span("Discovery.fetch")(named), "Discovery.fetch")
      assert.deepStrictEqual(names, ["Discovery.fetch"])
    }).pipe(Effect.withTracer(tracer))
  })

  it.live("makes no span without a tracer, or with tracing disabled", () => {
    const { names, tracer } = recording()
    return Effect.gen(function*() {
      assertNone(yield* span("Discovery.fetch")(named))
      yield* span("Discovery.fetch")(named).pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
      assert.deepStrictEqual(names, [])
    })
  })

  it.live("the span has the options, and no stack", () => {
    const made: Array<Tracer.SpanOptions | undefined> = []
    const { tracer } = recording()
    const observing = Tracer.make({
      ...tracer,
      span: (...args) => {
        made.push(args[6])
        return tracer.span(...args)
      }
    })
    return Effect.gen(function*() {
      yield* span("Discovery.fetch", { attributes: { "smart.server": "ehr" } })(Effect.void)
      assert.strictEqual(made[0]?.captureStackTrace, false)
      assert.deepStrictEqual(made[0]?.attributes, { "smart.server": "ehr" })
    }).pipe(Effect.withTracer(observing))
  })
})

interface Counts {
  readonly success: number
  readonly failure: number
  readonly interrupted: number
}

/** How often a step has ended with each result, by the histogram that every program has. */
const counts = (step: string): Effect.Effect<Counts> =>
  Effect.map(Metric.snapshot, (pairs) => {
    const found = { success: 0, failure: 0, interrupted: 0 }
    for (const { metricKey, metricState } of pairs) {
      const tags = Object.fromEntries(Array.from(metricKey.tags, ({ key, value }) => [key, value]))
      if (
        metricKey.name === "effect_safire_step_duration_seconds" && tags["step"] === step &&
        MetricState.isHistogramState(metricState)
      ) found[tags["result"] as keyof Counts] += metricState.count
    }
    return found
  })

/** How often the step ends from now on. */
const countFromNow = (step: string): Effect.Effect<Effect.Effect<Counts>> =>
  Effect.map(counts(step), (before) =>
    Effect.map(counts(step), (after) => ({
      success: after.success - before.success,
      failure: after.failure - before.failure,
      interrupted: after.interrupted - before.interrupted
    })))

describe("the histogram of steps", () => {
  it.effect("counts success, failure and interruption, and keeps the result of the step", () =>
    Effect.gen(function*() {
      const step = span("test.results")
      const counted = yield* countFromNow("test.results")
      assert.strictEqual(yield* step(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(step(Effect.fail("no"))), "no")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(step(Effect.die("defect")))))
      const fiber = yield* Effect.fork(step(Effect.never))
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(yield* counted, { success: 1, failure: 2, interrupted: 1 })
    }))

  it.effect("counts an interruption once, whether or not the fiber goes on after it", () =>
    Effect.gen(function*() {
      const step = span("test.interrupted")
      const [counted, outer] = [yield* countFromNow("test.interrupted"), yield* countFromNow("test.outer")]
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
      assert.deepStrictEqual(yield* outer, { success: 0, failure: 0, interrupted: 1 })
      assert.deepStrictEqual(yield* counted, { success: 2, failure: 0, interrupted: 2 })
    }))

  it.effect("a step that has ended is not counted again at the end of its fiber", () =>
    Effect.gen(function*() {
      const step = span("test.once")
      const counted = yield* countFromNow("test.once")
      const steps = Effect.zipRight(step(Effect.void), Effect.ignore(step(Effect.fail("no"))))
      yield* Fiber.interrupt(yield* Effect.tap(Effect.fork(Effect.zipRight(steps, Effect.never)), Effect.yieldNow()))
      assert.deepStrictEqual(yield* counted, { success: 1, failure: 1, interrupted: 0 })
    }))

  it.effect("records seconds", () =>
    Effect.gen(function*() {
      const sum = Effect.map(Metric.snapshot, (pairs) =>
        pairs.flatMap(({ metricKey, metricState }) =>
          metricKey.tags.some(({ value }) =>
              value === "test.seconds"
            ) && MetricState.isHistogramState(metricState)
            ? [metricState.sum]
            : []
        )[0] ?? 0)
      yield* TestClock.adjust("1 hour")
      const before = yield* sum
      const fiber = yield* Effect.fork(span("test.seconds")(Effect.sleep("1500 millis")))
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.join(fiber)
      assert.approximately((yield* sum) - before, 1.5, 1e-6)
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
      const [counted, others] = [yield* countFromNow("test.read"), yield* countFromNow("other")]
      yield* span("test.read Patient")(Effect.void)
      yield* span("test.read Observation")(Effect.void)
      assert.strictEqual((yield* counted).success, 2)
      for (let index = 0; index < 500; index++) yield* span(`test.step${index}`)(Effect.void)
      assert.isAtLeast((yield* others).success, 340)
      assert.strictEqual((yield* counts("test.step499")).success, 0)
    }))
})

describe("annotate and event", () => {
  it.live("change the current span of a program with a tracer, and nothing else", () => {
    const { names, tracer, written } = recording()
    const both = Effect.zipRight(annotate("key", "value"), event("retry", { attempt: 2 }))
    return Effect.gen(function*() {
      yield* both
      yield* Effect.withSpan(both, "of Effect")
      yield* Effect.withTracer(both, tracer)
      yield* Effect.withSpan(both, "disabled").pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
      assert.deepStrictEqual(written, [])
      yield* Effect.withSpan(both, "step").pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(names, ["step"])
      assert.deepStrictEqual(written, ["key=value", "retry {\"attempt\":2}"])
    })
  })
})
