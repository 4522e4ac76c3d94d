/**
 * The environment of a fiber without steps of its own: for requests, of which each step is a measurable part.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/**
 * Runs `use` with the service of `tag`: one step, where `Effect.flatMap` of the tag takes three.
 *
 * @internal
 */
export const withService = <I, S, A, E, R>(
  tag: Context.Tag<I, S>,
  use: (service: S) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | I> =>
  Effect.withFiberRuntime<A, E, R | I>((fiber) =>
    use(Context.unsafeGet(fiber.currentContext as Context.Context<I>, tag))
  )

/**
 * The clock of a fiber.
 *
 * @internal
 */
export const clockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.unsafeGet(fiber.getFiberRef(DefaultServices.currentServices), Clock.Clock)

/**
 * The time by the clock of a fiber, in epoch milliseconds.
 *
 * @internal
 */
export const millisOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): number =>
  clockOf(fiber).unsafeCurrentTimeMillis()

/**
 * The time by the clock of a fiber.
 *
 * @internal
 */
export const nowOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): DateTime.Utc => DateTime.unsafeMake(millisOf(fiber))
