/**
 * Certifications and endorsements: signed statements of an operator or a third party about an app, which a registration
 * passes on (UDAP Security STU2, sections 3.3 and 7.4).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import type { JsonObject } from "../base/JsonReader.js"
import * as SecureRandom from "../base/SecureRandom.js"
import { checkValidity, type ClientCertificate, clientUri } from "./ClientCertificate.js"
import * as certificates from "./internal/certificate.js"
import { isUri } from "./internal/communities.js"
import * as jws from "./internal/jws.js"
import type { GrantType } from "./SoftwareStatement.js"

/**
 * The certification to sign.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly name: string
  /** The URIs that stand for the certification, such as those in `udap_certifications_required`. */
  readonly uris: ReadonlyArray<string>
  /** The URI of the certified app. Default: the URI of the signer, which certifies itself. */
  readonly subject?: string | undefined
  /** The URI of the signer, if its certificate has several. */
  readonly issuer?: string | undefined
  /** Registration endpoints that may use it. Default: any. */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** At most three years. Default 1 year. */
  readonly lifetime?: Duration.DurationInput | undefined
  /** As in a software statement: what the app is certified for. */
  readonly grantTypes?: ReadonlyArray<GrantType> | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
  /** Objects of a community, by their keys. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
  /** Further claims, such as `developer_name` or `is_endorsement`. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
}

const MAX_SECONDS = 3 * 366 * 86_400

const invalid = (detail: string): ConfigurationError => configurationError("Invalid", ["certifications"], detail)

/** The contradiction between grant types and response types. */
const grantProblem = (grantTypes: unknown, responseTypes: unknown): string | undefined => {
  if (grantTypes === undefined && responseTypes === undefined) return undefined
  const grants: ReadonlyArray<unknown> = Array.isArray(grantTypes) ? grantTypes : []
  const isCode = grants.includes("authorization_code")
  if (isCode === grants.includes("client_credentials") || (!isCode && grants.includes("refresh_token"))) {
    return "grant_types has authorization_code or client_credentials, and refresh_token only with the first"
  }
  const isCodeResponse = Array.isArray(responseTypes) && responseTypes.length === 1 && responseTypes[0] === "code"
  if (isCode && !isCodeResponse) return "authorization_code needs the response_types [\"code\"]"
  return !isCode && responseTypes !== undefined ? "only authorization_code has response_types" : undefined
}

const isDate = (value: unknown): value is number => Number.isSafeInteger(value)

const audiences = (aud: unknown): ReadonlyArray<unknown> => Array.isArray(aud) ? aud : [aud]

/** The rules of the claims, apart from the signature. */
const claimProblem = (
  claims: JsonObject,
  { nowSeconds, registrationEndpoint, subject }: {
    readonly nowSeconds: number
    readonly registrationEndpoint?: string | undefined
    readonly subject: string
  }
): string | undefined => {
  const { aud, certification_name: name, certification_uris: uris, exp, grant_types, iat, jti, sub } = claims
  if (sub !== subject) return "sub is another URI than that of the app"
  if (!isDate(iat) || !isDate(exp)) return "iat and exp are not integers"
  if (exp <= nowSeconds) return `it ended at ${DateTime.formatIso(DateTime.unsafeMake(exp * 1000))}`
  if (exp - iat > MAX_SECONDS) return "it is valid for more than three years"
  if (typeof jti !== "string" || jti === "") return "jti is not a non-empty string"
  if (typeof name !== "string" || name === "") return "certification_name is not a non-empty string"
  if (!Array.isArray(uris) || uris.length === 0 || !uris.every((uri) => typeof uri === "string" && isUri(uri))) {
    return "certification_uris is not a list of URIs"
  }
  if (aud !== undefined && registrationEndpoint !== undefined && !audiences(aud).includes(registrationEndpoint)) {
    return "aud does not have the registration endpoint of this server"
  }
  return grantProblem(grant_types, claims["response_types"])
}

/**
 * Signs a certification, of the app itself or of another one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  signer: ClientCertificate,
  options: Options
): Effect.Effect<Redacted.Redacted, ConfigurationError> =>
  Effect.gen(function*() {
    yield* checkValidity(signer)
    const iss = yield* clientUri(signer, options.issuer)
    const sub = options.subject ?? iss
    const random = yield* SecureRandom.SecureRandom
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const claims = {
      ...options.claims,
      iss,
      sub,
      ...(options.audience === undefined ? {} : { aud: options.audience }),
      exp: now + Math.floor(Duration.toSeconds(options.lifetime ?? "365 days")),
      iat: now,
      jti: yield* SecureRandom.base64Url(random, 32),
      certification_name: options.name,
      certification_uris: options.uris,
      ...(options.grantTypes === undefined ? {} : { grant_types: options.grantTypes }),
      ...(options.grantTypes?.includes("authorization_code") === true ? { response_types: ["code"] } : {}),
      ...(options.scopes === undefined ? {} : { scope: options.scopes.join(" ") }),
      ...(options.extensions === undefined ? {} : { extensions: options.extensions })
    }
    const problem = claimProblem(claims, { nowSeconds: now, subject: sub })
    if (problem !== undefined) return yield* invalid(problem)
    return yield* jws.sign(signer, claims, undefined, "algorithms")
  })

const ALGORITHMS: ReadonlyArray<jws.Algorithm> = ["RS256", "RS384", "ES256", "ES384"]

const signatureProblem = (jwt: string, { claims, header }: jws.Decoded): Effect.Effect<string | undefined> => {
  const [entry] = Array.isArray(header["x5c"]) ? header["x5c"] : []
  const algorithm = ALGORITHMS.find((one) => one === header["alg"])
  const der = jws.certificateOf(entry)
  const signer = der === undefined ? undefined : Either.getOrUndefined(certificates.parse(der))
  if (algorithm === undefined) return Effect.succeed(`its alg is not one of ${ALGORITHMS.join(", ")}`)
  if (signer === undefined) return Effect.succeed("its x5c header has no certificate")
  if (!certificates.uris(signer).some((uri) => uri === claims["iss"])) {
    return Effect.succeed("iss is not a URI of its signer's certificate")
  }
  return Effect.map(
    jws.verifies(jwt, algorithm, certificates.publicKeyInfo(signer)),
    (verifies) => verifies ? undefined : "its signature is not by the key of the certificate in x5c"
  )
}

/**
 * A certification in a registration.
 *
 * @since 0.1.0
 * @category models
 */
export interface Use {
  /** The URI of the app that registers. */
  readonly clientUri: string
  readonly registrationEndpoint: string
  /** `udap_certifications_required` of the server. */
  readonly required?: ReadonlyArray<string> | undefined
}

/**
 * Fails for a certification that the server would refuse: malformed, of another app or for another server, expired, or
 * not signed by its issuer. Whether the issuer is trusted is the server's decision. Fails also if a certification that
 * the server requires is missing.
 *
 * @since 0.1.0
 * @category predicates
 */
export const validate = (
  certifications: ReadonlyArray<Redacted.Redacted>,
  use: Use
): Effect.Effect<void, ConfigurationError> =>
  Effect.gen(function*() {
    const nowSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const covered = new Set<unknown>()
    for (const [index, certification] of certifications.entries()) {
      const jwt = Redacted.value(certification)
      const fail = (detail: string) => invalid(`certification ${index + 1}: ${detail}`)
      const decoded = jws.decode(jwt)
      if (decoded === undefined) return yield* fail("it is not a JWT in compact serialization")
      const problem = claimProblem(decoded.claims, { ...use, nowSeconds, subject: use.clientUri }) ??
        (yield* signatureProblem(jwt, decoded))
      if (problem !== undefined) return yield* fail(problem)
      for (const uri of audiences(decoded.claims["certification_uris"])) covered.add(uri)
    }
    const missing = (use.required ?? []).filter((uri) => !covered.has(uri))
    if (missing.length > 0) {
      return yield* configurationError(
        "Missing",
        ["certifications"],
        `the server requires the certification ${missing.join(", ")} (udap_certifications_required)`
      )
    }
  })

/**
 * The content of a certification, without the claims that differ in each copy.
 *
 * @internal
 */
export const content = (certification: Redacted.Redacted): JsonObject => {
  const { exp: _exp, iat: _iat, jti: _jti, ...claims } = jws.decode(Redacted.value(certification))?.claims ?? {}
  return claims
}
