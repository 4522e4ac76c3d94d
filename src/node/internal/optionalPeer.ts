/** Optional peers, loaded by the layers that need them. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

const isMissing = (cause: unknown): boolean =>
  Predicate.hasProperty(cause, "code") && cause.code === "ERR_MODULE_NOT_FOUND"

/**
 * The module of an optional peer. If the package is not installed, it dies with a message that has the package, what
 * needs it, and the command that installs it.
 *
 * @internal
 */
export const load = <A>(
  peer: { readonly install: string; readonly neededBy: string },
  importModule: () => Promise<A>
): Effect.Effect<A> =>
  Effect.tryPromise({ try: importModule, catch: (cause) => cause }).pipe(
    Effect.catchAll((cause) =>
      Effect.die(
        isMissing(cause)
          ? new Error(
            `${peer.neededBy} needs an optional package that is not installed; run: npm install ${peer.install}`,
            { cause }
          )
          : cause
      )
    )
  )
