/**
 * The checks of path validation (RFC 5280, section 6.1) beside signatures and name chaining, which the search for a
 * path makes. `pkijs` has an engine for them; it lacks half of them and can be led to validate another certificate than
 * the one at hand, so that it is not used.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { Problem } from "../TrustError.js"
import { allows, basicConstraints, type Certificate, isSelfIssued, Oid } from "./certificate.js"
import * as nameConstraints from "./nameConstraints.js"
import * as policies from "./policies.js"
import { algorithmProblem, keyProblem } from "./signature.js"

/** @internal */
export interface Times {
  readonly now: number
  /** How far in the future a validity may start. */
  readonly skew: number
}

/** The extensions that are processed: an unknown critical one makes a certificate unusable (4.2). */
const PROCESSED: ReadonlySet<string> = new Set([
  Oid.keyUsage,
  Oid.subjectAltName,
  Oid.issuerAltName,
  Oid.basicConstraints,
  Oid.nameConstraints,
  Oid.crlDistributionPoints,
  Oid.certificatePolicies,
  Oid.policyMappings,
  Oid.policyConstraints,
  Oid.extendedKeyUsage,
  Oid.inhibitAnyPolicy
])

/** @internal */
export const iso = (millis: number): string =>
  Option.match(DateTime.make(millis), { onNone: () => "an unreadable date", onSome: DateTime.formatIso })

/** @internal */
export const problem = (
  reason: Problem["reason"],
  certificate: Certificate,
  rule: string,
  detail: string
): Problem => ({ reason, certificate: certificate.subject.display, rule: `RFC 5280, ${rule}`, detail })

const about = (certificate: Certificate, found: Problem | undefined): ReadonlyArray<Problem> =>
  found === undefined ? [] : [{ ...found, certificate: certificate.subject.display }]

/** The problems of a certificate at any position. */
const ofOne = (certificate: Certificate, { now, skew }: Times): ReadonlyArray<Problem> => [
  ...(now > certificate.notAfter
    ? [problem("Expired", certificate, "6.1.3 (a)(2)", `it expired on ${iso(certificate.notAfter)}`)]
    : now + skew < certificate.notBefore
    ? [problem("NotYetValid", certificate, "6.1.3 (a)(2)", `it is not valid before ${iso(certificate.notBefore)}`)]
    : []),
  ...about(certificate, keyProblem(certificate)),
  ...[...certificate.extensions].flatMap(([oid, { critical }]) =>
    critical && !PROCESSED.has(oid)
      ? [problem("CriticalExtension", certificate, "4.2 and 6.1.5 (f)", `it has the unknown critical extension ${oid}`)]
      : []
  )
]

const ofLeaf = (leaf: Certificate): ReadonlyArray<Problem> =>
  allows(leaf, "digitalSignature") ? [] : [
    problem("KeyUsage", leaf, "4.2.1.3", "its key usage does not allow digital signatures")
  ]

const ofAuthority = (authority: Certificate): ReadonlyArray<Problem> => [
  ...(basicConstraints(authority).ca ? [] : [
    problem("NotAnAuthority", authority, "6.1.4 (k)", "its basic constraints do not make it an authority")
  ]),
  ...(allows(authority, "keyCertSign") ? [] : [
    problem("KeyUsage", authority, "6.1.4 (n)", "its key usage does not allow signing certificates")
  ])
]

/**
 * The authorities below one that count against its path length: the leaf does not, nor do those that an authority
 * issued to itself.
 */
const countBelow = (below: ReadonlyArray<Certificate>): number =>
  below.filter((certificate, i) => i > 0 && !isSelfIssued(certificate)).length

const ofLength = (path: ReadonlyArray<Certificate>): ReadonlyArray<Problem> =>
  path.flatMap((authority, i) => {
    const { pathLength } = basicConstraints(authority)
    return pathLength === undefined || countBelow(path.slice(0, i)) <= pathLength ? [] : [
      problem("PathTooLong", authority, "6.1.4 (l) and (m)", `more than ${pathLength} authorities follow below it`)
    ]
  })

const ofNames = (path: ReadonlyArray<Certificate>): ReadonlyArray<Problem> =>
  path.flatMap((authority, i) => {
    const constraints = nameConstraints.constraintsOf(authority)
    if (constraints === undefined) return []
    if (constraints === "Malformed") {
      return [problem("NameConstraint", authority, "4.2.1.10", "its name constraints cannot be processed")]
    }
    // An authority's certificates for itself are exempt, unless one is the leaf (6.1.3 (b)).
    return path.slice(0, i).flatMap((certificate, j) =>
      (j > 0 && isSelfIssued(certificate)) || nameConstraints.satisfies(certificate, constraints) ? [] : [
        problem(
          "NameConstraint",
          certificate,
          "6.1.3 (b) and (c)",
          `it has a name that ${authority.subject.display} must not certify`
        )
      ]
    )
  })

const ofPolicies = (path: ReadonlyArray<Certificate>): ReadonlyArray<Problem> => {
  const found = policies.fault(path.slice(0, -1).reverse())
  return found === undefined ? [] : [
    found.fault === "NoValidPolicy"
      ? problem(
        "PolicyRequired",
        found.certificate,
        "6.1.3 (f)",
        "an authority above it demands a certificate policy that it lacks"
      )
      : problem("PolicyRequired", found.certificate, "6.1.4 (a)", "it maps the policy anyPolicy")
  ]
}

/**
 * The problems of certificates without a complete path, leaf first.
 *
 * @internal
 */
export const checkEach = (certificates: ReadonlyArray<Certificate>, times: Times): ReadonlyArray<Problem> =>
  certificates.flatMap((certificate, i) => [
    ...ofOne(certificate, times),
    ...about(certificate, algorithmProblem(certificate.x509.signatureAlgorithm)),
    ...(i === 0 ? ofLeaf(certificate) : ofAuthority(certificate))
  ])

/**
 * The problems of a complete path, leaf first, anchor last. The anchor's own signature proves nothing and is not
 * looked at.
 *
 * @internal
 */
export const checkPath = (path: ReadonlyArray<Certificate>, times: Times): ReadonlyArray<Problem> => [
  ...checkEach(path.slice(0, -1), times),
  ...path.slice(-1).flatMap((anchor) => [...ofOne(anchor, times), ...ofAuthority(anchor)]),
  ...ofLength(path),
  ...ofNames(path),
  ...ofPolicies(path)
]
