import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/**
 * Requests a Web Lock and holds it until `held` ends. Returns whether the browser granted it: at once with
 * `ifAvailable`, otherwise after a wait that can be interrupted.
 *
 * @internal
 */
export const requestLock = (
  locks: LockManager,
  name: string,
  held: Effect.Effect<unknown>,
  { ifAvailable }: { readonly ifAvailable: boolean }
): Effect.Effect<boolean, unknown> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    Effect.async<boolean, unknown>((resume) => {
      const waiting = new AbortController()
      // The browser holds the lock while the promise that the callback returns is pending.
      locks.request(name, ifAvailable ? { ifAvailable } : { signal: waiting.signal }, (lock) => {
        resume(Effect.succeed(lock !== null))
        return lock === null ? undefined : Runtime.runPromise(runtime)(held)
      }).catch((failure: unknown) => resume(Effect.fail(failure)))
      return Effect.sync(() => waiting.abort())
    }))
