/**
 * Formats of keys: PKCS#8 in PEM (RFC 7468, section 10), JWK (RFC 7517) and the thumbprint of a JWK (RFC 7638). The
 * cryptography is that of WebCrypto.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import type { JsonObject } from "../../base/JsonReader.js"
import type { PublicKey } from "./algorithms.js"
import { attempt, IMPORT } from "./algorithms.js"

/** The members of a key of WebCrypto, without those that describe its use. */
const membersOf = async (key: CryptoKey): Promise<JsonObject> => {
  const { alg: _alg, ext: _ext, key_ops: _operations, use: _use, ...members } = await globalThis.crypto.subtle
    .exportKey("jwk", key)
  return members
}

export const exportPublic = (key: CryptoKey): Effect.Effect<JsonObject, ConfigurationError> =>
  attempt(() => membersOf(key), "publicKey cannot be exported")

/**
 * WebCrypto has to be told the kind of key. Unsupported ones are tried, too, so that the error can name the kind.
 */
const PKCS8_ALGORITHMS = [
  IMPORT.RS384,
  IMPORT.ES384,
  { name: "ECDSA", namedCurve: "P-256" },
  { name: "ECDSA", namedCurve: "P-521" },
  { name: "Ed25519" }
]

/** The members of a private key in PEM, which is readable only until its public half is known. */
export const fromPkcs8 = (pem: string): Effect.Effect<JsonObject, ConfigurationError> => {
  const base64 = pem.replace(/-----[A-Z ]+-----|\s/g, "")
  const bytes = Either.getOrElse(Encoding.decodeBase64(base64), () => new Uint8Array())
  return Effect.firstSuccessOf(
    PKCS8_ALGORITHMS.map((algorithm) =>
      attempt(
        () =>
          globalThis.crypto.subtle.importKey("pkcs8", new Uint8Array(bytes), algorithm, true, ["sign"]).then(membersOf),
        "it is neither an RSA key nor one on P-384"
      )
    )
  )
}

/** The required members in the order of their names, without white space. */
const thumbprintInput = ({ alg, members }: PublicKey): string =>
  alg === "RS384"
    ? JSON.stringify({ e: members.e, kty: members.kty, n: members.n })
    : JSON.stringify({ crv: members.crv, kty: members.kty, x: members.x, y: members.y })

/** The SHA-256 thumbprint of a public key. */
export const thumbprint = (key: PublicKey): Effect.Effect<string, ConfigurationError> =>
  Effect.map(
    attempt(
      () => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(thumbprintInput(key))),
      "its thumbprint cannot be calculated"
    ),
    (digest) => Encoding.encodeBase64Url(new Uint8Array(digest))
  )
