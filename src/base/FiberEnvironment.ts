/**
 * The environment of a fiber without steps of its own: for requests, of which each step is a measurable part.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

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
  Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)

/**
 * The time by the clock of the running fiber, in epoch milliseconds. Call it inside of an effect: elsewhere no fiber is
 * running, and the default clock is used.
 *
 * @internal
 */
export const unsafeMillis = (): number => {
  const fiber = Fiber.getCurrentFiber()
  const clock = Option.isSome(fiber)
    ? clockOf(fiber.value)
    : Context.unsafeGet(DefaultServices.liveServices, Clock.Clock)
  return clock.unsafeCurrentTimeMillis()
}

/**
 * `unsafeMillis` as a date.
 *
 * @internal
 */
export const unsafeNow = (): DateTime.Utc => DateTime.unsafeMake(unsafeMillis())
