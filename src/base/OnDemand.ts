/**
 * Modules that are loaded when they are first needed. Bundlers make each of them a chunk, which a page that does not
 * need it does not load.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * Runs an import. A test replaces it, to make imports fail.
 *
 * @internal
 */
export class Importer extends Context.Reference<Importer>()("effect-safire/base/OnDemand/Importer", {
  defaultValue: () => <M>(load: () => Promise<M>): Promise<M> => load()
}) {}

/**
 * The advice of every error about a module that could not be loaded.
 *
 * @internal
 */
export const ADVICE =
  "the network may be down, or a new version of the app replaced its files: try again, then reload the page"

/**
 * A module, or the detail for an error if it cannot be loaded. A failed import is repeated at the next use. `purpose`
 * completes "the part of this program that".
 *
 * @internal
 */
export const module = <M>(purpose: string, load: () => Promise<M>): Effect.Effect<M, string> => {
  // `import` of a loaded module still takes a promise.
  const loaded = new WeakMap<object, M>()
  return Effect.flatMap(Importer, (importer) => {
    const known = loaded.get(importer)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      Effect.tryPromise({
        try: () => importer(load),
        catch: () => `the part of this program that ${purpose} could not be loaded`
      }),
      (found) => {
        loaded.set(importer, found)
        return found
      }
    )
  })
}
