/** A tracer that records the spans it makes. */
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/** What a span is made with. */
export interface RecordedSpan {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly attributes: Record<string, unknown> | undefined
}

export const recordSpans: Effect.Effect<{ readonly spans: Array<RecordedSpan>; readonly tracer: Tracer.Tracer }> =
  Effect.map(Effect.tracer, (native) => {
    const spans: Array<RecordedSpan> = []
    const tracer = Tracer.make({
      span: (...args) => {
        const [name, , , , , kind, options] = args
        spans.push({ name, kind, attributes: options?.attributes })
        return native.span(...args)
      },
      context: (run, fiber) => native.context(run, fiber)
    })
    return { spans, tracer }
  })
