import * as Effect from "effect/Effect"

/**
 * Turns a defect of a check into a typed error: a document that no rule foresaw ends neither the program nor loses what came with it. `toError` gets the name of
 * the exception. Its message stays out, because it may quote the document.
 *
 * @internal
 */
export const failOnDefect =
  <E2>(toError: (exception: string) => E2) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.catchAllDefect(
      self,
      (defect) => Effect.fail(toError(defect instanceof Error ? defect.name : "an exception without a name"))
    )
