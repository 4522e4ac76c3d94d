/**
 * A map that drops its oldest entries above a number of entries or bytes: for values that can be fetched again.
 *
 * @internal
 */
export interface ByteCache<V> {
  readonly get: (key: string) => V | undefined
  readonly set: (key: string, value: V) => void
}

/** @internal */
export interface Limits {
  readonly entries: number
  readonly bytes: number
}

/** @internal */
export const makeByteCache = <V extends { readonly bytes: number }>(limits: Limits): ByteCache<V> => {
  const entries = new Map<string, V>()
  let total = 0
  const remove = (key: string) => {
    total -= entries.get(key)?.bytes ?? 0
    entries.delete(key)
  }
  return {
    get: (key) => entries.get(key),
    set: (key, value) => {
      remove(key)
      entries.set(key, value)
      total += value.bytes
      for (const oldest of entries.keys()) {
        if (entries.size <= limits.entries && total <= limits.bytes) return
        remove(oldest)
      }
    }
  }
}
