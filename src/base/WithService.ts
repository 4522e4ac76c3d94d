/**
 * A service of the environment in one step of a fiber, where `Effect.flatMap` of its tag takes three.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * Runs `use` with the service of `tag`.
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
