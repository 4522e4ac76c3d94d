/**
 * Keys for tests: the published ones, and fresh ones in every form a key comes in.
 */
import * as NodeCrypto from "node:crypto"
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"

export const vector = (name: string): string => readFileSync(new URL(`../vectors/${name}`, import.meta.url), "utf8")

export const assertions: {
  readonly RS384: string
  readonly ES384: string
  readonly exampleCode: string
  readonly exampleRefresh: string
  readonly exampleKey: jose.JWK
} = JSON.parse(vector("assertions.json"))

export const publicSet = (name: string): { readonly keys: Array<jose.JWK> } => JSON.parse(vector(`${name}.public.json`))

export const ec = (namedCurve = "P-384"): NodeCrypto.KeyPairKeyObjectResult =>
  NodeCrypto.generateKeyPairSync("ec", { namedCurve })

const rsaPairs = new Map<number, NodeCrypto.KeyPairKeyObjectResult>()

/** One pair for each length: an RSA key takes long to make. */
export const rsa = (modulusLength = 2048): NodeCrypto.KeyPairKeyObjectResult => {
  const pair = rsaPairs.get(modulusLength) ?? NodeCrypto.generateKeyPairSync("rsa", { modulusLength })
  rsaPairs.set(modulusLength, pair)
  return pair
}

export const pem = (pair: NodeCrypto.KeyPairKeyObjectResult): Redacted.Redacted =>
  Redacted.make(pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString())

export const jwk = (pair: NodeCrypto.KeyPairKeyObjectResult): Record<string, unknown> => ({
  ...pair.privateKey.export({ format: "jwk" })
})

export const publicJwk = (pair: NodeCrypto.KeyPairKeyObjectResult): Record<string, unknown> => ({
  ...pair.publicKey.export({ format: "jwk" })
})

/** Whether a set verifies an assertion, found by its `kid` as a SMART server finds it; the time does not matter. */
export const verifies = (assertion: string, keys: ReadonlyArray<object>): Effect.Effect<boolean> =>
  Effect.promise(() =>
    jose.compactVerify(assertion, jose.createLocalJWKSet({ keys: keys.map((key) => ({ ...key })) })).then(
      () => true,
      () => false
    )
  )
