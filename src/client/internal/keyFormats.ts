/**
 * Formats of keys: PKCS#8 in PEM (RFC 7468, section 10), JWK (RFC 7517) and the thumbprint of a JWK (RFC 7638), by
 * `jose`.
 */
import * as Effect from "effect/Effect"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { attempt, type PublicKey } from "./algorithms.js"
import type * as Jose from "./jose.js"

const withJose = <A>(
  work: (jose: typeof Jose) => PromiseLike<A>,
  detail: string
): Effect.Effect<A, ConfigurationError> =>
  Effect.flatMap(
    attempt(() => import("./jose.js"), "the part of this program that reads keys could not be loaded"),
    (jose) => attempt(() => work(jose), detail)
  )

export const exportPublic = (key: CryptoKey): Effect.Effect<JsonObject, ConfigurationError> =>
  withJose((jose) => jose.exportJWK(key), "publicKey cannot be exported")

/**
 * PKCS#8 does not name the algorithm that jose asks for. Unsupported ones are tried, too, so that the error can name
 * the kind of key.
 */
const PEM_ALGORITHMS = ["RS384", "ES384", "ES256", "ES512", "Ed25519"]

/** The members of a private key in PEM, which is readable only until its public half is known. */
export const fromPkcs8 = (pem: string): Effect.Effect<JsonObject, ConfigurationError> =>
  Effect.firstSuccessOf(
    PEM_ALGORITHMS.map((alg) =>
      withJose(
        (jose) => jose.importPKCS8(pem, alg, { extractable: true }).then(jose.exportJWK),
        "it is neither an RSA key nor one on P-384"
      )
    )
  )

/** The SHA-256 thumbprint of a public key. */
export const thumbprint = ({ members }: PublicKey): Effect.Effect<string, ConfigurationError> =>
  withJose((jose) => jose.calculateJwkThumbprint(members), "its thumbprint cannot be calculated")
