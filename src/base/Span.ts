/**
 * The steps of the library for operators: a span if the program has a tracer, and a histogram of their durations.
 * Without a tracer, `Effect.withSpan` would still make a span and capture a stack, at a third of the cost of a request.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as Tracer from "effect/Tracer"
import { clockOf } from "./FiberEnvironment.js"

/** Effect's default tracer, which exports no spans. */
const silent = Context.get(DefaultServices.liveServices, Tracer.Tracer)

const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== silent && fiber.getFiberRef(FiberRef.currentTracerEnabled)

const durations = MetricKey.histogram(
  "effect_safire_step_duration_seconds",
  MetricBoundaries.fromIterable([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]),
  "Seconds that a step took with all its attempts, by step and result"
)

/** The histograms of one step, by result. `Metric.tagged` would look up the histogram at each update. */
type Histograms = Readonly<Record<"success" | "failure" | "interrupted", Metric.Metric.Histogram<number>>>

const histograms = new Map<string, Histograms>()

/** More than all steps of the library; names of a program's own FHIR requests may exceed it. */
const MAX_STEPS = 160

const addStep = (step: string): Histograms => {
  const histogram = (result: string) =>
    Metric.fromMetricKey(durations.pipe(MetricKey.tagged("step", step), MetricKey.tagged("result", result)))
  const made = { success: histogram("success"), failure: histogram("failure"), interrupted: histogram("interrupted") }
  histograms.set(step, made)
  return made
}

const histogramsOf = (span: string): Histograms => {
  // `FhirClient.read Patient` and `FhirClient.read Observation` are one step.
  const space = span.indexOf(" ")
  const step = space < 0 ? span : span.slice(0, space)
  const known = histograms.get(step)
  if (known !== undefined) return known
  return histograms.size < MAX_STEPS ? addStep(step) : histograms.get("other") ?? addStep("other")
}

/** `Clock.currentTimeNanos` of TestClock dies after an adjustment by a fraction of a millisecond. */
const nanosOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): bigint => clockOf(fiber).unsafeCurrentTimeNanos()

/**
 * As `Effect.onExit`, without its uninterruptible region: two such regions took a quarter of the time of an exchange.
 * Effect skips the handlers of an interrupted fiber; then the end of the fiber counts as the end of the step.
 */
const measured = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  step: string,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<A, E, R> => {
  const started = nanosOf(fiber)
  const labels = fiber.getFiberRef(FiberRef.currentMetricLabels)
  const record = (result: keyof Histograms): void =>
    histogramsOf(step)[result].unsafeUpdate(Number(nanosOf(fiber) - started) / 1e9, labels)
  const onFiberEnd = () => record("interrupted")
  fiber.addObserver(onFiberEnd)
  return Effect.matchCauseEffect(self, {
    onFailure: (cause) => {
      fiber.removeObserver(onFiberEnd)
      record(Cause.isInterrupted(cause) ? "interrupted" : "failure")
      return Effect.failCause(cause)
    },
    onSuccess: (value) => {
      fiber.removeObserver(onFiberEnd)
      record("success")
      return Effect.succeed(value)
    }
  })
}

/**
 * Makes a step: it has a span, and its duration is measured. `name` is one of a few words, because it is a tag of
 * the histogram.
 *
 * @internal
 */
export const span =
  (name: string, options?: Tracer.SpanOptions | undefined) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) =>
      measured(
        isTraced(fiber) ? Effect.withSpan(self, name, { captureStackTrace: false, ...options }) : self,
        name,
        fiber
      )
    )

/**
 * Annotates the current span, if there is a tracer.
 *
 * @internal
 */
export const annotate = (key: string, value: unknown): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => isTraced(fiber) ? Effect.annotateCurrentSpan(key, value) : Effect.void)

/**
 * Adds an event to the current span, if there is a tracer and a span.
 *
 * @internal
 */
export const event = (name: string, attributes: Readonly<Record<string, unknown>>): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) =>
    isTraced(fiber)
      ? Effect.ignore(
        Effect.map(Effect.currentSpan, (current) => current.event(name, nanosOf(fiber), attributes))
      )
      : Effect.void
  )
