/**
 * Why a certificate chain, or what was signed with it, is not trusted: every problem that was found, each with the
 * certificate and the rule that it concerns (RFC 5280, RFC 6960; UDAP Security STU2, sections 2.3 and 7.1).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const ASK = "ask the server's operator to"

const ADVICE = {
  CommunityUnknown: "add the community with its anchors to TrustPolicy.layer, or name one that it has",
  Malformed: `${ASK} have the certificate issued anew`,
  TooLarge: "no certificate chain of a trust community is that large; ask the server's operator what it sends",
  DuplicateExtension: `${ASK} have the certificate issued anew`,
  AlgorithmMismatch: `${ASK} have the certificate issued anew`,
  UnsupportedAlgorithm:
    `${ASK} have the certificate signed with RSA (PKCS #1) or ECDSA and SHA-256, SHA-384 or SHA-512`,
  UnsupportedKey: `${ASK} use an RSA key of 2048 to 8192 bits, or an EC key on P-256, P-384 or P-521`,
  Untrusted:
    "compare the anchors and intermediates of TrustPolicy.layer with what the community publishes; the server may belong to another community",
  BadSignature: "the certificate was changed or forged; compare it with what the community's authority issued",
  Expired: "the certificate must be renewed, by the server's operator or, where it is an anchor, in TrustPolicy.layer",
  NotYetValid:
    "compare this machine's clock with the certificate; TrustPolicy.layer({ clockSkew }) says what is tolerated",
  NotAnAuthority: "the certificate may not issue others; the chain is forged or was put together wrongly",
  KeyUsage: `${ASK} use a certificate whose key usage allows it`,
  PathTooLong: "an authority issued what it must not; tell the community",
  CriticalExtension:
    "the certificate demands a check that is not known here, so that it must not be used; ask the community what it means",
  NameConstraint: "an authority issued a certificate for a name that it must not; tell the community",
  PolicyRequired: "an authority demands certificate policies that the chain does not have; tell the community",
  Revoked: "do not use the server until its operator has a new certificate",
  RevocationUnavailable:
    "check whether this machine reaches the authority's revocation service, or give its current CRL to TrustPolicy.layer({ crls })",
  RevocationUnknown:
    "the authority must publish a valid CRL or OCSP response; give TrustPolicy.layer({ crls }) a CRL meanwhile",
  SignedMetadataMissing: `${ASK} publish signed_metadata`,
  SignedMetadataMalformed: `${ASK} publish signed_metadata as a JWT in compact serialization, with an x5c header`,
  SignedMetadataAlgorithm:
    `${ASK} sign with RS256, or allow another algorithm with UdapDiscovery.layer({ algorithms })`,
  SignedMetadataSignature:
    "signed_metadata was changed after it was signed, or signed with another key; ask the server's operator",
  ClaimMissing: `${ASK} correct the claim`,
  IssuerNotInCertificate:
    `${ASK} use a certificate that has the FHIR base URL as a URI in its subject alternative name`,
  IssuerMismatch:
    "compare the FHIR base URL that is configured here with iss, which is the URL that the server calls its own",
  SubjectMismatch: `${ASK} correct sub`,
  SignedMetadataExpired: `${ASK} sign its metadata anew`,
  SignedMetadataNotYetValid:
    "compare this machine's clock with the server's; TrustPolicy.layer({ clockSkew }) says what is tolerated",
  LifetimeTooLong: `${ASK} sign for a year at most`,
  EndpointMissing: `${ASK} put the endpoint into signed_metadata`,
  EndpointInsecure: `${ASK} publish an absolute https URL; http needs a loopback host and allowInsecureLocalhost`
}

/**
 * The reasons of a `TrustError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `TrustError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A single reason against trust, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Problem = Schema.Struct({
  reason: Reason,
  /** The subject of the certificate, where the problem concerns one. */
  certificate: Schema.optional(Schema.String),
  /** The rule that is violated, such as `RFC 5280, 6.1.3 (a)(2)` or `UDAP-51`. */
  rule: Schema.String,
  /** The problem in a few words. */
  detail: Schema.String
})

/**
 * A single reason against trust.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem = typeof Problem.Type

/**
 * All reasons against trust, at least one.
 *
 * @since 0.1.0
 * @category models
 */
export type Problems = readonly [Problem, ...ReadonlyArray<Problem>]

/** The number of problems in a message; all are in `problems`. */
const SHOWN = 3

const text = ({ certificate, detail, rule }: Problem): string =>
  `${certificate === undefined ? "" : `certificate ${certificate}: `}${detail} [${rule}]`

/**
 * A certificate or signed metadata are not trusted. `problems` has all reasons.
 *
 * @since 0.1.0
 * @category errors
 */
export class TrustError extends Schema.TaggedError<TrustError>("effect-safire/TrustError")("TrustError", {
  /** The reason of the first problem. */
  reason: Reason,
  /** All that is wrong. */
  problems: Schema.NonEmptyArray(Problem),
  /** The name of the chain: a server's FHIR base URL, or the name from the caller. */
  subject: Schema.String,
  /** The trust community whose anchors were used. */
  community: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const shown = this.problems.slice(0, SHOWN).map(text).join("; ")
    const more = this.problems.length > SHOWN ? `; and ${this.problems.length - SHOWN} more` : ""
    const community = this.community === undefined ? "" : ` in the community ${this.community}`
    return `${this.subject} is not trusted${community} (${this.reason}): ${shown}${more}; ${ADVICE[this.reason]}`
  }

  /** The remedy of a problem. */
  static remedy(reason: Reason): string {
    return ADVICE[reason]
  }

  /** Whether the failure is temporary: the same call may succeed later. */
  get isRetryable(): boolean {
    return this.problems.every(({ reason }) => reason === "RevocationUnavailable")
  }
}
