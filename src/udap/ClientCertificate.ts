/**
 * The certificate of an app and its private key: what a trust community issues to an operator (UDAP Security STU2,
 * sections 3.1 and 7.1; RFC 5280). Checked when it is read, so that no server has to find out that key and certificate
 * do not belong together.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as pki from "pkijs"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { safeText } from "../http/Redaction.js"
import * as certificates from "./internal/certificate.js"
import type { Encoded } from "./internal/communities.js"
import { type Algorithm as JwsAlgorithm, KEYS, SIGN } from "./internal/jws.js"
import { sameName } from "./internal/names.js"
import * as pem from "./internal/pem.js"
import * as signatures from "./internal/signature.js"

/**
 * RS256 and RS384 of an RSA key, ES256 of a key on P-256, ES384 of a key on P-384.
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = JwsAlgorithm

/**
 * The certificates of a client, with its private key.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientCertificate {
  /** The chain as DER, the app's own certificate first. */
  readonly chain: Arr.NonEmptyReadonlyArray<Uint8Array>
  /** The URIs of its subject alternative name. An app is known by one of them. */
  readonly uris: Arr.NonEmptyReadonlyArray<string>
  /** The signature algorithms of its key, in order of preference. */
  readonly algorithms: Arr.NonEmptyReadonlyArray<Algorithm>
  /** The name in it, for messages. */
  readonly subject: string
  /** Milliseconds since 1970. */
  readonly notBefore: number
  /** Milliseconds since 1970: the earliest end of its chain. */
  readonly notAfter: number
  /** The SHA-256 of the certificate, in base64url. */
  readonly fingerprint: string
  /** The signature in the format of a JWS (RFC 7518, section 3). */
  readonly sign: (algorithm: Algorithm, bytes: Uint8Array) => Effect.Effect<Uint8Array, ConfigurationError>
}

/**
 * Options of a client certificate.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The chain, leaf first, each certificate before that of its issuer; the root may be missing. PEM with all of them
   * in one text, or several.
   */
  readonly chain: Encoded | ReadonlyArray<Encoded>
  /** A PKCS#8 private key in PEM (`BEGIN PRIVATE KEY`); line breaks may be written as `\n`. */
  readonly privateKey: Redacted.Redacted
}

/**
 * A private key in a key management service or a security module.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignerOptions extends Pick<Options, "chain"> {
  /**
   * Signs the bytes with RSASSA-PKCS1-v1_5 or ECDSA. An ECDSA signature is the bytes of r and s. Fails with one line
   * for a log.
   */
  readonly sign: (algorithm: Algorithm, bytes: Uint8Array) => Effect.Effect<Uint8Array, string>
}

const invalid = (field: string, detail: string, reason: ConfigurationError["reason"] = "Invalid"): ConfigurationError =>
  configurationError(reason, [field], detail)

const MAX_CHAIN = 6

const readChain = (
  chain: Options["chain"]
): Effect.Effect<Arr.NonEmptyReadonlyArray<certificates.Certificate>, ConfigurationError> =>
  Effect.gen(function*() {
    const inputs: ReadonlyArray<Encoded> = typeof chain === "string" || chain instanceof Uint8Array ? [chain] : chain
    const ders = inputs.flatMap((input) =>
      pem.toDer(typeof input === "string" ? unescaped(input) : input, "CERTIFICATE") ?? []
    )
    if (!Arr.isNonEmptyReadonlyArray(ders)) {
      return yield* invalid("certificate", "it is neither DER nor PEM with a CERTIFICATE")
    }
    if (ders.length > MAX_CHAIN) {
      return yield* invalid("certificate", `the chain has ${ders.length} certificates, more than ${MAX_CHAIN}`)
    }
    const read = yield* Effect.forEach(ders, (der, index) =>
      Effect.mapError(
        certificates.parse(der),
        ({ detail }) => invalid("certificate", `certificate ${index + 1} of the chain: ${detail}`)
      ))
    for (const [index, certificate] of read.entries()) {
      const issuer = read[index + 1]
      if (issuer === undefined) continue
      const isIssuer = sameName(certificate.issuer, issuer.subject) &&
        (yield* signatures.verifies(signatures.ofCertificate(certificate), issuer))
      if (!isIssuer) {
        return yield* invalid(
          "certificate",
          `${issuer.subject.display} did not issue ${certificate.subject.display}: order the chain from the app's certificate to the root`
        )
      }
    }
    return read
  })

const algorithmsOf = ({ x509 }: certificates.Certificate): Arr.NonEmptyReadonlyArray<Algorithm> | undefined => {
  const key = x509.subjectPublicKeyInfo.parsedKey
  if (key instanceof pki.RSAPublicKey) return ["RS256", "RS384"]
  if (!(key instanceof pki.ECPublicKey)) return undefined
  return key.namedCurve === "P-256" ? ["ES256"] : key.namedCurve === "P-384" ? ["ES384"] : undefined
}

const PROBE = new TextEncoder().encode("effect-safire")

/** A signature is made and verified once. */
const checkKey = (leaf: certificates.Certificate, algorithm: Algorithm, sign: ClientCertificate["sign"]) =>
  Effect.flatMap(
    sign(algorithm, PROBE),
    (signature) =>
      Effect.tryPromise(() =>
        globalThis.crypto.subtle.importKey("spki", certificates.publicKeyInfo(leaf), KEYS[algorithm], false, ["verify"])
          .then((key) => globalThis.crypto.subtle.verify(SIGN[algorithm], key, new Uint8Array(signature), PROBE))
      ).pipe(
        Effect.filterOrFail((verifies) => verifies),
        Effect.mapError(() =>
          invalid("privateKey", `it does not belong to the certificate ${leaf.subject.display}`, "BadKey")
        )
      )
  )

const make = (
  chain: Options["chain"],
  signer: (leaf: certificates.Certificate, algorithms: Arr.NonEmptyReadonlyArray<Algorithm>) => Effect.Effect<
    ClientCertificate["sign"],
    ConfigurationError
  >
): Effect.Effect<ClientCertificate, ConfigurationError> =>
  Effect.gen(function*() {
    const read = yield* readChain(chain)
    const leaf = Arr.headNonEmpty(read)
    const uris = certificates.uris(leaf)
    if (!Arr.isNonEmptyReadonlyArray(uris)) {
      return yield* invalid(
        "certificate",
        `${leaf.subject.display} has no URI in its subject alternative name; UDAP knows an app by that URI (UDAP-75): ask the community for another certificate`
      )
    }
    const algorithms = algorithmsOf(leaf)
    const problem = signatures.keyProblem(leaf)
    if (problem !== undefined || algorithms === undefined) {
      const detail = problem?.detail ?? "its key is on a curve that UDAP does not sign with; use RSA, P-256 or P-384"
      return yield* invalid("certificate", `${leaf.subject.display}: ${detail}`)
    }
    if (!certificates.allows(leaf, "digitalSignature")) {
      return yield* invalid("certificate", `the key usage of ${leaf.subject.display} does not allow signatures`)
    }
    const sign = yield* signer(leaf, algorithms)
    yield* checkKey(leaf, algorithms[0], sign)
    // WebCrypto's digest of a byte array cannot fail.
    const digest = yield* Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new Uint8Array(leaf.der)))
    return {
      chain: Arr.map(read, ({ der }) => der),
      uris,
      algorithms,
      subject: leaf.subject.display,
      notBefore: Math.max(...read.map(({ notBefore }) => notBefore)),
      notAfter: Math.min(...read.map(({ notAfter }) => notAfter)),
      fingerprint: Encoding.encodeBase64Url(new Uint8Array(digest)),
      sign
    }
  })

/** Environment variables often hold line breaks as `\n`. */
const unescaped = (text: string): string => text.replaceAll("\\n", "\n")

const OTHER_KEYS: Readonly<Record<string, string>> = {
  "RSA PRIVATE KEY": "it is a PKCS#1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "EC PRIVATE KEY": "it is a SEC 1 key: convert it with `openssl pkcs8 -topk8 -nocrypt`",
  "ENCRYPTED PRIVATE KEY": "it is encrypted: decrypt it with `openssl pkcs8`, and store it as you store secrets"
}

const importKeys = (
  privateKey: Redacted.Redacted,
  algorithms: Arr.NonEmptyReadonlyArray<Algorithm>
): Effect.Effect<ReadonlyMap<Algorithm, CryptoKey>, ConfigurationError> =>
  Effect.gen(function*() {
    const text = unescaped(Redacted.value(privateKey))
    const [der] = pem.toDer(text, "PRIVATE KEY") ?? []
    if (der === undefined) {
      const other = Object.entries(OTHER_KEYS).find(([label]) => text.includes(`-----BEGIN ${label}-----`))
      return yield* invalid("privateKey", other?.[1] ?? "it is not a PKCS#8 private key in PEM", "BadKey")
    }
    const keys = yield* Effect.forEach(algorithms, (algorithm) =>
      Effect.map(
        Effect.tryPromise({
          try: () => globalThis.crypto.subtle.importKey("pkcs8", new Uint8Array(der), KEYS[algorithm], false, ["sign"]),
          // The error of the platform may hold parts of the key.
          catch: () => invalid("privateKey", `it is not a key for ${algorithm}, as the certificate's is`, "BadKey")
        }),
        (key) => [algorithm, key] as const
      ))
    return new Map(keys)
  })

/**
 * A certificate whose private key this program has. The key is readable only while it is imported.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromPem = (options: Options): Effect.Effect<ClientCertificate, ConfigurationError> =>
  make(
    options.chain,
    (_, algorithms) =>
      Effect.map(importKeys(options.privateKey, algorithms), (keys) => (algorithm, bytes) => {
        const key = keys.get(algorithm)
        return key === undefined
          ? invalid("certificate", `its key does not sign ${algorithm}`)
          : Effect.map(
            Effect.tryPromise({
              try: () => globalThis.crypto.subtle.sign(SIGN[algorithm], key, new Uint8Array(bytes)),
              catch: () => invalid("privateKey", "the runtime cannot sign with it", "BadKey")
            }),
            (signature) => new Uint8Array(signature)
          )
      })
  )

/**
 * A certificate whose private key is in a key management service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSigner = (options: SignerOptions): Effect.Effect<ClientCertificate, ConfigurationError> =>
  make(options.chain, () =>
    Effect.succeed((algorithm, bytes) =>
      Effect.mapError(
        Effect.suspend(() => options.sign(algorithm, bytes)),
        (line) => invalid("privateKey", `its signer failed: ${safeText(line, [], 200)}`, "BadKey")
      )
    ))

/**
 * From `UDAP_CERTIFICATE` (the chain as PEM) and `UDAP_PRIVATE_KEY` (PKCS#8 as PEM).
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromConfig: Effect.Effect<ClientCertificate, ConfigError | ConfigurationError> = Effect.flatMap(
  Config.all({
    chain: Config.nonEmptyString("CERTIFICATE"),
    privateKey: Config.redacted("PRIVATE_KEY")
  }).pipe(Config.nested("UDAP")),
  fromPem
)

/**
 * Fails for a certificate that is not valid now: a server would refuse all that it signs.
 *
 * @internal
 */
export const checkValidity = (
  { notAfter, notBefore, subject }: ClientCertificate
): Effect.Effect<void, ConfigurationError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const date = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))
    if (now >= notAfter) {
      return invalid("certificate", `the chain of ${subject} ended at ${date(notAfter)}: have it renewed`)
    }
    return now < notBefore
      ? invalid("certificate", `the chain of ${subject} is valid from ${date(notBefore)}: compare this machine's clock`)
      : Effect.void
  })

/**
 * The URI by which an app is known: `uri` if the certificate has it, or its only one (UDAP-75, UDAP-101).
 *
 * @internal
 */
export const clientUri = (
  { subject, uris }: Pick<ClientCertificate, "subject" | "uris">,
  uri: string | undefined
): Either.Either<string, ConfigurationError> => {
  const [first, ...others] = uris
  if (uri === undefined && others.length === 0) return Either.right(first)
  const found = uris.find((one) => one === uri)
  if (found !== undefined) return Either.right(found)
  const listed = safeText(uris.join(", "), [], 300)
  return Either.left(
    invalid(
      "clientUri",
      uri === undefined
        ? `the certificate of ${subject} has several URIs; choose one: ${listed}`
        : `it is not a URI of the certificate of ${subject}, which has ${listed}; case, port and slash count`
    )
  )
}
