import type { PlatformError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { BackingSessionStore } from "../BackingSessionStore.js"
import { localLocks, unavailable } from "../BackingSessionStore.js"

/** A key-value store offers neither a lock nor a compare-and-set, so both live here: beside the value they guard, however many layers use it. */
const shared = new WeakMap<
  KeyValueStore.KeyValueStore,
  { readonly locks: Pick<BackingSessionStore, "tryLock" | "unlock">; readonly writing: Effect.Semaphore }
>()

/**
 * Exclusive over this process. `clear`, `size` and `modify` of the key-value store are left alone: behind a prefix the first two act on the whole store,
 * and the last is not atomic.
 *
 * @internal
 */
export const make = (prefix: string): Effect.Effect<BackingSessionStore, never, KeyValueStore.KeyValueStore> =>
  Effect.map(KeyValueStore.KeyValueStore, (values) => {
    const name = "key-value store"
    const { locks, writing } = shared.get(values) ?? { locks: localLocks(), writing: Effect.unsafeMakeSemaphore(1) }
    shared.set(values, { locks, writing })
    const run = <A>(operation: string, effect: Effect.Effect<A, PlatformError>) =>
      Effect.mapError(effect, unavailable(name, operation))
    const read = (key: string) => run("reading", values.get(prefix + key))
    return {
      name,
      read,
      replace: (key, expected, next) =>
        Effect.gen(function*() {
          const current = yield* read(key)
          if (Option.getOrUndefined(current) !== Option.getOrUndefined(expected)) return false
          if (Option.isSome(next)) yield* run("writing", values.set(prefix + key, next.value.text))
          // Removing what is not there fails in some key-value stores.
          else if (Option.isSome(current)) yield* run("removing", values.remove(prefix + key))
          return true
        }).pipe(writing.withPermits(1)),
      ...locks
    }
  })
