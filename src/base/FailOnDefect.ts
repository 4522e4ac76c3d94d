import * as Effect from "effect/Effect"

/**
 * Turns a defect into a typed error, so that an unexpected document ends neither the program nor loses tokens.
 * `toError` gets the name of the exception, not its message, which may quote the document.
 *
 * @internal
 */
export const failOnDefect =
  <E2>(toError: (exception: string) => E2) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.catchAllDefect(
      self,
      (defect) => Effect.fail(toError(defect instanceof Error ? defect.name : "an exception without a name"))
    )
