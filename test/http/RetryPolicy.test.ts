import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"

class Failure extends Data.TaggedError("Failure")<{
  readonly isRetryable: boolean
  readonly status?: number | undefined
  readonly retryAfter?: Duration.Duration | undefined
  readonly processed?: "no" | "unknown" | undefined
}> {}

const refused = new Failure({ isRetryable: true, processed: "no" })
const unknown = new Failure({ isRetryable: true, processed: "unknown" })
const final = new Failure({ isRetryable: false })
const asking = (retryAfter: Duration.DurationInput) =>
  new Failure({ isRetryable: true, processed: "no", retryAfter: Duration.decode(retryAfter) })

const plain: RetryPolicy.Policy = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(5))

/** When each attempt was made, in milliseconds, and how it ended. */
const run = (
  kind: "always" | "once" | "never",
  errors: ReadonlyArray<Failure>,
  within: Duration.DurationInput = "1 hour"
) =>
  Effect.gen(function*() {
    const times: Array<number> = []
    const start = yield* Clock.currentTimeMillis
    const attempt = Effect.gen(function*() {
      times.push((yield* Clock.currentTimeMillis) - start)
      const error = errors[times.length - 1]
      return error === undefined ? "done" : yield* error
    })
    const fiber = yield* Effect.fork(Effect.exit(RetryPolicy.retry(kind)(attempt)))
    yield* TestClock.adjust(within)
    return { times, exit: yield* Fiber.join(fiber) }
  })

const repeat = <A>(value: A, times: number): ReadonlyArray<A> => Array.from({ length: times }, () => value)

describe("RetryPolicy", () => {
  it.effect("the default: three attempts, 200 and 400 ms apart at the middle of the jitter", () =>
    Effect.gen(function*() {
      const { exit, times } = yield* run("always", repeat(unknown, 10))
      assert.deepStrictEqual(times, [0, 200, 600])
      assert.deepStrictEqual(exit, Exit.fail(unknown))
    }).pipe(Effect.withRandom(Random.fixed([0.5]))))

  it.effect("the default: jitter between 0.8 and 1.2", () =>
    Effect.gen(function*() {
      const { times: low } = yield* run("always", repeat(unknown, 10)).pipe(Effect.withRandom(Random.fixed([0])))
      assert.deepStrictEqual(low, [0, 160, 480])
      const { times: mixed } = yield* run("always", repeat(unknown, 10)).pipe(
        Effect.withRandom(Random.fixed([0.25, 0.75]))
      )
      assert.deepStrictEqual(mixed, [0, 180, 620])
    }))

  it.effect("stops at the first success", () =>
    Effect.gen(function*() {
      const { exit, times } = yield* run("always", [refused, refused]).pipe(RetryPolicy.withPolicy(plain))
      assert.deepStrictEqual(times, [0, 1000, 2000])
      assert.deepStrictEqual(exit, Exit.succeed("done"))
    }))

  it.effect("an error that is not retryable is not repeated under any schedule", () =>
    Effect.gen(function*() {
      const { times } = yield* run("always", [final]).pipe(RetryPolicy.withPolicy(Schedule.forever))
      assert.deepStrictEqual(times, [0])
      const { exit, times: later } = yield* run("always", [refused, final]).pipe(RetryPolicy.withPolicy(plain))
      assert.deepStrictEqual(later, [0, 1000])
      assert.deepStrictEqual(exit, Exit.fail(final))
    }))

  it.effect("Retry-After is the minimum of the delays", () =>
    Effect.gen(function*() {
      const { times } = yield* run("always", [asking("7 seconds"), asking("500 millis"), refused]).pipe(
        RetryPolicy.withPolicy(plain)
      )
      assert.deepStrictEqual(times, [0, 7000, 8000, 9000])
    }))

  it.effect("a Retry-After of 30 seconds is waited for; a longer one ends the retries and is in the error", () =>
    Effect.gen(function*() {
      const { times } = yield* run("always", [asking("30 seconds")]).pipe(RetryPolicy.withPolicy(plain))
      assert.deepStrictEqual(times, [0, 30_000])
      const tooLong = asking(30_001)
      const { exit, times: once } = yield* run("always", [tooLong]).pipe(RetryPolicy.withPolicy(plain))
      assert.deepStrictEqual(once, [0])
      assert.deepStrictEqual(exit, Exit.fail(tooLong))
    }))

  it.effect("Retry-After also applies to a schedule without delays", () =>
    Effect.gen(function*() {
      const { times } = yield* run("always", [asking("3 seconds")]).pipe(RetryPolicy.withPolicy(Schedule.recurs(1)))
      assert.deepStrictEqual(times, [0, 3000])
    }))

  it.effect("after an unknown outcome the request is repeated as usual, once, or never", () =>
    Effect.gen(function*() {
      const times = (kind: "always" | "once" | "never", errors: ReadonlyArray<Failure>) =>
        Effect.map(run(kind, errors).pipe(RetryPolicy.withPolicy(plain)), (done) => done.times.length)
      assert.strictEqual(yield* times("always", repeat(unknown, 10)), 6)
      assert.strictEqual(yield* times("once", repeat(unknown, 10)), 2)
      assert.strictEqual(yield* times("never", repeat(unknown, 10)), 1)
    }))

  it.effect("a request that the server did not process is repeated under every rule", () =>
    Effect.gen(function*() {
      for (const kind of ["always", "once", "never"] as const) {
        const { times } = yield* run(kind, repeat(refused, 10)).pipe(RetryPolicy.withPolicy(plain))
        assert.strictEqual(times.length, 6, kind)
      }
    }))

  it.effect("after one unknown outcome there is one more attempt, also if that fails otherwise", () =>
    Effect.gen(function*() {
      const length = (kind: "once" | "never", errors: ReadonlyArray<Failure>) =>
        Effect.map(run(kind, errors).pipe(RetryPolicy.withPolicy(plain)), ({ times }) => times.length)
      assert.strictEqual(yield* length("once", [refused, unknown, refused, refused]), 3)
      assert.strictEqual(yield* length("once", [unknown, refused, refused]), 2)
      assert.strictEqual(yield* length("never", [refused, unknown, refused]), 2)
    }))

  it.effect("an error that does not state whether the server acted is repeated under every rule", () =>
    Effect.gen(function*() {
      const silent = new Failure({ isRetryable: true })
      for (const kind of ["always", "once", "never"] as const) {
        const { times } = yield* run(kind, repeat(silent, 10)).pipe(RetryPolicy.withPolicy(plain))
        assert.strictEqual(times.length, 6, kind)
      }
    }))

  it.effect("`retryOurs` repeats no error of another kind, at the first attempt or later", () =>
    Effect.gen(function*() {
      class Foreign extends Data.TaggedError("Foreign")<{ readonly isRetryable: boolean }> {}
      const isFailure = (error: Failure | Foreign): error is Failure => error._tag === "Failure"
      const attempts = (errors: ReadonlyArray<Failure | Foreign>) =>
        Effect.gen(function*() {
          let made = 0
          const error = yield* Effect.suspend(() => Effect.fail(errors[made++] ?? final)).pipe(
            RetryPolicy.retryOurs("always", isFailure),
            RetryPolicy.withPolicy(Schedule.recurs(5)),
            Effect.flip
          )
          return [made, error._tag]
        })
      const foreign = new Foreign({ isRetryable: true })
      assert.deepStrictEqual(yield* attempts([foreign]), [1, "Foreign"])
      assert.deepStrictEqual(yield* attempts([refused, foreign]), [2, "Foreign"])
      assert.deepStrictEqual(yield* attempts([refused, refused]), [3, "Failure"])
    }))

  it.effect("an unknown outcome counts for one run of the effect", () =>
    Effect.gen(function*() {
      let attempts = 0
      const effect = RetryPolicy.retry("once")(Effect.suspend(() => {
        attempts += 1
        return Effect.fail(unknown)
      })).pipe(RetryPolicy.withPolicy(Schedule.recurs(5)), Effect.ignore)
      yield* effect
      yield* effect
      assert.strictEqual(attempts, 4)
    }))

  it.effect("none: one attempt", () =>
    Effect.gen(function*() {
      const { times } = yield* run("always", repeat(refused, 3)).pipe(RetryPolicy.withPolicy(RetryPolicy.none))
      assert.deepStrictEqual(times, [0])
    }))

  it.effect("the schedule decides the number of attempts and the delays, and receives the errors", () =>
    Effect.gen(function*() {
      const statuses: Array<number | undefined> = []
      const own: RetryPolicy.Policy = Schedule.fibonacci("1 second").pipe(
        Schedule.intersect(Schedule.recurs(3)),
        Schedule.tapInput((error: RetryPolicy.RetryableError) => Effect.sync(() => statuses.push(error.status)))
      )
      const errors = [429, 503, 502, 504].map((status) => new Failure({ isRetryable: true, status }))
      const { times } = yield* run("always", errors).pipe(RetryPolicy.withPolicy(own))
      assert.deepStrictEqual(times, [0, 1000, 2000, 4000])
      assert.deepStrictEqual(statuses, [429, 503, 502, 504])
    }))

  it.effect("the policy of a call has precedence over the layer's, and that over the default", () =>
    Effect.gen(function*() {
      const attempts = (call?: RetryPolicy.Policy, layer?: RetryPolicy.Policy) =>
        Effect.gen(function*() {
          let made = 0
          const capture = layer === undefined
            ? RetryPolicy.capture
            : Effect.provide(RetryPolicy.capture, RetryPolicy.layer(layer))
          const withPolicy = yield* capture
          const work = RetryPolicy.retry("always")(Effect.suspend(() => {
            made += 1
            return Effect.fail(refused)
          })).pipe(withPolicy, Effect.ignore)
          const fiber = yield* Effect.fork(call === undefined ? work : RetryPolicy.withPolicy(call)(work))
          yield* TestClock.adjust("1 minute")
          yield* Fiber.join(fiber)
          return made
        })
      assert.strictEqual(yield* attempts(), 3)
      assert.strictEqual(yield* attempts(undefined, Schedule.recurs(6)), 7)
      assert.strictEqual(yield* attempts(Schedule.recurs(1), Schedule.recurs(6)), 2)
      assert.strictEqual(yield* attempts(Schedule.recurs(1)), 2)
    }))

  it.effect("the metric counts repeats, not failures", () =>
    Effect.gen(function*() {
      class Counted extends Data.TaggedError("CountedForMetric")<{ readonly isRetryable: boolean }> {}
      const policy = RetryPolicy.withPolicy(Schedule.recurs(2))
      const counter = Metric.counter("effect_safire_retries_total", {
        description: "Repeated attempts, by the error of the failed attempt",
        incremental: true
      })
      const repeats = Metric.value(Metric.tagged(counter, "error", "CountedForMetric"))
      const before = (yield* repeats).count
      yield* RetryPolicy.retry("always")(Effect.fail(new Counted({ isRetryable: true }))).pipe(policy, Effect.ignore)
      yield* RetryPolicy.retry("always")(Effect.fail(new Counted({ isRetryable: false }))).pipe(policy, Effect.ignore)
      assert.strictEqual((yield* repeats).count - before, 2)
    }))
})

describe("the span of a repeated request", () => {
  class WithReason extends Data.TaggedError("WithReason")<{
    readonly reason: unknown
    readonly isRetryable: boolean
    readonly status?: number | undefined
  }> {}

  it.effect("has an event for each failed attempt with the kind of the error and the delay, and no message", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const events: Array<unknown> = []
      const silent = yield* Effect.tracer
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (...args) => {
          const span = silent.span(...args)
          span.event = (name, _, attributes) => void events.push([name, attributes])
          spans.push(span)
          return span
        }
      })
      const failures = [
        new WithReason({ reason: "Unavailable", isRetryable: true, status: 503 }),
        new WithReason({ reason: 7, isRetryable: true }),
        new Failure({ isRetryable: true, status: 429, retryAfter: Duration.seconds(9) })
      ]
      const attempt = Effect.suspend((): Effect.Effect<string, WithReason | Failure> => {
        const failure = failures.shift()
        return failure === undefined ? Effect.succeed("done") : Effect.fail(failure)
      })
      const fiber = yield* attempt.pipe(
        RetryPolicy.retry("always"),
        Effect.withSpan("request"),
        Effect.withTracer(tracer),
        Effect.provideService(RetryPolicy.RetryPolicy, plain),
        Effect.fork
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.lengthOf(spans, 1)
      assert.deepStrictEqual(events, [
        ["retry", {
          "error.type": "WithReason",
          "error.reason": "Unavailable",
          "http.response.status_code": 503,
          "retry.delay_ms": 1_000
        }],
        ["retry", { "error.type": "WithReason", "retry.delay_ms": 1_000 }],
        ["retry", { "error.type": "Failure", "http.response.status_code": 429, "retry.delay_ms": 9_000 }]
      ])
    }))
})
