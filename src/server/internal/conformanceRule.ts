/**
 * The findings about a SMART configuration, and the shape of the rules that report them.
 *
 * @since 0.1.0
 */
import type { Finding, Reporter } from "../Finding.js"
import type { SmartConfiguration } from "../SmartConfiguration.js"

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
  /** The setting of the client: with it, `http` to a loopback host is `information`. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/** @internal */
export type Rule = (
  configuration: SmartConfiguration,
  report: Reporter<ConformanceCode>,
  options: ConformanceOptions
) => void
