/** Key pairs for the examples, generated when they start. An app reads its private key from its secret store. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"

export interface KeyPair {
  /** A JWK as JSON text, as in `SMART_PRIVATE_KEY`. */
  readonly privateJwk: Redacted.Redacted
  /** The public half, for the registration. */
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
