/**
 * A map that holds the latest so many entries: for values that are cheap to make again.
 *
 * @internal
 */
export interface BoundedMap<V> {
  readonly get: (key: string) => V | undefined
  readonly set: (key: string, value: V) => void
  readonly delete: (key: string) => void
  /** Deletes from the oldest entry on, as long as they are stale. */
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
