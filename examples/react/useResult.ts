import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { ConfigurationError } from "effect-safire"
import { useEffect, useState } from "react"
import { runtime, type Services } from "./smart.js"

/**
 * Runs an effect while the component is mounted. `undefined`: it runs. Pass a stable effect: a constant, or one of
 * `useMemo`.
 */
export const useResult = <A, E>(
  effect: Effect.Effect<A, E, Services>
): Exit.Exit<A, E | ConfigurationError> | undefined => {
  const [result, setResult] = useState<
    { readonly of: typeof effect; readonly exit: Exit.Exit<A, E | ConfigurationError> }
  >()
  useEffect(() => {
    const fiber = runtime.runFork(effect)
    fiber.addObserver((exit) => {
      // The interruption of an unmounted component ("All fibers interrupted without errors") is not an error.
      if (!Exit.isInterrupted(exit)) setResult({ of: effect, exit })
    })
    return () => {
      runtime.runFork(Fiber.interruptFork(fiber))
    }
  }, [effect])
  // The result of the effect of an earlier render does not count.
  return result?.of === effect ? result.exit : undefined
}
