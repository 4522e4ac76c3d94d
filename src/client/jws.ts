/**
 * The compact serialization of a JSON Web Signature (RFC 7515, section 7.1), made here because a signer that never shows its key cannot be handed to
 * a library.
 */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../base/ConfigurationError.js"
import { safeText } from "../http/wireFields.js"
import type { SigningKey } from "./SigningKey.js"

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

/**
 * Signs with the first of the keys that fits. They are asked for anew each time, because keys rotate.
 *
 * @internal
 */
export const sign = (keys: () => Effect.Effect<ReadonlyArray<SigningKey>>): Sign =>
  Effect.fn("SigningKeys.sign")(
    function*(claims: Readonly<Record<string, unknown>>, options?: SignOptions | undefined) {
      const key = yield* choose(yield* keys(), options?.algs)
      yield* Effect.annotateCurrentSpan({ "smart.kid": key.kid, "smart.alg": key.alg })
      // The order is that of the specification's examples, which are reproduced byte for byte.
      const header = { alg: key.alg, kid: key.kid, typ: options?.typ ?? "JWT", jku: options?.jku }
      const input = `${Encoding.encodeBase64Url(JSON.stringify(header))}.${
        Encoding.encodeBase64Url(JSON.stringify(claims))
      }`
      const signature = yield* key.sign(new TextEncoder().encode(input))
      return Redacted.make(`${input}.${Encoding.encodeBase64Url(signature)}`)
    }
  )
