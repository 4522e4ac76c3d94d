/**
 * A span where somebody reads it. Without a tracer of the program's own, `Effect.withSpan` would still make one that nobody ever sees, take a stack for it, and see
 * to its end, at a third of the cost of a whole request; and where in this library a span was asked for, a stack tells nobody anything.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"

/** What Effect traces with unless it is told otherwise: its spans go nowhere. */
const silent = Context.get(DefaultServices.liveServices, Tracer.Tracer)

const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== silent && fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** @internal */
export const span =
  (name: string, options?: Tracer.SpanOptions | undefined) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) =>
      isTraced(fiber) ? Effect.withSpan(self, name, { captureStackTrace: false, ...options }) : self
    )

/**
 * What becomes known inside of `span`. Where it made no span, the current one would be the program's own, which is left alone.
 *
 * @internal
 */
export const annotate = (key: string, value: unknown): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => isTraced(fiber) ? Effect.annotateCurrentSpan(key, value) : Effect.void)
