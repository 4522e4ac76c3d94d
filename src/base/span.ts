/**
 * A span where somebody reads it. Without a tracer of the program's own, `Effect.withSpan` would still make one that nobody ever sees, take a stack for it, and see
 * to its end, at a third of the cost of a whole request; and where in this library a span was asked for, a stack tells nobody anything.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"

/** What Effect traces with unless it is told otherwise: its spans go nowhere. */
const silent = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** @internal */
export const span =
  (name: string, options?: Tracer.SpanOptions | undefined) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) => {
      const traced = fiber.currentTracer !== silent && fiber.getFiberRef(FiberRef.currentTracerEnabled)
      return traced
        ? Effect.withSpan(self, name, { captureStackTrace: false, ...options })
        : self
    })
