import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { BackingSessionStore } from "../BackingSessionStore.js"
import { SessionError } from "../SessionError.js"

/**
 * A backing store whose operations have a time limit. Each operation runs in its own fiber, so that the limit also
 * holds in uninterruptible regions. Interrupting a caller interrupts reads only: the result of a write must be known.
 *
 * @internal
 */
export const timeLimited = (backing: BackingSessionStore, limit: Duration.DurationInput): BackingSessionStore => {
  if (backing.immediate === true) return backing
  const fork = <A>(operation: string, self: Effect.Effect<A, SessionError>) =>
    Effect.timeoutFail(self, {
      duration: limit,
      onTimeout: () =>
        new SessionError({
          reason: "StoreUnavailable",
          store: backing.name,
          detail: `${operation} did not end within ${Duration.format(limit)}`
        })
    }).pipe(Effect.interruptible, Effect.forkDaemon)
  const cut = <A>(operation: string, self: Effect.Effect<A, SessionError>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        fork(operation, self),
        (fiber) => Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interruptFork(fiber))
      )
    )
  const cutWhole = <A>(operation: string, self: Effect.Effect<A, SessionError>) =>
    Effect.uninterruptible(Effect.flatMap(fork(operation, self), Fiber.join))
  return {
    ...backing,
    read: (key) => cut("reading", backing.read(key)),
    replace: (key, expected, next) => cutWhole("writing", backing.replace(key, expected, next)),
    tryLock: (key, owner, leaseMillis) => cut("locking", backing.tryLock(key, owner, leaseMillis)),
    unlock: (key, owner) => cutWhole("unlocking", backing.unlock(key, owner))
  }
}
