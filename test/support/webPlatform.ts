/** The parts of `Storage` and `LockManager` that a session store uses. */
export const fakeStorage = (): Storage => {
  const items = new Map<string, string>()
  return {
    get length() {
      return items.size
    },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => {
      items.set(key, value)
    },
    removeItem: (key) => {
      items.delete(key)
    },
    clear: () => items.clear()
  }
}

/**
 * Web Locks API, section 4: exclusive locks are granted in order; with `ifAvailable` the callback gets null instead of
 * waiting.
 */
export const fakeLocks = (): LockManager => {
  const tails = new Map<string, Promise<unknown>>()
  const request = (
    name: string,
    optionsOrGrant: LockOptions | LockGrantedCallback<unknown>,
    maybeGrant?: LockGrantedCallback<unknown>
  ): Promise<unknown> => {
    const grant = typeof optionsOrGrant === "function" ? optionsOrGrant : maybeGrant!
    const options = typeof optionsOrGrant === "function" ? {} : optionsOrGrant
    const tail = tails.get(name)
    if (tail !== undefined && options.ifAvailable === true) return Promise.resolve().then(() => grant(null))
    const granted = (tail ?? Promise.resolve()).then(() => grant({ name, mode: "exclusive" }))
    const settled = granted.then(() => {}, () => {}).then(() => {
      if (tails.get(name) === settled) tails.delete(name)
    })
    tails.set(name, settled)
    return granted
  }
  return { request: request as LockManager["request"], query: () => Promise.resolve({}) }
}
