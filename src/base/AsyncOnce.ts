/**
 * `Effect.async` that releases its callbacks. Effect keeps the callbacks of `Effect.async` reachable until the old
 * generation of the heap is collected. Callbacks that refer to a response would keep all responses until then.
 */
import * as Effect from "effect/Effect"

/**
 * `Effect.async` for an effect that runs once. The effect that `register` returns runs if the fiber is interrupted
 * before `next`.
 *
 * @internal
 */
export const asyncOnce = <A, E>(
  register: (resume: (next: () => Effect.Effect<A, E>) => void) => Effect.Effect<void>
): Effect.Effect<A, E> => {
  let pending: typeof register | undefined = register
  return Effect.async<A, E>((resume) => {
    const current = pending
    if (current === undefined) return resume(Effect.dieMessage("an effect of asyncOnce ran twice"))
    pending = undefined
    let cancel: Effect.Effect<void> | undefined
    cancel = current((next) =>
      resume(Effect.suspend(() => {
        cancel = undefined
        return next()
      }))
    )
    return Effect.suspend(() => cancel ?? Effect.void)
  })
}
