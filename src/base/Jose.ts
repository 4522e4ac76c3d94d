/**
 * The functions of `jose` that verify signatures, loaded when they are first needed.
 */
import * as Effect from "effect/Effect"
import type * as Functions from "./internal/jose.js"
import * as OnDemand from "./OnDemand.js"

/** @internal */
export type Jose = typeof Functions

/** @internal */
export const importFunctions = (): Promise<Jose> => import("./internal/jose.js")

const functions: Effect.Effect<Jose, string> = OnDemand.module("verifies signatures", importFunctions)

/**
 * The functions, or the error if they cannot be loaded.
 *
 * @internal
 */
export const load = <E>(onFailure: (detail: string) => E): Effect.Effect<Jose, E> =>
  Effect.mapError(functions, onFailure)
