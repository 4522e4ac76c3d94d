/**
 * A table as cloud databases have them: items under keys, written on a condition. This one is in memory and stands for the client of yours, hence the
 * promises: DynamoDB has condition expressions, Cosmos DB and Firestore have preconditions, etcd and Consul compare and set.
 */
export interface Item {
  readonly text: string
  /** Epoch milliseconds after which the database may remove it by itself. */
  readonly expires: number
}

export interface Table {
  readonly get: (key: string) => Promise<Item | undefined>
  /** In one step: if the condition holds for what is there, it becomes `next` (nothing, if that is `undefined`). Says whether it did. */
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
