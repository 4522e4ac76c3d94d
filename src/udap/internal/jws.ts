/**
 * JSON Web Signatures in compact serialization, as UDAP uses them (RFC 7515, section 7.1; UDAP Security STU2, section
 * 7.1): the header has `alg` and `x5c` only, and the key is that of the first certificate.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import { isJsonObject, type JsonObject, parseJson } from "../../base/JsonReader.js"
import { safeText } from "../../http/Redaction.js"

/**
 * An algorithm of a signature.
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = "RS256" | "RS384" | "ES256" | "ES384"

/**
 * How WebCrypto imports the key of an algorithm.
 *
 * @internal
 */
export const KEYS = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  RS384: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
  ES256: { name: "ECDSA", namedCurve: "P-256" },
  ES384: { name: "ECDSA", namedCurve: "P-384" }
} as const

/**
 * How WebCrypto signs with it.
 *
 * @internal
 */
export const SIGN = {
  RS256: { name: "RSASSA-PKCS1-v1_5" },
  RS384: { name: "RSASSA-PKCS1-v1_5" },
  ES256: { name: "ECDSA", hash: "SHA-256" },
  ES384: { name: "ECDSA", hash: "SHA-384" }
} as const

/** @internal */
export interface Decoded {
  readonly header: JsonObject
  readonly claims: JsonObject
}

const parsePart = (part: string): JsonObject | undefined => {
  const text = Either.try(() => new TextDecoder("utf-8", { fatal: true }).decode(jose.base64url.decode(part)))
  const json = Either.isRight(text) ? parseJson(text.right)?.value : undefined
  return isJsonObject(json) ? json : undefined
}

/**
 * The parts of a JWT, before anything is verified; `undefined` if it is not one in compact serialization (UDAP-3).
 *
 * @internal
 */
export const decode = (jwt: string): Decoded | undefined => {
  const [, head = "", body = ""] = /^([\w-]+)\.([\w-]+)\.[\w-]+$/.exec(jwt) ?? []
  const header = parsePart(head)
  const claims = parsePart(body)
  return header === undefined || claims === undefined ? undefined : { header, claims }
}

/**
 * Whether the key of a certificate, as DER `SubjectPublicKeyInfo`, made the signature.
 *
 * @internal
 */
export const verifies = (
  jwt: string,
  algorithm: Algorithm,
  publicKey: Uint8Array<ArrayBuffer>
): Effect.Effect<boolean> =>
  Effect.orElseSucceed(
    Effect.as(
      Effect.tryPromise(() =>
        globalThis.crypto.subtle.importKey("spki", publicKey, KEYS[algorithm], false, ["verify"])
          .then((key) => jose.compactVerify(jwt, key, { algorithms: [algorithm] }))
      ),
      true
    ),
    () => false
  )

/** Base64, not base64url, without PEM and line breaks, which the decoder would leave out (UDAP-8). */
const isBase64 = (entry: unknown): entry is string => typeof entry === "string" && /^[A-Za-z0-9+/]+={0,2}$/.test(entry)

/**
 * The DER of an entry of `x5c`.
 *
 * @internal
 */
export const certificateOf = (entry: unknown): Uint8Array | undefined =>
  isBase64(entry) ? Either.getOrUndefined(Encoding.decodeBase64(entry)) : undefined

/** @internal */
export interface Signer {
  readonly chain: ReadonlyArray<Uint8Array>
  /** In order of preference. */
  readonly algorithms: ReadonlyArray<Algorithm>
  readonly sign: (algorithm: Algorithm, bytes: Uint8Array) => Effect.Effect<Uint8Array, ConfigurationError>
}

const encoder = new TextEncoder()

const choose = (
  own: ReadonlyArray<Algorithm>,
  accepted: ReadonlyArray<string> = own,
  member: string
): Effect.Effect<Algorithm, ConfigurationError> => {
  const algorithm = own.find((one) => accepted.includes(one))
  if (algorithm !== undefined) return Effect.succeed(algorithm)
  const listed = safeText(accepted.join(", "), [], 100) || "nothing"
  return configurationError(
    "Conflict",
    ["certificate", member],
    `the server accepts ${listed}, and the key of the certificate signs ${own.join(", ")}`
  )
}

/**
 * Signs with the first algorithm of the key that the server accepts: any, if it has no list. `member` is the name of
 * the list.
 *
 * @internal
 */
export const sign = (
  signer: Signer,
  claims: JsonObject,
  accepted: ReadonlyArray<string> | undefined,
  member: string
): Effect.Effect<Redacted.Redacted, ConfigurationError> =>
  Effect.gen(function*() {
    const alg = yield* choose(signer.algorithms, accepted, member)
    const header = { alg, x5c: signer.chain.map((der) => Encoding.encodeBase64(der)) }
    const input = `${jose.base64url.encode(JSON.stringify(header))}.${jose.base64url.encode(JSON.stringify(claims))}`
    const signature = yield* signer.sign(alg, encoder.encode(input))
    return Redacted.make(`${input}.${jose.base64url.encode(signature)}`)
  })
