/**
 * Certificate policies along a path (RFC 5280, section 6.1, as updated by RFC 9618). Any policy is acceptable to the
 * caller, so that one question is left: where an authority demands a valid policy, has the path one? Then the set of
 * policies that are still expected says as much as the graph.
 */
import * as pki from "pkijs"
import { type Certificate, extensionOf, isSelfIssued, Oid } from "./certificate.js"
import * as der from "./der.js"

const ANY_POLICY = "2.5.29.32.0"

const policiesOf = (certificate: Certificate): ReadonlyArray<string> => {
  const found = certificate.extensions.get(Oid.certificatePolicies)?.parsed
  return found instanceof pki.CertificatePolicies
    ? found.certificatePolicies.map(({ policyIdentifier }) => policyIdentifier)
    : []
}

const mappingsOf = (certificate: Certificate): ReadonlyArray<readonly [from: string, to: string]> => {
  const found = certificate.extensions.get(Oid.policyMappings)?.parsed
  if (!(found instanceof pki.PolicyMappings)) return []
  return found.mappings.map(({ issuerDomainPolicy, subjectDomainPolicy }) => [issuerDomainPolicy, subjectDomainPolicy])
}

/** The content of an INTEGER that is not negative: a count, of which large values have no effect. */
const count = (bytes: Uint8Array): number => bytes.reduce((value, byte) => value * 256 + byte, 0)

/** `requireExplicitPolicy` and `inhibitPolicyMapping`, which have implicit tags. */
const constraintsOf = (certificate: Certificate): ReadonlyMap<number, number> => {
  const bytes = extensionOf(certificate, Oid.policyConstraints)
  return new Map(der.partsOf(bytes, der.single(bytes)).map((one) => [one.tag, count(der.contentOf(bytes, one))]))
}

const inhibitAnyOf = (certificate: Certificate): number | undefined => {
  const bytes = extensionOf(certificate, Oid.inhibitAnyPolicy)
  const integer = der.single(bytes)
  return integer === undefined ? undefined : count(der.contentOf(bytes, integer))
}

/** The expected policies of the next certificate, after the mappings of this one (6.1.4 (b)). */
const mapped = (
  expected: ReadonlySet<string>,
  mappings: ReadonlyArray<readonly [from: string, to: string]>,
  mayMap: boolean
): ReadonlySet<string> => {
  const next = new Set(expected)
  for (const [from] of mappings) next.delete(from)
  if (!mayMap) return next
  for (const [from, to] of mappings) if (expected.has(from) || expected.has(ANY_POLICY)) next.add(to)
  return next
}

/** @internal */
export type PolicyFault = "MappingOfAnyPolicy" | "NoValidPolicy"

/**
 * `path` starts below the anchor and ends with the leaf. The certificate at fault, if there is one.
 *
 * @internal
 */
export const fault = (
  path: ReadonlyArray<Certificate>
): { readonly certificate: Certificate; readonly fault: PolicyFault } | undefined => {
  /** Without a policy in it, none is valid any more. */
  let expected: ReadonlySet<string> = new Set([ANY_POLICY])
  let explicitPolicy = Infinity
  let policyMapping = Infinity
  let inhibitAny = Infinity
  for (const [i, certificate] of path.entries()) {
    const isLeaf = i === path.length - 1
    const selfIssued = isSelfIssued(certificate)
    const policies = policiesOf(certificate)
    const before = expected
    const next = new Set(policies.filter((one) => one !== ANY_POLICY && (before.has(one) || before.has(ANY_POLICY))))
    if (policies.includes(ANY_POLICY) && (inhibitAny > 0 || (!isLeaf && selfIssued))) {
      for (const one of before) next.add(one)
    }
    expected = next
    const constraints = constraintsOf(certificate)
    if (isLeaf) {
      const isRequired = explicitPolicy <= 1 || constraints.get(0x80) === 0
      return isRequired && expected.size === 0 ? { certificate, fault: "NoValidPolicy" } : undefined
    }
    if (explicitPolicy === 0 && expected.size === 0) return { certificate, fault: "NoValidPolicy" }
    const mappings = mappingsOf(certificate)
    if (mappings.some(([from, to]) => from === ANY_POLICY || to === ANY_POLICY)) {
      return { certificate, fault: "MappingOfAnyPolicy" }
    }
    expected = mapped(expected, mappings, policyMapping > 0)
    if (!selfIssued) {
      explicitPolicy = Math.max(0, explicitPolicy - 1)
      policyMapping = Math.max(0, policyMapping - 1)
      inhibitAny = Math.max(0, inhibitAny - 1)
    }
    explicitPolicy = Math.min(explicitPolicy, constraints.get(0x80) ?? explicitPolicy)
    policyMapping = Math.min(policyMapping, constraints.get(0x81) ?? policyMapping)
    inhibitAny = Math.min(inhibitAny, inhibitAnyOf(certificate) ?? inhibitAny)
  }
  return undefined
}
