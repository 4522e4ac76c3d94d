/**
 * `Effect.catchAll` and `Effect.mapError` for requests that usually succeed: on success they cost a fiber no step of
 * their own. A failed effect fails again inside Effect's own function.
 */
import * as Effect from "effect/Effect"

/**
 * `Effect.catchAll`.
 *
 * @internal
 */
export const catchFailure = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  recover: (error: E) => Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E2, R | R2> =>
  Effect.catchAllCause(self, (cause) => Effect.catchAll(Effect.failCause(cause), recover))

/**
 * `Effect.mapError`.
 *
 * @internal
 */
export const mapFailure = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  map: (error: E) => E2
): Effect.Effect<A, E2, R> => Effect.catchAllCause(self, (cause) => Effect.mapError(Effect.failCause(cause), map))
