/**
 * Signed JWTs of UDAP: software statements, authentication tokens, certifications and signed metadata (UDAP Security
 * STU2, section 7.1).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Predicate from "effect/Predicate"
import * as jose from "jose"
import { pem, type UdapPki } from "./udapPki.js"
import * as UdapTrust from "./udapTrust.js"

/** A JWT breaks a rule. */
export class InvalidJwt extends Data.TaggedError("InvalidJwt")<{ readonly description: string }> {}

/** The algorithms of signatures that the sandbox accepts. */
export const algorithms = ["RS256", "ES256", "RS384", "ES384"] as const

/** The claims of a JWT. */
export type Claims = Readonly<Record<string, unknown>>

/** A JWT with a valid signature by a trusted certificate. */
export interface Verified extends UdapTrust.Trusted {
  readonly claims: Claims
  readonly jti: string
  /** Seconds since the epoch. */
  readonly exp: number
}

const MAX_LENGTH = 100_000

const invalid = (description: string) => new InvalidJwt({ description })

const decoded = <A>(f: () => A): Effect.Effect<A, InvalidJwt> =>
  Effect.try({ try: f, catch: () => invalid("it is not a JWS in compact serialization") })

const chainOf = (x5c: unknown): Effect.Effect<ReadonlyArray<Uint8Array>, InvalidJwt> => {
  if (!Array.isArray(x5c) || x5c.length === 0 || x5c.length > 10) {
    return invalid("the x5c header must have 1 to 10 certificates")
  }
  return Effect.forEach(x5c, (entry: unknown) => {
    // Standard base64 with padding, without line breaks (RFC 7515, section 4.1.6).
    const der =
      typeof entry === "string" && /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(entry)
        ? Either.getOrUndefined(Encoding.decodeBase64(entry))
        : undefined
    return der === undefined ? invalid("an entry of x5c is not base64 of DER") : Effect.succeed(der)
  })
}

const isSeconds = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value)

/** Verifies the rules of all UDAP JWTs. `maxLifetime` is in seconds. */
export const verify = (
  pki: UdapPki,
  jwt: string,
  maxLifetime: number
): Effect.Effect<Verified, InvalidJwt | UdapTrust.Untrusted> =>
  Effect.gen(function*() {
    if (jwt.length > MAX_LENGTH) return yield* invalid("it is too long")
    const header = yield* decoded(() => jose.decodeProtectedHeader(jwt))
    const { alg } = header
    if (!algorithms.some((supported) => supported === alg)) {
      return yield* invalid(`alg must be one of ${algorithms.join(", ")}`)
    }
    if (header.crit !== undefined) return yield* invalid("the crit header is not supported")
    const chain = yield* chainOf(header.x5c)
    const [leaf = new Uint8Array()] = chain
    yield* Effect.tryPromise({
      try: () => jose.importX509(pem("CERTIFICATE", leaf), alg ?? "").then((key) => jose.compactVerify(jwt, key)),
      catch: () => invalid("the signature does not verify with the first certificate of x5c")
    })
    const claims: Claims = yield* decoded(() => jose.decodeJwt(jwt))
    const { exp, iat, iss, jti, nbf } = claims
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    if (!isSeconds(iat) || !isSeconds(exp)) return yield* invalid("iat and exp are required, in whole seconds")
    if (iat > now) return yield* invalid("iat is in the future")
    if (exp <= iat || exp - iat > maxLifetime) {
      return yield* invalid(`exp must be 1 to ${maxLifetime} seconds after iat`)
    }
    if (exp <= now) return yield* invalid("it has expired")
    if (nbf !== undefined && (!isSeconds(nbf) || nbf > now)) return yield* invalid("nbf is in the future")
    if (typeof jti !== "string" || jti === "") return yield* invalid("jti is required")
    if (typeof iss !== "string" || iss === "") return yield* invalid("iss is required")
    const trusted = yield* UdapTrust.validate(pki, chain)
    return { ...trusted, claims, jti, exp }
  })

/** Credentials that sign. */
export interface Signer {
  /** DER, the certificate of the key first. */
  readonly chain: ReadonlyArray<Uint8Array>
  readonly privateKey: CryptoKey
}

const encoder = new TextEncoder()

const encode = (json: unknown): string => Encoding.encodeBase64Url(encoder.encode(JSON.stringify(json)))

/** A JWS with any header: members of `header` replace `alg` and `x5c`, and an undefined one removes them. */
export const sign = (
  claims: Claims,
  { chain, privateKey }: Signer,
  header: Readonly<Record<string, unknown>> = {}
): Effect.Effect<string> => {
  const { algorithm } = privateKey
  const curve = Predicate.hasProperty(algorithm, "namedCurve") ? algorithm.namedCurve : undefined
  const [alg, scheme] = curve === "P-256"
    ? ["ES256", { name: "ECDSA", hash: "SHA-256" }] as const
    : curve === "P-384"
    ? ["ES384", { name: "ECDSA", hash: "SHA-384" }] as const
    : ["RS256", { name: "RSASSA-PKCS1-v1_5" }] as const
  const x5c = chain.map((der) => Encoding.encodeBase64(der))
  const input = `${encode({ alg, x5c, ...header })}.${encode(claims)}`
  return Effect.map(
    Effect.promise(() => globalThis.crypto.subtle.sign(scheme, privateKey, encoder.encode(input))),
    (signature) => `${input}.${Encoding.encodeBase64Url(new Uint8Array(signature))}`
  )
}
