/**
 * The store of `oidc-provider` in memory, one for each server. A test can expire a single token in it.
 */
import { readFileSync } from "node:fs"
import type { Adapter, AdapterPayload, JWK } from "oidc-provider"

export interface Store {
  readonly adapter: (model: string) => Adapter
  readonly expire: (id: string) => void
  /** The key set of a client that registered its keys by URL. */
  readonly jwks: (name: string) => { readonly keys: ReadonlyArray<JWK> }
}

type NamedKey = JWK & { readonly kid: string }

/** A published key of the SMART guide (`test/vectors`); the files of private keys contain the public half, too. */
export const vectorJwk = (name: "RS384" | "ES384", kind: "public" | "private"): NamedKey => {
  const text = readFileSync(new URL(`../vectors/${name}.${kind}.json`, import.meta.url), "utf8")
  const { keys }: { readonly keys: ReadonlyArray<NamedKey> } = JSON.parse(text)
  return keys.find((key) => ("d" in key) === (kind === "private")) ?? { kid: "no such key" }
}

export const makeStore = (): Store => {
  const payloads = new Map<string, AdapterPayload>()
  const done = (act: () => void): Promise<void> => {
    act()
    return Promise.resolve()
  }
  const adapter = (model: string): Adapter => {
    const findBy = (member: "uid" | "userCode", value: string) =>
      Promise.resolve(
        [...payloads].find(([key, payload]) => key.startsWith(`${model}:`) && payload[member] === value)?.[1]
      )
    return {
      upsert: (id, payload) => done(() => payloads.set(`${model}:${id}`, payload)),
      find: (id) => Promise.resolve(payloads.get(`${model}:${id}`)),
      findByUid: (uid) => findBy("uid", uid),
      findByUserCode: (userCode) => findBy("userCode", userCode),
      destroy: (id) => done(() => payloads.delete(`${model}:${id}`)),
      consume: (id) =>
        done(() => {
          const payload = payloads.get(`${model}:${id}`)
          if (payload !== undefined) payload.consumed = payload.iat
        }),
      revokeByGrantId: (grantId) =>
        done(() => {
          for (const [key, payload] of payloads) {
            if (key.startsWith(`${model}:`) && payload.grantId === grantId) payloads.delete(key)
          }
        })
    }
  }
  return {
    adapter,
    expire: (id) => {
      for (const [key, payload] of payloads) {
        if (key.endsWith(`:${id}`)) payload.exp = payload.iat
      }
    },
    jwks: (name) => ({ keys: name === "by-url" ? [vectorJwk("ES384", "public")] : [] })
  }
}
