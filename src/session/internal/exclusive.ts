import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as RuntimeFlags from "effect/RuntimeFlags"
import { unsafeMillis } from "../../base/FiberEnvironment.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import type { BackingSessionStore, Value } from "../BackingSessionStore.js"
import { SessionError } from "../SessionError.js"

/**
 * A lock that this caller has.
 *
 * @internal
 */
export interface Lock {
  /** Unique to this lock. */
  readonly owner: string
  /** The text of the entry, as of the lock. Read once. */
  readonly read: Effect.Effect<Option.Option<string>, SessionError>
  /** As `BackingSessionStore.replace`. It may release the lock, after which nothing else is written. */
  readonly replace: (
    expected: Option.Option<string>,
    next: Option.Option<Value>
  ) => Effect.Effect<boolean, SessionError>
}

/** @internal */
export interface Exclusive {
  /**
   * Runs `use` with the lock of `key`. `use` cannot be interrupted, except for effects inside `restore`. The wait for
   * the lock can be interrupted.
   */
  readonly run: <A, E, R>(
    key: string,
    use: (
      restore: <B, F, S>(self: Effect.Effect<B, F, S>) => Effect.Effect<B, F, S>,
      lock: Lock
    ) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SessionError, R>
}

/** @internal */
export interface Options {
  readonly leaseMillis: number
  readonly waitMillis: number
}

/** The caller of this process that has the lock, or that requests it while no other caller does. */
interface Holder {
  readonly owner: string
  until: number
  /** Made by the first caller that waits. */
  released: Deferred.Deferred<void> | undefined
  /** What was read with the lock, if the store reads in the same step, and when this was requested. */
  text: Option.Option<string> | undefined
  requestedAt: number
  /** Whether the lock was released with the write. */
  isUnlocked: boolean
}

interface Queue {
  readonly turn: Effect.Semaphore
  members: number
}

/** The owners of locks that this fiber and its ancestors hold. */
const heldAbove: FiberRef.FiberRef<ReadonlySet<string>> = FiberRef.unsafeMake<ReadonlySet<string>>(new Set())

const FIRST_PAUSE_MILLIS = 10
const LONGEST_PAUSE_MILLIS = 250

/**
 * One lock per key over all processes that share the backing store. Of the callers in this process one at a time
 * requests the lock, and while a caller of this process holds it, the others wait for its release.
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

  /**
   * Waits for a holder in this process until its release or the end of its lease; for other holders, growing pauses.
   */
  const pause = (key: string, attempt: number) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const longest = Math.min(FIRST_PAUSE_MILLIS * 2 ** attempt, LONGEST_PAUSE_MILLIS)
      const millis = yield* Random.nextRange(longest / 2, longest)
      const holder = holders.get(key)
      if (holder === undefined) return yield* Effect.sleep(millis)
      const released = holder.released ?? (yield* Deferred.make<void>())
      holder.released = released
      yield* Deferred.await(released).pipe(Effect.timeoutOption(Math.max(holder.until - now, millis)))
    })

  const forget = (key: string, holder: Holder): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (holders.get(key) === holder) holders.delete(key)
      const { released } = holder
      // If another process has the lock, this caller may become the holder again.
      holder.released = undefined
      return released === undefined ? Effect.void : Deferred.succeed(released, undefined)
    })

  const { lockAndRead, replaceAndUnlock } = backing

  const request = (key: string, holder: Holder): Effect.Effect<boolean, SessionError> =>
    lockAndRead === undefined
      ? backing.tryLock(key, holder.owner, options.leaseMillis)
      : Effect.suspend(() => {
        holder.requestedAt = unsafeMillis()
        return Effect.map(lockAndRead(key, holder.owner, options.leaseMillis), (read) => {
          holder.text = Option.getOrUndefined(read)
          return Option.isSome(read)
        })
      })

  /** After a pause that was longer than the lease, another process may have changed the entry. */
  const read = (key: string, { requestedAt, text }: Holder): Effect.Effect<Option.Option<string>, SessionError> =>
    text === undefined || unsafeMillis() >= requestedAt + options.leaseMillis
      ? backing.read(key)
      : Effect.succeed(text)

  const tryLock = (key: string, holder: Holder): Effect.Effect<boolean, SessionError> =>
    Effect.map(request(key, holder), (isOurs) => {
      if (isOurs) {
        holder.until = unsafeMillis() + options.leaseMillis
        holders.set(key, holder)
      }
      return isOurs
    })

  const lockOf = (key: string, holder: Holder): Lock => ({
    owner: holder.owner,
    read: Effect.suspend(() => read(key, holder)),
    replace: (expected, next) =>
      replaceAndUnlock === undefined
        ? backing.replace(key, expected, next)
        : Effect.map(replaceAndUnlock(key, holder.owner, expected, next), (isDone) => {
          holder.isUnlocked = isDone
          return isDone
        })
  })

  /** Records the holder at once, so that of a thousand concurrent callers one requests the lock. */
  const tryFirst = (key: string, holder: Holder): Effect.Effect<boolean, SessionError> =>
    Effect.suspend(() => {
      if (holders.has(key) || queues.has(key)) return Effect.succeed(false)
      holder.until = unsafeMillis() + options.leaseMillis
      holders.set(key, holder)
      return Effect.flatMap(
        request(key, holder),
        (isOurs) => isOurs ? Effect.succeed(true) : Effect.as(forget(key, holder), false)
      )
    })

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
    Effect.flatMap(tryFirst(key, holder), (isOurs) =>
      isOurs ? Effect.void : Effect.zipRight(
        refuseReentry(key),
        Effect.timeoutFail(inTurn(key, contend(key, holder)), {
          duration: options.waitMillis,
          onTimeout: () =>
            failed(
              "LockTimeout",
              `the lock was not released within ${Duration.format(Duration.millis(options.waitMillis))}`
            )
        })
      ))

  const unlock = (key: string, holder: Holder): Effect.Effect<void> =>
    Effect.catchAll(
      backing.unlock(key, holder.owner),
      (error) => Effect.logWarning(`A session's lock was not released and ends with its lease. ${error.message}`)
    )

  /** As `Effect.ensuring`, in a region that cannot be interrupted, at a third of its steps. */
  const locked = <A, E, R>(key: string, holder: Holder, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(FiberRef.getAndUpdate(heldAbove, (above) => new Set(above).add(holder.owner)), (above) => {
      const end = () =>
        Effect.zipRight(
          FiberRef.set(heldAbove, above),
          holder.isUnlocked ? forget(key, holder) : Effect.zipRight(unlock(key, holder), forget(key, holder))
        )
      return Effect.matchCauseEffect(self, {
        onFailure: (cause) => Effect.zipRight(end(), Effect.failCause(cause)),
        onSuccess: (value) => Effect.as(end(), value)
      })
    })

  return {
    // `Effect.uninterruptibleMask` would keep its callback reachable, as `Effect.async` does (see `asyncOnce`).
    run: (key, use) =>
      Effect.withFiberRuntime((_, { runtimeFlags }) => {
        const restore = RuntimeFlags.interruptible(runtimeFlags) ? Effect.interruptible : identity
        return Effect.uninterruptible(Effect.flatMap(SecureRandom.base64Url(random, 16), (owner) => {
          const holder: Holder = {
            owner,
            until: 0,
            released: undefined,
            text: undefined,
            requestedAt: 0,
            isUnlocked: false
          }
          return Effect.matchCauseEffect(restore(acquire(key, holder)), {
            // An interrupted request may have got the lock, so it is released in the background.
            onFailure: (cause) =>
              forget(key, holder).pipe(
                Effect.zipRight(Effect.forkDaemon(unlock(key, holder))),
                Effect.zipRight(Effect.failCause(cause))
              ),
            onSuccess: () => locked(key, holder, Effect.suspend(() => use(restore, lockOf(key, holder))))
          })
        }))
      })
  }
}
