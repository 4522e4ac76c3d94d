/**
 * The functions of `jose` that verify signatures, loaded when they are first needed. Bundlers make them a chunk, which
 * a page without id_tokens does not load.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Functions from "./internal/jose.js"

/** @internal */
export type Jose = typeof Functions

/**
 * Imports the functions. A failed import is repeated by the next `load`.
 *
 * @internal
 */
export class Loader extends Context.Reference<Loader>()("effect-safire/base/Jose/Loader", {
  defaultValue: () => (): Promise<Jose> => import("./internal/jose.js")
}) {}

/** By loader: `import` of a loaded module still takes a promise. */
const loaded = new WeakMap<() => Promise<Jose>, Jose>()

/**
 * The functions, or the error if they cannot be loaded.
 *
 * @internal
 */
export const load = <E>(onFailure: (detail: string) => E): Effect.Effect<Jose, E> =>
  Effect.flatMap(Loader, (importFunctions) => {
    const known = loaded.get(importFunctions)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      Effect.tryPromise({
        try: importFunctions,
        catch: () => onFailure("the part of this program that verifies signatures could not be loaded")
      }),
      (functions) => {
        loaded.set(importFunctions, functions)
        return functions
      }
    )
  })
