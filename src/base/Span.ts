/**
 * Spans only if the program has a tracer. Without one, `Effect.withSpan` still makes a span and captures a stack, at a
 * third of the cost of a request.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"

/** Effect's default tracer, which exports no spans. */
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
 * Annotates the current span, if there is a tracer.
 *
 * @internal
 */
export const annotate = (key: string, value: unknown): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => isTraced(fiber) ? Effect.annotateCurrentSpan(key, value) : Effect.void)
