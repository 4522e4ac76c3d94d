/**
 * The compact serialization of a JSON Web Signature (RFC 7515, section 7.1). Made here, because jose signs only with
 * keys that it can use itself, and the key of a signer stays in its service.
 */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import { span } from "../../base/Span.js"
import { safeText } from "../../http/Redaction.js"
import type { SigningKey } from "../SigningKey.js"

/**
 * Options of a signature.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignOptions {
  /** The algorithms that the server accepts. Default: any. */
  readonly algs?: ReadonlyArray<string> | undefined
  /** Default `JWT`. */
  readonly typ?: string | undefined
  /** The URL of the public keys, for the header. */
  readonly jku?: string | undefined
}

/**
 * Signs claims as a compact JWS. It fails with a `ConfigurationError` if no key has an accepted algorithm.
 *
 * @since 0.1.0
 * @category models
 */
export type Sign = (
  claims: Readonly<Record<string, unknown>>,
  options?: SignOptions | undefined
) => Effect.Effect<Redacted.Redacted, ConfigurationError>

const choose = (
  keys: ReadonlyArray<SigningKey>,
  algs: ReadonlyArray<string> = keys.map(({ alg }) => alg)
): Effect.Effect<SigningKey, ConfigurationError> => {
  const key = keys.find(({ alg }) => algs.includes(alg))
  if (key !== undefined) return Effect.succeed(key)
  const own = [...new Set(keys.map(({ alg }) => alg))].join(", ")
  return configurationError(
    "Conflict",
    ["signingKey", "token_endpoint_auth_signing_alg_values_supported"],
    `the server accepts ${safeText(algs.join(", "), [], 100) || "nothing"}, and the keys here sign ${own}`
  )
}

const encoder = new TextEncoder()

const compact = (
  key: SigningKey,
  claims: Readonly<Record<string, unknown>>,
  options: SignOptions | undefined
): Effect.Effect<Redacted.Redacted, ConfigurationError> => {
  // In the order of the specification's examples, which the tests reproduce byte for byte.
  const header = { alg: key.alg, kid: key.kid, typ: options?.typ ?? "JWT", jku: options?.jku }
  const input = `${Encoding.encodeBase64Url(JSON.stringify(header))}.${
    Encoding.encodeBase64Url(JSON.stringify(claims))
  }`
  return Effect.map(
    key.sign(encoder.encode(input)),
    (signature) => Redacted.make(`${input}.${Encoding.encodeBase64Url(signature)}`)
  ).pipe(span("SigningKeys.sign", { attributes: { "smart.kid": key.kid, "smart.alg": key.alg } }))
}

/** Signs with the first key that fits. `keys` runs for each signature, because keys rotate. */
export const sign = (keys: Effect.Effect<ReadonlyArray<SigningKey>>): Sign => (claims, options) =>
  keys.pipe(
    Effect.flatMap((found) => choose(found, options?.algs)),
    Effect.flatMap((key) => compact(key, claims, options))
  )
