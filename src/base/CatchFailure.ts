/**
 * `Effect.catchAll` and `Effect.mapError` for requests that usually succeed: on success they cost a fiber no step of
 * their own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/**
 * `Effect.catchAll`.
 *
 * @internal
 */
export const catchFailure = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  recover: (error: E) => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E2, R | R2> =>
  Effect.catchAllCause(self, (cause) => {
    const failure = Cause.failureOrCause(cause)
    return Either.isLeft(failure) ? recover(failure.left) : Effect.failCause(failure.right)
  })

/**
 * `Effect.mapError`.
 *
 * @internal
 */
export const mapFailure = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  map: (error: E) => E2
): Effect.Effect<A, E2, R> => catchFailure(self, (error) => Effect.fail(map(error)))
