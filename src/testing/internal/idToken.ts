/**
 * The signing key of the sandbox, its JWKS and its id_tokens (OpenID Connect Core §2; RS256, as SMART App Launch 2.2
 * requires).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as jose from "jose"

/** Signs id_tokens. */
export interface Signer {
  readonly sign: (claims: jose.JWTPayload) => Effect.Effect<string>
  readonly jwks: Effect.Effect<{ readonly keys: ReadonlyArray<jose.JWK> }>
}

const kid = "sandbox-rs256"

/** A signer that generates its key at first use, because it is slow and most tests need no key. */
export const make: Effect.Effect<Signer> = Effect.map(
  Effect.cached(Effect.promise(() => jose.generateKeyPair("RS256"))),
  (keyPair): Signer => ({
    sign: (claims) =>
      Effect.flatMap(
        keyPair,
        ({ privateKey }) =>
          Effect.promise(() =>
            new jose.SignJWT(claims).setProtectedHeader({ alg: "RS256", kid, typ: "JWT" }).sign(privateKey)
          )
      ),
    jwks: Effect.flatMap(
      keyPair,
      ({ publicKey }) =>
        Effect.map(
          Effect.promise(() => jose.exportJWK(publicKey)),
          (jwk) => ({ keys: [{ ...jwk, kid, alg: "RS256", use: "sig" }] })
        )
    )
  })
)
