/**
 * One key that signs for a client: RS384 with RSA of 2048 bits or more, or ES384 on P-384 (SMART App Launch 2.2,
 * "Client Authentication: Asymmetric"; RFC 7517, RFC 7518). A private key is checked and imported once, into a handle
 * that cannot be read.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as jose from "jose"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { isJsonObject, type JsonObject, parseJson } from "../base/JsonReader.js"
import { safeText } from "../http/Redaction.js"
import * as Algorithms from "./internal/algorithms.js"
import { badKey } from "./internal/configurationError.js"
import * as KeyFormats from "./internal/keyFormats.js"
import * as PublicJwk from "./PublicJwk.js"

/**
 * A key that is published and does not sign: the public half of a retired key, or of the next one.
 *
 * @since 0.1.0
 * @category models
 */
export interface PublishedKey {
  readonly kid: string
  readonly alg: PublicJwk.Algorithm
  readonly publicJwk: PublicJwk.PublicJwk
}

/**
 * A key that signs.
 *
 * @since 0.1.0
 * @category models
 */
export interface SigningKey extends PublishedKey {
  /** The signature in the format of a JWS (RFC 7518, section 3). */
  readonly sign: (bytes: Uint8Array) => Effect.Effect<Uint8Array, ConfigurationError>
}

/**
 * A key in a key management service or a security module. `sign` fails with one line for a log, without secrets;
 * retries and time limits are its own task.
 *
 * @example
 * import type { SigningKey } from "effect-safire"
 * import * as Effect from "effect/Effect"
 *
 * declare const kms: {
 *   sign(bytes: Uint8Array): Promise<Uint8Array>
 *   publicKey: { kty: "EC"; crv: "P-384"; x: string; y: string }
 * }
 *
 * export const signer: SigningKey.Signer = {
 *   kid: "kms-2026",
 *   alg: "ES384",
 *   publicJwk: kms.publicKey,
 *   encoding: "der",
 *   sign: (bytes) => Effect.tryPromise({ try: () => kms.sign(bytes), catch: () => "the KMS did not sign" })
 * }
 *
 * @since 0.1.0
 * @category models
 */
export interface Signer {
  readonly kid: string
  readonly alg: PublicJwk.Algorithm
  /** The public half, as a JWK. */
  readonly publicJwk: object
  /** Signs the bytes themselves: RSASSA-PKCS1-v1_5 or ECDSA, with SHA-384. */
  readonly sign: (bytes: Uint8Array) => Effect.Effect<Uint8Array, string>
  /** The format of an ECDSA signature: `jose`, the default, is the 96 bytes of r and s; many services return `der`. */
  readonly encoding?: "jose" | "der" | undefined
}

/**
 * A private key as PEM.
 *
 * @since 0.1.0
 * @category models
 */
export interface PemOptions {
  /**
   * A PKCS#8 private key (`BEGIN PRIVATE KEY`). Line breaks may be written as `\n`, which is common in environment
   * variables.
   */
  readonly pem: Redacted.Redacted
  /** Default: the RFC 7638 thumbprint. */
  readonly kid?: string | undefined
}

/**
 * A private key as JWK, or a set of which one signs.
 *
 * @since 0.1.0
 * @category models
 */
export interface JwkOptions {
  /** A JWK or a JWK Set, as JSON text or as an object. */
  readonly jwk: Redacted.Redacted<string | object>
  /** The `kid` of a single key that has none. Of several keys, selects the one that signs. */
  readonly kid?: string | undefined
}

/**
 * A pair of WebCrypto keys. The private one may be non-extractable.
 *
 * @since 0.1.0
 * @category models
 */
export interface CryptoKeyOptions {
  /** `RSASSA-PKCS1-v1_5` with `SHA-384`, or `ECDSA` on `P-384`. It need not be extractable. */
  readonly privateKey: jose.CryptoKey
  readonly publicKey: jose.CryptoKey
  /** Default: the RFC 7638 thumbprint. */
  readonly kid?: string | undefined
}

const parsePublic = (jwk: JsonObject): Effect.Effect<Algorithms.PublicKey, ConfigurationError> =>
  Effect.mapError(Algorithms.parsePublicKey(jwk), badKey)

const kidOf = (key: Algorithms.PublicKey, kid: string | undefined): Effect.Effect<string, ConfigurationError> =>
  kid === undefined || kid === ""
    ? KeyFormats.thumbprint(key)
    : Effect.succeed(kid)

const publishedKey = (
  key: Algorithms.PublicKey,
  kid: string | undefined
): Effect.Effect<PublishedKey, ConfigurationError> =>
  Effect.map(kidOf(key, kid), (kid) => ({ kid, alg: key.alg, publicJwk: Algorithms.toJwk(key, kid) }))

/** A signature is made and verified once, so that no server has to find out that the halves do not belong together. */
const fromPair = (
  key: Algorithms.PublicKey,
  privateKey: CryptoKey,
  kid: string | undefined
): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const publicKey = yield* Algorithms.importPublic(key)
    if (!(yield* Algorithms.belongTogether(key.alg, privateKey, publicKey))) {
      return yield* badKey("its private and its public half do not belong together")
    }
    const published = yield* publishedKey(key, kid)
    return { ...published, sign: (bytes) => Algorithms.sign(key.alg, privateKey, bytes) }
  })

/**
 * A key pair of WebCrypto.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCryptoKey = (options: CryptoKeyOptions): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const { kid, privateKey, publicKey } = options
    if (privateKey.type !== "private" || !privateKey.usages.includes("sign")) {
      return yield* badKey("privateKey is not a private key that may sign")
    }
    const jwk = yield* KeyFormats.exportPublic(publicKey)
    const key = yield* parsePublic(jwk)
    if (!Algorithms.isFor(key.alg, privateKey)) return yield* badKey(`privateKey is not made for ${key.alg}`)
    return yield* fromPair(key, privateKey, kid)
  })

const fromPrivateJwk = (jwk: JsonObject, kid: string | undefined): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const key = yield* parsePublic(jwk)
    const privateKey = yield* Algorithms.importPrivate(key.alg, Algorithms.privateMembers(key, jwk))
    return yield* fromPair(key, privateKey, kid)
  })

const fromPublicJwk = (jwk: JsonObject, kid: string | undefined): Effect.Effect<PublishedKey, ConfigurationError> =>
  Effect.flatMap(parsePublic(jwk), (key) => Effect.zipRight(Algorithms.importPublic(key), publishedKey(key, kid)))

const UNSUPPORTED_PEM: Readonly<Record<string, string>> = {
  "RSA PRIVATE KEY": "it is a PKCS#1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "EC PRIVATE KEY": "it is a SEC 1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "ENCRYPTED PRIVATE KEY": "it is encrypted: decrypt it with `openssl pkcs8`, and store it as you store secrets"
}

/**
 * A PKCS#8 private key in PEM.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromPem = (options: PemOptions): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const text = Redacted.value(options.pem).replaceAll("\\n", "\n")
    const pem = /-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END PRIVATE KEY-----/.exec(text)?.[0]
    if (pem === undefined) {
      const unsupported = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)]
        .flatMap(([, label = ""]) => UNSUPPORTED_PEM[label] ?? [])
      return yield* badKey(unsupported[0] ?? "it is not a PEM private key")
    }
    const jwk = yield* KeyFormats.fromPkcs8(pem)
    return yield* fromPrivateJwk(jwk, options.kid)
  })

const jwksIn = (value: unknown): ReadonlyArray<JsonObject> => {
  const parsed = typeof value === "string" ? parseJson(value)?.value : value
  if (!isJsonObject(parsed)) return []
  const { keys = [parsed] } = parsed
  return Array.isArray(keys) && keys.every(isJsonObject) ? keys : []
}

/**
 * The keys of a JWK or a JWK Set, in their order. A set may hold a private and a public copy of one key, as the
 * examples of the specification do.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromJwk = (
  options: JwkOptions
): Effect.Effect<ReadonlyArray<PublishedKey | SigningKey>, ConfigurationError> =>
  Effect.suspend(() => {
    const jwks = jwksIn(Redacted.value(options.jwk))
    if (jwks.length === 0) return badKey("it is neither a JWK nor a JWK Set")
    return Effect.forEach(jwks, (jwk) => {
      const own = typeof jwk["kid"] === "string" && jwk["kid"] !== "" ? jwk["kid"] : undefined
      const kid = own ?? (jwks.length === 1 ? options.kid : undefined)
      return PublicJwk.isPrivate(jwk) ? fromPrivateJwk(jwk, kid) : fromPublicJwk(jwk, kid)
    })
  })

/**
 * The keys in a text that is either JSON (see `fromJwk`) or PEM (see `fromPem`).
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromText = (
  options: { readonly text: Redacted.Redacted; readonly kid?: string | undefined }
): Effect.Effect<ReadonlyArray<PublishedKey | SigningKey>, ConfigurationError> =>
  Redacted.value(options.text).trimStart().startsWith("{")
    ? fromJwk({ jwk: options.text, kid: options.kid })
    : Effect.map(fromPem({ pem: options.text, kid: options.kid }), (key) => [key])

/**
 * A key whose signatures come from a service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSigner = (signer: Signer): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const { alg, encoding, kid } = signer
    const jwk: JsonObject = { ...signer.publicJwk }
    if (PublicJwk.isPrivate(jwk)) return yield* badKey("publicJwk of the signer holds a private member")
    if (kid === "") return yield* badKey("the signer has no kid")
    const key = yield* parsePublic(jwk)
    if (key.alg !== alg) return yield* badKey(`the signer's alg and its publicJwk (${key.alg}) do not agree`)
    yield* Algorithms.importPublic(key)
    return {
      kid,
      alg,
      publicJwk: Algorithms.toJwk(key, kid),
      sign: (bytes) =>
        Effect.suspend(() => signer.sign(bytes)).pipe(
          Effect.mapError((line) => badKey(`the signer of key ${kid} failed: ${safeText(line, [], 200)}`)),
          Effect.flatMap((raw) => {
            const signature = alg === "ES384" && encoding === "der" ? Algorithms.derToJose(raw, 48) : raw
            return signature?.length === key.signatureBytes ? Effect.succeed(signature) : badKey(
              `the signer of key ${kid} returned ${raw.length} bytes, not an ${alg} signature; ECDSA in DER needs encoding: "der"`
            )
          })
        )
    }
  })

/**
 * Whether the key signs, or is only published.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isSigningKey = (key: PublishedKey | SigningKey): key is SigningKey => "sign" in key
