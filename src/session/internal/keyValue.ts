import type { PlatformError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { BackingSessionStore } from "../BackingSessionStore.js"
import { localLocks, unavailable } from "../BackingSessionStore.js"

/** The locks of each key-value store, which has neither locks nor a compare-and-set. All layers over it share them. */
const shared = new WeakMap<
  KeyValueStore.KeyValueStore,
  { readonly locks: Pick<BackingSessionStore, "tryLock" | "unlock">; readonly writing: Effect.Semaphore }
>()

/**
 * Entries in a `KeyValueStore`, exclusive over this process. It does not use `clear` and `size`, which ignore prefixes,
 * and `modify`, which is not atomic.
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
          // Some key-value stores fail when they remove an absent key.
          else if (Option.isSome(current)) yield* run("removing", values.remove(prefix + key))
          return true
        }).pipe(writing.withPermits(1)),
      ...locks
    }
  })
