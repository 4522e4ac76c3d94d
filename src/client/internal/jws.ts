/**
 * The compact serialization of a JSON Web Signature (RFC 7515, section 7.1), made here because a signer that never shows its key cannot be handed to
 * a library.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import { span } from "../../base/Span.js"
import { safeText } from "../../http/Redaction.js"
import type { SigningKey } from "../SigningKey.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface SignOptions {
  /** The algorithms the server accepts. Without it, any. */
  readonly algs?: ReadonlyArray<string> | undefined
  /** Default `JWT`. */
  readonly typ?: string | undefined
  /** Where the public keys are, if the server should be told. */
  readonly jku?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Sign = (
  claims: Readonly<Record<string, unknown>>,
  options?: SignOptions | undefined
) => Effect.Effect<Redacted.Redacted, ConfigurationError>

const choose = (
  keys: ReadonlyArray<SigningKey>,
  algs: ReadonlyArray<string> | undefined
): Effect.Effect<SigningKey, ConfigurationError> => {
  const key = algs === undefined ? keys[0] : keys.find(({ alg }) => algs.includes(alg))
  return key === undefined
    ? new ConfigurationError({
      reason: "Conflict",
      fields: ["signingKey", "token_endpoint_auth_signing_alg_values_supported"],
      detail: `the server accepts ${safeText((algs ?? []).join(", "), [], 100) || "nothing"}, and the keys here sign ${
        [...new Set(keys.map(({ alg }) => alg))].join(", ") || "nothing"
      }`
    })
    : Effect.succeed(key)
}

const encoder = new TextEncoder()

const compact = (
  key: SigningKey,
  claims: Readonly<Record<string, unknown>>,
  options: SignOptions | undefined
): Effect.Effect<Redacted.Redacted, ConfigurationError> => {
  // The order is that of the specification's examples, which are reproduced byte for byte.
  const header = { alg: key.alg, kid: key.kid, typ: options?.typ ?? "JWT", jku: options?.jku }
  const input = `${jose.base64url.encode(JSON.stringify(header))}.${jose.base64url.encode(JSON.stringify(claims))}`
  return Effect.map(
    key.sign(encoder.encode(input)),
    (signature) => Redacted.make(`${input}.${jose.base64url.encode(signature)}`)
  ).pipe(span("SigningKeys.sign", { attributes: { "smart.kid": key.kid, "smart.alg": key.alg } }))
}

/**
 * Signs with the first of the keys that fits. They are asked for anew each time, because keys rotate.
 *
 * @internal
 */
export const sign = (keys: () => Effect.Effect<ReadonlyArray<SigningKey>>): Sign => (claims, options) =>
  Effect.flatMap(
    Effect.suspend(keys),
    (found) => Effect.flatMap(choose(found, options?.algs), (key) => compact(key, claims, options))
  )
