/**
 * Turns a defect into a typed error, so that an unexpected document ends neither the program nor loses tokens. The
 * error gets the name of the exception, not its message, which may quote the document.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

const nameOf = (defect: unknown): string => defect instanceof Error ? defect.name : "an exception without a name"

/** @internal */
export const failOnDefect =
  <E2>(toError: (exception: string) => E2) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.catchAllDefect(self, (defect) => Effect.fail(toError(nameOf(defect))))

/**
 * `failOnDefect` for a pure function.
 *
 * @internal
 */
export const eitherOnDefect = <A, E>(
  evaluate: () => Either.Either<A, E>,
  toError: (exception: string) => E
): Either.Either<A, E> =>
  Either.getOrElse(Either.try({ try: evaluate, catch: (defect) => toError(nameOf(defect)) }), Either.left)
