/**
 * Rules about members of a SMART configuration that are missing, malformed or not allowed (SMART App Launch 2.2,
 * conformance: metadata; client-confidential-asymmetric: advertising server support).
 */
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { has, signingAlgorithms } from "../Capabilities.js"
import type { Finding, Reporter } from "../Finding.js"
import { type MemberKey, memberName, type SmartConfiguration } from "../SmartConfiguration.js"
import { requirementOf } from "./memberRequirements.js"

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
 * A deviation of a SMART configuration.
 *
 * @since 0.1.0
 * @category models
 */
export type ConformanceFinding = Finding<ConformanceCode>

/**
 * Options of `findings`.
 *
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

const REQUIRED = [
  "tokenEndpoint",
  "grantTypesSupported",
  "capabilities",
  "codeChallengeMethodsSupported"
] as const satisfies ReadonlyArray<MemberKey>

const RECOMMENDED = [
  "scopesSupported",
  "responseTypesSupported",
  "introspectionEndpoint",
  "revocationEndpoint",
  "managementEndpoint",
  "userAccessBrandBundle",
  "userAccessBrandIdentifier"
] as const satisfies ReadonlyArray<MemberKey>

/** A malformed member has its own finding and is not reported as missing. */
const isMissing = (configuration: SmartConfiguration, key: MemberKey): boolean =>
  configuration[key] === undefined && !configuration.deviations.some(({ member }) => member === memberName(key))

/** @internal */
export const claimsLaunch = (configuration: SmartConfiguration): boolean =>
  has(configuration, "launch-ehr") || has(configuration, "launch-standalone")

const sourceRule: Rule = ({ source }, report) => {
  if (source !== "CapabilityStatement") return
  report.error(
    "WellKnownMissing",
    undefined,
    "the server has no SMART configuration, only the deprecated oauth-uris of its CapabilityStatement",
    "serve /.well-known/smart-configuration; until then clients need the setting legacyMetadata"
  )
}

const malformedRule: Rule = ({ deviations }, report) => {
  for (const { expected, member, problem } of deviations) {
    if (problem === "Relative") {
      report.error(
        "EndpointRelative",
        [member, "378"],
        `${member} is a relative URL`,
        "write absolute URLs; it was resolved against the FHIR base URL"
      )
    } else {
      report[REQUIRED.some((key) => memberName(key) === member) ? "error" : "warning"](
        "MemberMalformed",
        [member, requirementOf(member)],
        `${member} is not ${expected}`,
        "it counts as absent until it is corrected"
      )
    }
  }
}

/** Members that a claim requires, each with its requirement. */
const conditions = (
  configuration: SmartConfiguration
): ReadonlyArray<readonly [holds: boolean, claim: string, ReadonlyArray<readonly [MemberKey, string | undefined]>]> => [
  [claimsLaunch(configuration), "a launch capability", [["authorizationEndpoint", "383"]]],
  [has(configuration, "sso-openid-connect"), "sso-openid-connect", [["issuer", "381"], ["jwksUri", "382"]]],
  [has(configuration, "client-confidential-asymmetric"), "client-confidential-asymmetric", [
    ["tokenEndpointAuthMethodsSupported", "288"],
    ["tokenEndpointAuthSigningAlgValuesSupported", "289"],
    ["scopesSupported", "287"]
  ]],
  [
    configuration.authorizationResponseIssParameterSupported === true && !has(configuration, "sso-openid-connect"),
    "authorization_response_iss_parameter_supported",
    [["issuer", undefined]]
  ]
]

const missingRule: Rule = (configuration, report) => {
  for (const key of REQUIRED.filter((required) => isMissing(configuration, required))) {
    const member = memberName(key)
    report.error(
      "MemberMissing",
      [member, requirementOf(member)],
      `${member} is missing`,
      `${member} is required: add it`
    )
  }
  const reported = new Set<string>()
  for (const [holds, claim, members] of conditions(configuration)) {
    for (const [key, requirement] of members) {
      if (!holds || !isMissing(configuration, key)) continue
      reported.add(key)
      const member = memberName(key)
      report.error(
        "ConditionalMemberMissing",
        [member, requirement],
        `${member} is missing, and ${claim} requires it`,
        `add ${member}, or do not claim ${claim}`
      )
    }
  }
  for (
    const key of RECOMMENDED.filter((recommended) =>
      isMissing(configuration, recommended) && !reported.has(recommended)
    )
  ) {
    const member = memberName(key)
    const isIdentifier = key === "userAccessBrandIdentifier"
    report.information(
      "RecommendedMemberMissing",
      [member, isIdentifier && configuration.userAccessBrandBundle !== undefined ? "409" : requirementOf(member)],
      `${member} is not in the document`,
      isIdentifier
        ? "it is recommended, and required where the brand bundle has more than one brand"
        : "it is recommended"
    )
  }
}

const issuerRule: Rule = (configuration, report, { allowInsecureLocalhost = false }) => {
  const { authorizationResponseIssParameterSupported, capabilities, issuer } = configuration
  if (issuer === undefined) return
  const about = ["issuer", "381"] as const
  const url = Url.parse(issuer)
  const isPlain = url !== undefined && !/[?#{}]/.test(issuer) && !Url.hasCredentials(url)
  if (!isPlain || url.protocol !== "https:") {
    const isLoopback = isPlain && Url.isSecure(url, true)
    report[!isLoopback ? "error" : allowInsecureLocalhost ? "information" : "warning"](
      "IssuerUnfit",
      about,
      "issuer is not an https URL without credentials, query, fragment and placeholder",
      "an id_token is accepted only if its iss is exactly this string"
    )
  }
  // Without a list of capabilities it is unknown whether the issuer belongs to one.
  if (
    capabilities !== undefined && !has(configuration, "sso-openid-connect") &&
    authorizationResponseIssParameterSupported !== true
  ) {
    report.warning(
      "MemberUnexpected",
      about,
      "issuer is in the document without the capability sso-openid-connect",
      "claim sso-openid-connect, or leave issuer out"
    )
  }
}

const pkceRule: Rule = ({ codeChallengeMethodsSupported: methods }, report) => {
  const member = "code_challenge_methods_supported"
  if (methods?.includes("S256") === false) {
    const advice = "support S256; this client sends it in any case"
    report.error("PkceS256Missing", [member, "14"], `${member} does not list S256`, advice)
  }
  if (methods?.includes("plain") === true) {
    report.error("PkcePlainPresent", [member, "15"], `${member} lists plain`, "remove it: plain protects no code")
  }
}

const GRANT_TYPES = ["authorization_code", "client_credentials", "refresh_token"]

const grantRule: Rule = (configuration, report) => {
  const types = configuration.grantTypesSupported
  if (types === undefined) return
  const grants = ["grant_types_supported", "384"] as const
  if (claimsLaunch(configuration) && !types.includes("authorization_code")) {
    report.error(
      "GrantTypeMissing",
      grants,
      "grant_types_supported does not list authorization_code, which a launch needs",
      "list authorization_code"
    )
  }
  // Extension grants are URIs (RFC 6749, section 4.5).
  for (const type of types.filter((one) => !GRANT_TYPES.includes(one) && !one.includes(":")).sort()) {
    report.information(
      "GrantTypeUnknown",
      grants,
      `grant_types_supported lists ${safeText(type, [], 60)}, which SMART does not use`,
      "this client does not use it"
    )
  }
}

const responseRule: Rule = (configuration, report) => {
  if (configuration.responseTypesSupported?.includes("code") !== false || !claimsLaunch(configuration)) return
  report.error(
    "ResponseTypeMissing",
    ["response_types_supported", "390"],
    "response_types_supported does not list code, which a launch needs",
    "list code"
  )
}

const AUTH_METHODS = ["client_secret_post", "client_secret_basic", "private_key_jwt"]

const methodRule: Rule = (configuration, report) => {
  const { tokenEndpointAuthMethodsSupported: methods } = configuration
  if (methods === undefined) return
  const member = "token_endpoint_auth_methods_supported"
  if (has(configuration, "client-confidential-asymmetric") && !methods.includes("private_key_jwt")) {
    report.error(
      "AuthenticationMethodMissing",
      [member, "288"],
      "client-confidential-asymmetric is claimed without private_key_jwt",
      "list private_key_jwt; a client that is configured for it uses it in any case"
    )
  }
  if (has(configuration, "client-confidential-symmetric") && !methods.includes("client_secret_basic")) {
    report[methods.includes("client_secret_post") ? "warning" : "error"](
      "AuthenticationMethodMissing",
      [member, "345"],
      "client-confidential-symmetric is claimed without client_secret_basic",
      "list client_secret_basic; until then a client may need client_secret_post"
    )
  }
  for (const method of methods.filter((one) => !AUTH_METHODS.includes(one)).sort()) {
    report.information(
      "AuthenticationMethodUnknown",
      [member, "386"],
      `${member} lists ${safeText(method, [], 60)}, which SMART does not define`,
      "clients choose among client_secret_basic, client_secret_post and private_key_jwt"
    )
  }
}

const algorithmRule: Rule = (configuration, report) => {
  const member = "token_endpoint_auth_signing_alg_values_supported"
  const about = [member, "289"] as const
  if (signingAlgorithms(configuration).length === 0) {
    report.error(
      "SigningAlgorithmMissing",
      about,
      `${member} lists neither RS384 nor ES384`,
      "support one of them; a SMART client cannot sign an assertion for this server"
    )
  }
  const algorithms = configuration.tokenEndpointAuthSigningAlgValuesSupported ?? []
  for (const algorithm of algorithms.filter((one) => /^(none|HS\d*)$/i.test(one)).sort()) {
    report.warning(
      "SigningAlgorithmUnsafe",
      about,
      `${member} lists ${safeText(algorithm, [], 20)}, which is not asymmetric`,
      "remove it: assertions are signed with a private key"
    )
  }
}

/** @internal */
export const memberRules: ReadonlyArray<Rule> = [
  sourceRule,
  malformedRule,
  missingRule,
  issuerRule,
  pkceRule,
  grantRule,
  responseRule,
  methodRule,
  algorithmRule
]
