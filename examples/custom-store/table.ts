/**
 * A table with conditional writes, as in cloud databases: condition expressions of DynamoDB, preconditions of Cosmos
 * DB and Firestore, compare-and-set of etcd and Consul. This table is in memory; replace it by the client of your
 * database.
 */
export interface Item {
  readonly text: string
  /** Epoch milliseconds after which the database may remove it by itself. */
  readonly expires: number
}

export interface Table {
  readonly get: (key: string) => Promise<Item | undefined>
  /**
   * Atomically: writes `next` if the condition holds for the current item; `undefined` removes it. Returns whether it
   * did.
   */
  readonly write: (
    key: string,
    next: Item | undefined,
    condition: (current: Item | undefined) => boolean
  ) => Promise<boolean>
  readonly keys: () => Promise<ReadonlyArray<string>>
}

export const make = (): Table => {
  const items = new Map<string, Item>()
  return {
    get: (key) => Promise.resolve(items.get(key)),
    write: (key, next, condition) => {
      const holds = condition(items.get(key))
      if (holds && next !== undefined) items.set(key, next)
      if (holds && next === undefined) items.delete(key)
      return Promise.resolve(holds)
    },
    keys: () => Promise.resolve([...items.keys()])
  }
}
