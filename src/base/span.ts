/**
 * A span where tracing is on. Where it is off, `Effect.withSpan` would still make one, take a stack for it, and see to its end; and where in this library
 * a span was asked for, a stack tells nobody anything.
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import type * as Tracer from "effect/Tracer"

/** @internal */
export const span =
  (name: string, options?: Tracer.SpanOptions | undefined) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.withFiberRuntime((fiber) => {
      const traced = fiber.getFiberRef(FiberRef.currentTracerEnabled)
      return traced
        ? Effect.withSpan(self, name, { captureStackTrace: false, ...options })
        : self as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>
    })
