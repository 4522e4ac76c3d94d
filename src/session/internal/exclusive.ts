import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Random from "effect/Random"
import * as SecureRandom from "../../base/SecureRandom.js"
import type { BackingSessionStore } from "../BackingSessionStore.js"
import { SessionError } from "../SessionError.js"

/** @internal */
export interface Exclusive {
  /**
   * Runs `use` while this process holds the lock of `key`, uninterruptibly but for what `use` hands to `restore`. Waiting for the lock can be
   * interrupted.
   */
  readonly run: <A, E, R>(
    key: string,
    use: (restore: <B, F, S>(self: Effect.Effect<B, F, S>) => Effect.Effect<B, F, S>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SessionError, R>
}

/** @internal */
export interface Options {
  readonly leaseMillis: number
  readonly waitMillis: number
}

interface Holder {
  readonly owner: string
  until: number
  readonly released: Deferred.Deferred<void>
}

interface Queue {
  readonly turn: Effect.Semaphore
  members: number
}

/** The locks that this fiber or one of its ancestors holds, by owner. */
const heldAbove: FiberRef.FiberRef<ReadonlySet<string>> = FiberRef.unsafeMake<ReadonlySet<string>>(new Set())

const FIRST_PAUSE_MILLIS = 10
const LONGEST_PAUSE_MILLIS = 250

/**
 * One lock a key over everything that shares a backing. Of the callers in this process that wait for a key one at a time asks the backing; while the
 * holder is in this process too not even that one does, until the lease is over.
 *
 * @internal
 */
export const make = (backing: BackingSessionStore, random: SecureRandom.Service, options: Options): Exclusive => {
  const holders = new Map<string, Holder>()
  const queues = new Map<string, Queue>()

  const failed = (reason: "LockTimeout" | "Reentrant", detail: string) =>
    new SessionError({ reason, store: backing.name, detail })

  const refuseReentry = (key: string) =>
    Effect.flatMap(FiberRef.get(heldAbove), (above) => {
      const holder = holders.get(key)
      return holder !== undefined && above.has(holder.owner)
        ? Effect.fail(failed("Reentrant", "modify was called inside modify for the same session"))
        : Effect.void
    })

  /** Waits for a holder of this process to finish or to outlive its lease, for a holder elsewhere by growing pauses. */
  const pause = (key: string, attempt: number) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const longest = Math.min(FIRST_PAUSE_MILLIS * 2 ** attempt, LONGEST_PAUSE_MILLIS)
      const millis = yield* Random.nextRange(longest / 2, longest)
      const holder = holders.get(key)
      if (holder === undefined) return yield* Effect.sleep(millis)
      yield* Deferred.await(holder.released).pipe(Effect.timeoutOption(Math.max(holder.until - now, millis)))
    })

  /** Who gets the lock is listed as its holder at once, so that nobody of this process who comes next has to guess when it is free. */
  const tryLock = (key: string, holder: Holder): Effect.Effect<boolean, SessionError> =>
    Effect.zipWith(
      backing.tryLock(key, holder.owner, options.leaseMillis),
      Clock.currentTimeMillis,
      (isOurs, now) => {
        if (isOurs) {
          holder.until = now + options.leaseMillis
          holders.set(key, holder)
        }
        return isOurs
      }
    )

  const contend = (key: string, holder: Holder): Effect.Effect<void, SessionError> =>
    Effect.gen(function*() {
      for (let attempt = 0;; attempt = Math.min(attempt + 1, 10)) {
        if (holders.has(key) || attempt > 0) yield* pause(key, attempt)
        if (yield* tryLock(key, holder)) return
      }
    })

  const inTurn = <A, E, R>(key: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const queue = queues.get(key) ?? { turn: Effect.unsafeMakeSemaphore(1), members: 0 }
        queue.members += 1
        queues.set(key, queue)
        return queue
      }),
      (queue) => queue.turn.withPermits(1)(self),
      (queue) =>
        Effect.sync(() => {
          queue.members -= 1
          if (queue.members === 0) queues.delete(key)
        })
    )

  const acquire = (key: string, holder: Holder): Effect.Effect<void, SessionError> =>
    Effect.gen(function*() {
      const isFree = !holders.has(key) && !queues.has(key)
      // In turn all the same, so that of a thousand that come at once one asks.
      if (isFree && (yield* inTurn(key, tryLock(key, holder)))) return
      yield* refuseReentry(key)
      yield* Effect.timeoutFail(inTurn(key, contend(key, holder)), {
        duration: options.waitMillis,
        onTimeout: () =>
          failed("LockTimeout", `the lock was not free within ${Duration.format(Duration.millis(options.waitMillis))}`)
      })
    })

  const release = (key: string, holder: Holder) =>
    Effect.catchAll(
      backing.unlock(key, holder.owner),
      (error) => Effect.logWarning(`A session's lock is left to its lease. ${error.message}`)
    ).pipe(
      Effect.zipRight(Effect.suspend(() => {
        if (holders.get(key) === holder) holders.delete(key)
        return Deferred.succeed(holder.released, undefined)
      }))
    )

  return {
    run: (key, use) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const owner = yield* SecureRandom.base64Url(random, 16)
          const holder: Holder = { owner, until: 0, released: yield* Deferred.make<void>() }
          // An attempt that was cut off may have got the lock all the same. Nobody waits for its return.
          yield* Effect.onError(restore(acquire(key, holder)), () => Effect.forkDaemon(release(key, holder)))
          return yield* use(restore).pipe(
            Effect.locallyWith(heldAbove, (above) => new Set(above).add(owner)),
            Effect.ensuring(release(key, holder))
          )
        })
      )
  }
}
