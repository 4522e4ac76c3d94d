/** Key pairs for the examples, made when they start. An app's private key comes from where its secrets are kept. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"

export interface KeyPair {
  /** A JWK as JSON text: what `SMART_PRIVATE_KEY` would hold. */
  readonly privateJwk: Redacted.Redacted
  /** What a server is told of it. */
  readonly publicJwk: jose.JWK
}

export const generate = (kid: string): Effect.Effect<KeyPair> =>
  Effect.promise(() =>
    jose.generateKeyPair("ES384", { extractable: true }).then(({ privateKey, publicKey }) =>
      Promise.all([jose.exportJWK(privateKey), jose.exportJWK(publicKey)])
    )
  ).pipe(
    Effect.map(([privateJwk, publicJwk]) => {
      const named = { kid, alg: "ES384" }
      return {
        privateJwk: Redacted.make(JSON.stringify({ ...privateJwk, ...named })),
        publicJwk: { ...publicJwk, ...named }
      }
    })
  )
