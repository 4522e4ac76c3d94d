import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { BackingSessionStore, Value } from "../BackingSessionStore.js"
import { localLocks } from "../BackingSessionStore.js"

/** How many writes go by between two searches for what nobody wants any more. */
const WRITES_PER_SWEEP = 512

/**
 * Exclusive over those that share this value; gone with the process.
 *
 * @internal
 */
export const make: Effect.Effect<BackingSessionStore> = Effect.sync(() => {
  const values = new Map<string, Value>()
  let writes = 0
  const sweep = (now: number) => {
    for (const [key, value] of values) if (value.expiresAt <= now) values.delete(key)
  }
  return {
    name: "memory",
    immediate: true,
    read: (key) => Effect.sync(() => Option.map(Option.fromNullable(values.get(key)), (value) => value.text)),
    replace: (key, expected, next) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (values.get(key)?.text !== Option.getOrUndefined(expected)) return false
        if (Option.isNone(next)) values.delete(key)
        else values.set(key, next.value)
        writes += 1
        if (writes % WRITES_PER_SWEEP === 0) sweep(now)
        return true
      }),
    ...localLocks()
  }
})
