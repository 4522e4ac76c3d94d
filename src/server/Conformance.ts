/**
 * Every way in which a SMART configuration deviates from SMART App Launch 2.2 (conformance: metadata and capabilities; the metadata rules of the
 * asymmetric profile; user-access brands). To judge is apart from to use: a deviating server still works wherever it safely can.
 *
 * @since 0.1.0
 */
import { distinct, type Finding } from "./Finding.js"
import { claimRules } from "./internal/claimFindings.js"
import { memberRules } from "./internal/memberFindings.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

/**
 * The closed set of findings about a SMART configuration.
 *
 * @since 0.1.0
 * @category models
 */
export type ConformanceCode =
  | "WellKnownMissing"
  | "MemberMissing"
  | "ConditionalMemberMissing"
  | "RecommendedMemberMissing"
  | "MemberMalformed"
  | "MemberUnexpected"
  | "MemberDeprecated"
  | "EndpointRelative"
  | "EndpointInsecure"
  | "EndpointUnfit"
  | "IssuerUnfit"
  | "PkceS256Missing"
  | "PkcePlainPresent"
  | "GrantTypeMissing"
  | "GrantTypeUnknown"
  | "ResponseTypeMissing"
  | "AuthenticationMethodMissing"
  | "AuthenticationMethodUnknown"
  | "SigningAlgorithmMissing"
  | "SigningAlgorithmUnsafe"
  | "CapabilityMissing"
  | "CapabilityInconsistent"
  | "CapabilityLegacy"
  | "CapabilityUnknown"
  | "CapabilitySetMissing"
  | "AssociatedEndpointIncomplete"
  | "BrandIdentifierIncomplete"
  | "BrandBundleMissing"

/**
 * @since 0.1.0
 * @category models
 */
export type ConformanceFinding = Finding<ConformanceCode>

/**
 * @since 0.1.0
 * @category models
 */
export interface ConformanceOptions {
  /** As the client that the findings are for is configured: with it, `http` to a loopback host is `information`. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/** @internal */
export type Rule = (
  configuration: SmartConfiguration,
  options: ConformanceOptions
) => ReadonlyArray<ConformanceFinding>

/**
 * All findings, in an order that does not depend on the document's: two servers that deviate alike read alike.
 *
 * @since 0.1.0
 * @category accessors
 */
export const conformance = (
  configuration: SmartConfiguration,
  options: ConformanceOptions = {}
): ReadonlyArray<ConformanceFinding> =>
  distinct([...memberRules, ...claimRules].flatMap((rule) => rule(configuration, options)))
