/**
 * A map with a maximum number of entries, which drops the oldest: for values that can be recreated.
 *
 * @internal
 */
export interface BoundedMap<V> {
  readonly get: (key: string) => V | undefined
  readonly set: (key: string, value: V) => void
  readonly delete: (key: string) => void
  /** Deletes stale entries, from the oldest up to the first that is not stale. */
  readonly prune: (isStale: (value: V) => boolean) => void
}

/** @internal */
export const make = <V>(capacity: number): BoundedMap<V> => {
  const entries = new Map<string, V>()
  return {
    get: (key) => entries.get(key),
    set: (key, value) => {
      entries.delete(key)
      entries.set(key, value)
      if (entries.size <= capacity) return
      const oldest = entries.keys().next()
      if (oldest.done !== true) entries.delete(oldest.value)
    },
    delete: (key) => {
      entries.delete(key)
    },
    prune: (isStale) => {
      for (const [key, value] of entries) {
        if (!isStale(value)) return
        entries.delete(key)
      }
    }
  }
}
