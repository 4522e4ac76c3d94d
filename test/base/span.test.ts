import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
