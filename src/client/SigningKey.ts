/**
 * One key of a client, checked and ready to sign: RS384 with RSA of 2048 bits or more, or ES384 on P-384 (SMART App Launch 2.2, "Client
 * Authentication: Asymmetric"; RFC 7517, RFC 7518). A key is imported once; what is kept of it is a handle that cannot be read.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import type { JsonObject } from "../base/JsonReader.js"
import { isJsonObject, parseJson } from "../base/JsonReader.js"
import { safeText } from "../http/Redaction.js"
import * as DerSignature from "./internal/derSignature.js"
import * as WebCrypto from "./internal/webCrypto.js"
import { attempt, bad } from "./internal/webCrypto.js"
import * as PublicJwk from "./PublicJwk.js"

/**
 * A key that is published and does not sign: the public half of a retired one, or of one to come.
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
 * @since 0.1.0
 * @category models
 */
export interface SigningKey extends PublishedKey {
  /** The signature as a JWS wants it. */
  readonly sign: (bytes: Uint8Array) => Effect.Effect<Uint8Array, ConfigurationError>
}

/**
 * A key that never shows itself, in a key management service or a security module. A failure is one line for a log, without secrets; repeats and time
 * limits are the signer's own.
 *
 * @example
 * import type { SigningKey } from "effect-safire"
 * import * as Effect from "effect/Effect"
 *
 * declare const kms: { sign(bytes: Uint8Array): Promise<Uint8Array>; publicKey: { kty: "EC"; crv: "P-384"; x: string; y: string } }
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
  /** Its public half. */
  readonly publicJwk: object
  /** Signs the bytes themselves: RSASSA-PKCS1-v1_5 or ECDSA, with SHA-384. */
  readonly sign: (bytes: Uint8Array) => Effect.Effect<Uint8Array, string>
  /** How an ECDSA signature comes: `jose`, the default, is the 96 bytes of r and s; many services give `der`. */
  readonly encoding?: "jose" | "der" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PemOptions {
  /** A PKCS#8 private key (`BEGIN PRIVATE KEY`). Line breaks may be written `\n`, as environment variables often have them. */
  readonly pem: Redacted.Redacted
  /** Without it, the RFC 7638 thumbprint. */
  readonly kid?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface JwkOptions {
  /** A JWK or a JWK Set, as JSON text or as an object. */
  readonly jwk: Redacted.Redacted<string | object>
  /** Names the key if it does not name itself; of several, selects the one that signs. */
  readonly kid?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CryptoKeyOptions {
  /** `RSASSA-PKCS1-v1_5` with `SHA-384`, or `ECDSA` on `P-384`. It need not be extractable. */
  readonly privateKey: jose.CryptoKey
  readonly publicKey: jose.CryptoKey
  /** Without it, the RFC 7638 thumbprint. */
  readonly kid?: string | undefined
}

const checkPublic = (jwk: JsonObject): Effect.Effect<PublicJwk.Described, ConfigurationError> =>
  Effect.mapError(PublicJwk.describe(jwk), bad)

const kidOf = (described: PublicJwk.Described, kid: string | undefined): Effect.Effect<string, ConfigurationError> =>
  kid === undefined || kid === ""
    ? attempt(() => jose.calculateJwkThumbprint(described.members), "its thumbprint cannot be made")
    : Effect.succeed(kid)

/** Proved once to belong together, so that no server has to find out. */
const pair = (
  described: PublicJwk.Described,
  privateKey: CryptoKey,
  publicKey: CryptoKey,
  kid: string | undefined
): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const { alg } = described
    if (!(yield* WebCrypto.belongTogether(alg, privateKey, publicKey))) {
      return yield* bad("its private and its public half do not belong together")
    }
    const named = yield* kidOf(described, kid)
    return {
      kid: named,
      alg,
      publicJwk: PublicJwk.make(described, named),
      sign: (bytes) => WebCrypto.sign(alg, privateKey, bytes)
    }
  })

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromCryptoKey = (options: CryptoKeyOptions): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const { kid, privateKey, publicKey } = options
    if (privateKey.type !== "private" || !privateKey.usages.includes("sign")) {
      return yield* bad("privateKey is no private key that may sign")
    }
    const exported = yield* attempt(() => jose.exportJWK(publicKey), "publicKey cannot be exported")
    const described = yield* checkPublic(exported)
    if (!WebCrypto.isFor(described.alg, privateKey)) return yield* bad(`privateKey is not made for ${described.alg}`)
    return yield* pair(described, privateKey, yield* WebCrypto.importPublic(described), kid)
  })

const PEM_TYPES: Readonly<Record<string, string>> = {
  "RSA PRIVATE KEY": "it is a PKCS#1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "EC PRIVATE KEY": "it is a SEC 1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "ENCRYPTED PRIVATE KEY": "it is encrypted: decrypt it with `openssl pkcs8`, and keep it where secrets are kept"
}

/** All that PKCS#8 may hold and that is worth naming when it is refused. */
const PEM_ALGORITHMS = ["RS384", "ES384", "ES256", "ES512", "Ed25519"]

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromPem = (options: PemOptions): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const text = Redacted.value(options.pem).replaceAll("\\n", "\n")
    const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map((match) => match[1] ?? "")
    const pem = /-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END PRIVATE KEY-----/.exec(text)?.[0]
    if (pem === undefined) {
      const known = labels.find((label) => PEM_TYPES[label] !== undefined)
      return yield* bad(known === undefined ? "it is no PEM private key" : (PEM_TYPES[known] ?? ""))
    }
    // The key is readable only until its public half is known.
    const jwk = yield* Effect.firstSuccessOf(
      PEM_ALGORITHMS.map((alg) =>
        attempt(
          () => jose.importPKCS8(pem, alg, { extractable: true }).then(jose.exportJWK),
          "it is neither an RSA key nor one on P-384"
        )
      )
    )
    return yield* fromPrivateJwk(jwk, options.kid)
  })

const fromPrivateJwk = (jwk: JsonObject, kid: string | undefined): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const described = yield* checkPublic(jwk)
    const privateKey = yield* WebCrypto.importPrivate(described.alg, PublicJwk.privateMembers(described, jwk))
    return yield* pair(described, privateKey, yield* WebCrypto.importPublic(described), kid)
  })

const fromPublicJwk = (jwk: JsonObject, kid: string | undefined): Effect.Effect<PublishedKey, ConfigurationError> =>
  Effect.gen(function*() {
    const described = yield* checkPublic(jwk)
    yield* WebCrypto.importPublic(described)
    const named = yield* kidOf(described, kid)
    return { kid: named, alg: described.alg, publicJwk: PublicJwk.make(described, named) }
  })

const jwksIn = (value: unknown): ReadonlyArray<JsonObject> | undefined => {
  const parsed = typeof value === "string" ? parseJson(value)?.value : value
  if (!isJsonObject(parsed)) return undefined
  const keys = parsed["keys"]
  if (keys === undefined) return [parsed]
  return Array.isArray(keys) && keys.every(isJsonObject) ? keys : undefined
}

/**
 * The keys of a JWK or a JWK Set, in their order. Private and public copies of one key, as the specification's own example sets hold them, become one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromJwk = (
  options: JwkOptions
): Effect.Effect<ReadonlyArray<PublishedKey | SigningKey>, ConfigurationError> =>
  Effect.gen(function*() {
    const jwks = jwksIn(Redacted.value(options.jwk))
    if (jwks === undefined || jwks.length === 0) return yield* bad("it is neither a JWK nor a JWK Set")
    return yield* Effect.forEach(jwks, (jwk) => {
      const own = typeof jwk["kid"] === "string" && jwk["kid"] !== "" ? jwk["kid"] : undefined
      const kid = own ?? (jwks.length === 1 ? options.kid : undefined)
      return PublicJwk.isPrivate(jwk) ? fromPrivateJwk(jwk, kid) : fromPublicJwk(jwk, kid)
    })
  })

/**
 * PEM or JSON, whichever the text is.
 *
 * @internal
 */
export const fromText = (
  options: { readonly text: Redacted.Redacted; readonly kid?: string | undefined }
): Effect.Effect<ReadonlyArray<PublishedKey | SigningKey>, ConfigurationError> =>
  Redacted.value(options.text).trimStart().startsWith("{")
    ? fromJwk({ jwk: options.text, kid: options.kid })
    : Effect.map(fromPem({ pem: options.text, kid: options.kid }), (key) => [key])

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromSigner = (signer: Signer): Effect.Effect<SigningKey, ConfigurationError> =>
  Effect.gen(function*() {
    const jwk: JsonObject = { ...signer.publicJwk }
    if (PublicJwk.isPrivate(jwk)) return yield* bad("publicJwk of the signer holds a private member")
    if (signer.kid === "") return yield* bad("the signer has no kid")
    const described = yield* checkPublic(jwk)
    if (described.alg !== signer.alg) {
      return yield* bad(`the signer's alg and its publicJwk (${described.alg}) do not agree`)
    }
    yield* WebCrypto.importPublic(described)
    const { alg, encoding, kid } = signer
    return {
      kid,
      alg,
      publicJwk: PublicJwk.make(described, kid),
      sign: (bytes) =>
        Effect.suspend(() => signer.sign(bytes)).pipe(
          Effect.mapError((line) => bad(`the signer of key ${kid} failed: ${safeText(line, [], 200)}`)),
          Effect.flatMap((raw) => {
            const signature = alg === "ES384" && encoding === "der" ? DerSignature.toJose(raw, 48) : raw
            return signature?.length === described.signatureBytes
              ? Effect.succeed(signature)
              : bad(
                `the signer of key ${kid} gave ${raw.length} bytes that are no ${alg} signature; ECDSA in DER needs encoding: "der"`
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
