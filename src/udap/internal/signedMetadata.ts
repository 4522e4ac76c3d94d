/**
 * The verification of `signed_metadata` (UDAP Security STU2, section 2.3): header, signature, chain and claims. All
 * that is wrong is reported together.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { JsonObject } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import { type Problem, type Problems, TrustError } from "../TrustError.js"
import type { Service as TrustPolicy, TrustedChain } from "../TrustPolicy.js"
import * as certificates from "./certificate.js"
import * as jws from "./jws.js"
import { keyProblem } from "./signature.js"

/** @internal */
export interface Context {
  readonly policy: TrustPolicy
  readonly fhirBaseUrl: string
  readonly community: string | undefined
  readonly algorithms: ReadonlyArray<jws.Algorithm>
  readonly allowInsecureLocalhost: boolean
}

/** @internal */
export interface Verified {
  readonly claims: JsonObject
  readonly chain: TrustedChain
  /** Milliseconds since 1970: the earliest end of the JWT and of its chain. */
  readonly until: number
}

const MAX_JWT = 262_144

const problem = (reason: Problem["reason"], rule: string, detail: string): Problem => ({ reason, rule, detail })

interface Parsed {
  readonly jwt: string
  readonly header: JsonObject
  readonly claims: JsonObject
}

const parse = (value: unknown): Either.Either<Parsed, Problem> => {
  if (value === undefined || value === null) {
    return Either.left(problem("SignedMetadataMissing", "UDAP-46", "it has no signed_metadata"))
  }
  const malformed = (detail: string) => Either.left(problem("SignedMetadataMalformed", "UDAP-3", detail))
  if (typeof value !== "string") return malformed("signed_metadata is not a string")
  if (value.length > MAX_JWT) return malformed(`signed_metadata has more than ${MAX_JWT} characters`)
  const decoded = jws.decode(value)
  return decoded === undefined
    ? malformed("signed_metadata is not a JWT in compact serialization")
    : Either.right({ jwt: value, ...decoded })
}

type Chain = Arr.NonEmptyReadonlyArray<Uint8Array>

/** Not limited here: the JWT is, and `TrustPolicy` limits the number of certificates and the size of each. */
const readChain = (x5c: unknown): Either.Either<Chain, Problem> => {
  const malformed = (detail: string) => problem("SignedMetadataMalformed", "UDAP-8", detail)
  return Array.isArray(x5c) && Arr.isNonEmptyArray<unknown>(x5c)
    ? Either.all(Arr.map(x5c, (entry) =>
      Either.fromNullable(
        jws.certificateOf(entry),
        () => malformed("an entry of x5c is not base64 without line breaks")
      )))
    : Either.left(malformed("the x5c header is not a list of certificates"))
}

const checkHeader = (
  { crit }: JsonObject,
  algorithm: jws.Algorithm | undefined,
  allowed: ReadonlyArray<jws.Algorithm>
): ReadonlyArray<Problem> => [
  ...(algorithm === undefined
    ? [problem("SignedMetadataAlgorithm", "UDAP-7", `signed_metadata is not signed with ${allowed.join(" or ")}`)]
    : []),
  ...(crit === undefined ? [] : [
    problem("SignedMetadataMalformed", "RFC 7515, 4.1.11", "the header of signed_metadata has critical members")
  ])
]

/** The key is that of the first certificate, never one that the header brings along. */
const checkSignature = (
  jwt: string,
  algorithm: jws.Algorithm,
  leaf: certificates.Certificate
): Effect.Effect<ReadonlyArray<Problem>> =>
  Effect.map(jws.verifies(jwt, algorithm, certificates.publicKeyInfo(leaf)), (verifies) =>
    verifies ? [] : [
      problem(
        "SignedMetadataSignature",
        "UDAP-8",
        "the signature of signed_metadata is not by the key of the first certificate in x5c"
      )
    ])

/** A year, also one with a leap day. */
const MAX_LIFETIME_SECONDS = 366 * 86_400

const isDate = (value: unknown): value is number => Number.isSafeInteger(value)

const checkDates = ({ exp, iat, jti, nbf }: JsonObject, now: number, skew: number): ReadonlyArray<Problem> => [
  ...(!isDate(exp)
    ? [problem("ClaimMissing", "UDAP-52", "exp is not an integer")]
    : exp * 1000 <= now
    ? [problem("SignedMetadataExpired", "UDAP-52", "exp of signed_metadata has passed")]
    : []),
  ...(!isDate(iat)
    ? [problem("ClaimMissing", "UDAP-54", "iat is not an integer")]
    : iat * 1000 > now + skew
    ? [problem("SignedMetadataNotYetValid", "UDAP-54", "iat lies in the future")]
    : []),
  ...(isDate(exp) && isDate(iat) && exp - iat > MAX_LIFETIME_SECONDS
    ? [problem("LifetimeTooLong", "UDAP-53", "exp is more than a year after iat")]
    : []),
  ...(nbf === undefined
    ? []
    : !isDate(nbf)
    ? [problem("ClaimMissing", "RFC 7519, 4.1.5", "nbf is not an integer")]
    : nbf * 1000 > now + skew
    ? [problem("SignedMetadataNotYetValid", "RFC 7519, 4.1.5", "nbf lies in the future")]
    : []),
  ...(typeof jti === "string" && jti !== ""
    ? []
    : [problem("ClaimMissing", "UDAP-55", "jti is not a non-empty string")])
]

const withoutSlash = (url: string): string => url.endsWith("/") ? url.slice(0, -1) : url

const checkIdentity = (
  { iss, sub }: JsonObject,
  leaf: certificates.Certificate | undefined,
  fhirBaseUrl: string
): ReadonlyArray<Problem> => [
  ...(typeof iss !== "string" || iss === "" ? [problem("ClaimMissing", "UDAP-48", "iss is not a non-empty string")] : [
    ...(leaf === undefined || certificates.uris(leaf).includes(iss) ? [] : [
      {
        ...problem("IssuerNotInCertificate", "UDAP-49", "iss is not among the URIs of its subject alternative name"),
        certificate: leaf.subject.display
      }
    ]),
    // The base URL comes from a person; of the certificate's names each character counts.
    ...(withoutSlash(iss) === withoutSlash(fhirBaseUrl)
      ? []
      : [problem("IssuerMismatch", "UDAP-50", "iss is another URL than the FHIR base URL")])
  ]),
  ...(sub === iss && sub !== undefined ? [] : [problem("SubjectMismatch", "UDAP-51", "sub is not iss")])
]

const checkEndpoint = (
  claims: JsonObject,
  member: string,
  requirement: string,
  allowInsecureLocalhost: boolean
): ReadonlyArray<Problem> => {
  const value = claims[member]
  if (typeof value !== "string" || value === "") {
    return [problem("EndpointMissing", requirement, `signed_metadata has no ${member}`)]
  }
  const url = Url.parse(value)
  const isUsable = url !== undefined && Url.isSecure(url, allowInsecureLocalhost) && url.username === "" &&
    url.password === "" && url.hash === ""
  return isUsable ? [] : [problem("EndpointInsecure", requirement, `${member} is not an absolute https URL`)]
}

const checkEndpoints = (
  claims: JsonObject,
  plain: JsonObject,
  allowInsecureLocalhost: boolean
): ReadonlyArray<Problem> => [
  ...checkEndpoint(claims, "token_endpoint", "UDAP-58", allowInsecureLocalhost),
  ...checkEndpoint(claims, "registration_endpoint", "UDAP-59", allowInsecureLocalhost),
  ...(plain["authorization_endpoint"] === undefined && claims["authorization_endpoint"] === undefined
    ? []
    : checkEndpoint(claims, "authorization_endpoint", "UDAP-57", allowInsecureLocalhost))
]

/**
 * `members` is the whole document.
 *
 * @internal
 */
export const verify = (members: JsonObject, context: Context): Effect.Effect<Verified, TrustError> =>
  Effect.gen(function*() {
    const { allowInsecureLocalhost, algorithms, community, fhirBaseUrl, policy } = context
    const refuse = (problems: Problems) =>
      new TrustError({ reason: problems[0].reason, problems, subject: fhirBaseUrl, community })
    const parsed = parse(members["signed_metadata"])
    if (Either.isLeft(parsed)) return yield* refuse([parsed.left])
    const { claims, header, jwt } = parsed.right
    const algorithm = algorithms.find((one) => one === header["alg"])
    const x5c = readChain(header["x5c"])
    const leaf = Either.getOrUndefined(Either.flatMap(x5c, ([first]) => certificates.parse(first)))
    const signature = leaf === undefined || algorithm === undefined || keyProblem(leaf) !== undefined
      ? []
      : yield* checkSignature(jwt, algorithm, leaf)
    const chain: Either.Either<TrustedChain, Problems> = Either.isLeft(x5c)
      ? Either.left([x5c.left])
      : Either.mapLeft(
        yield* Effect.either(policy.validate(x5c.right, { subject: fhirBaseUrl, community })),
        ({ problems }) => problems
      )
    const now = yield* Clock.currentTimeMillis
    const problems = [
      ...checkHeader(header, algorithm, algorithms),
      ...signature,
      ...(Either.isLeft(chain) ? chain.left : []),
      ...checkIdentity(claims, leaf, fhirBaseUrl),
      ...checkDates(claims, now, Duration.toMillis(policy.clockSkew)),
      ...checkEndpoints(claims, members, allowInsecureLocalhost)
    ]
    if (Arr.isNonEmptyReadonlyArray(problems)) return yield* refuse(problems)
    // Without a problem, the chain is trusted and `exp` is an integer.
    const trusted = yield* Effect.mapError(chain, refuse)
    return { claims, chain: trusted, until: Math.min(trusted.validUntil, Number(claims["exp"]) * 1000) }
  })
