/**
 * Rules about claims of a SMART configuration that contradict each other, and about endpoints that are not safe to use
 * (SMART App Launch 2.2, conformance: capabilities and capability sets; app protection; user-access brands: metadata).
 */
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { CAPABILITIES, type Capability, capabilitySets, has, SCOPE_SYNTAX } from "../Capabilities.js"
import type { Severity } from "../Finding.js"
import { type MemberKey, memberName, type SmartConfiguration } from "../SmartConfiguration.js"
import { claimsLaunch, type ConformanceOptions, type Rule } from "./memberRules.js"

const SECRET_ENDPOINTS = [
  "authorizationEndpoint",
  "tokenEndpoint",
  "jwksUri",
  "registrationEndpoint",
  "introspectionEndpoint",
  "revocationEndpoint"
] as const satisfies ReadonlyArray<MemberKey>

/** An endpoint that receives secrets, codes or tokens must be secure; for a page or a bundle that is advice. */
const endpointsOf = (
  self: SmartConfiguration
): ReadonlyArray<readonly [member: string, value: string | undefined, severity: Severity]> => [
  ...SECRET_ENDPOINTS.map((key) => [memberName(key), self[key], "error"] as const),
  ...(self.associatedEndpoints ?? []).map(({ url }) => ["associated_endpoints", url, "error"] as const),
  ["smart_app_state_endpoint", self.smartAppStateEndpoint, "error"],
  ["management_endpoint", self.managementEndpoint, "warning"],
  ["user_access_brand_bundle", self.userAccessBrandBundle, "warning"]
]

/** Severity and advice for a URL that is not https. */
const insecure = (
  url: URL | undefined,
  otherwise: Severity,
  { allowInsecureLocalhost = false }: ConformanceOptions
): readonly [severity: Severity, advice: string] => {
  if (url === undefined || !Url.isSecure(url, true)) {
    return [otherwise, "serve it over https: this client does not use it"]
  }
  return allowInsecureLocalhost
    ? ["information", "accepted for development, because allowInsecureLocalhost is on"]
    : ["warning", "http to a loopback host is accepted for development only, with allowInsecureLocalhost"]
}

const endpointRule: Rule = (configuration, report, options) => {
  const base = Url.parse(configuration.fhirBaseUrl)
  if (base?.protocol !== "https:") {
    const [severity, advice] = insecure(base, "error", options)
    report[severity]("EndpointInsecure", [undefined, "232"], "the FHIR base URL is not https", advice)
  }
  for (const [member, value, otherwise] of endpointsOf(configuration)) {
    const url = value === undefined ? undefined : Url.parse(value)
    if (url === undefined) continue
    if (url.protocol !== "https:") {
      const [severity, advice] = insecure(url, otherwise, options)
      report[severity]("EndpointInsecure", [member, "1"], `${member} is not https`, advice)
    }
    if (Url.hasCredentials(url) || url.hash !== "") {
      const advice = "remove them: RFC 6749 (3.1, 3.2) does not allow them"
      report[otherwise]("EndpointUnfit", member, `${member} contains credentials or a fragment`, advice)
    }
  }
}

const LEGACY: ReadonlyMap<string, Capability> = new Map([
  ["context-passthrough-banner", "context-banner"],
  ["context-passthrough-style", "context-style"],
  ["single-sign-on", "sso-openid-connect"]
])

const nameRule: Rule = ({ capabilities = [] }, report) => {
  for (const name of [...capabilities].sort()) {
    // Capabilities of others than HL7 are full URIs.
    if (CAPABILITIES.some((known) => known === name) || /^[a-z][a-z0-9+.-]*:\S+$/i.test(name)) continue
    const current = LEGACY.get(name)
    if (current === undefined) {
      report.information(
        "CapabilityUnknown",
        "capabilities",
        `capabilities lists ${JSON.stringify(safeText(name, [], 60))}, which SMART App Launch 2.2 does not define`,
        "another guide of HL7 may define it; capabilities of others are full URIs"
      )
    } else {
      const message = `capabilities lists ${name}, an old name`
      report.warning("CapabilityLegacy", ["capabilities", "393"], message, `its name is ${current} now`)
    }
  }
}

/** Signs that a server has a capability, each with the capability. */
const signsOf = (
  { scopesSupported: scopes = [], smartAppStateEndpoint, tokenEndpointAuthMethodsSupported: methods = [] }:
    SmartConfiguration
): ReadonlyArray<readonly [holds: boolean, sign: string, capability: Capability]> => [
  [methods.includes("private_key_jwt"), "private_key_jwt is listed", "client-confidential-asymmetric"],
  [
    methods.includes("client_secret_basic") || methods.includes("client_secret_post"),
    "a client_secret method is listed",
    "client-confidential-symmetric"
  ],
  [scopes.includes("openid"), "the scope openid is supported", "sso-openid-connect"],
  [scopes.includes("offline_access"), "the scope offline_access is supported", "permission-offline"],
  [scopes.includes("online_access"), "the scope online_access is supported", "permission-online"],
  [scopes.some((scope) => scope.startsWith("patient/")), "patient/ scopes are supported", "permission-patient"],
  [scopes.some((scope) => scope.startsWith("user/")), "user/ scopes are supported", "permission-user"],
  [scopes.some((scope) => SCOPE_SYNTAX.v1.test(scope)), "v1 scopes are supported", "permission-v1"],
  [scopes.some((scope) => SCOPE_SYNTAX.v2.test(scope)), "v2 scopes are supported", "permission-v2"],
  [smartAppStateEndpoint !== undefined, "smart_app_state_endpoint is in the document", "smart-app-state"]
]

const unclaimedRule: Rule = (configuration, report) => {
  if (configuration.capabilities === undefined) return
  for (const [holds, sign, capability] of signsOf(configuration)) {
    if (!holds || has(configuration, capability)) continue
    report.information(
      "CapabilityMissing",
      "capabilities",
      `${sign}, and ${capability} is not claimed`,
      `claim ${capability}, so that clients find it`
    )
  }
  if (configuration.authorizationEndpoint !== undefined && !claimsLaunch(configuration)) {
    report.warning(
      "CapabilityMissing",
      ["capabilities", "383"],
      "authorization_endpoint is in the document, and neither launch-ehr nor launch-standalone is claimed",
      "claim the launches that are supported"
    )
  }
}

const LAUNCH_OF: ReadonlyArray<readonly [Capability, Capability]> = [
  ["context-banner", "launch-ehr"],
  ["context-ehr-encounter", "launch-ehr"],
  ["context-ehr-patient", "launch-ehr"],
  ["context-standalone-encounter", "launch-standalone"],
  ["context-standalone-patient", "launch-standalone"],
  ["context-style", "launch-ehr"],
  ["permission-online", "launch-ehr"]
]

const inconsistentRule: Rule = (configuration, report) => {
  for (const [context, launch] of LAUNCH_OF) {
    if (!has(configuration, context) || has(configuration, launch)) continue
    report.warning(
      "CapabilityInconsistent",
      "capabilities",
      `${context} is claimed without ${launch}, the only launch it applies to`,
      `claim ${launch} too, or neither`
    )
  }
  if (claimsLaunch(configuration) && capabilitySets(configuration).length === 0) {
    report.warning(
      "CapabilitySetMissing",
      ["capabilities", "346"],
      "the claimed capabilities satisfy none of the four capability sets",
      "claim the launch context, client type and permissions that are supported"
    )
  }
}

const associatedRule: Rule = ({ associatedEndpoints = [], smartAppStateEndpoint }, report) => {
  if (associatedEndpoints.some(({ capabilities }) => capabilities.length === 0)) {
    report.warning(
      "AssociatedEndpointIncomplete",
      ["associated_endpoints", "439"],
      "an associated endpoint has no capabilities",
      "list the capabilities of the endpoint, such as smart-app-state"
    )
  }
  if (smartAppStateEndpoint !== undefined) {
    report.warning(
      "MemberDeprecated",
      "smart_app_state_endpoint",
      "smart_app_state_endpoint is deprecated",
      "list it in associated_endpoints with the capability smart-app-state"
    )
  }
}

const brandRule: Rule = ({ userAccessBrandBundle: bundle, userAccessBrandIdentifier: identifier }, report) => {
  if (identifier === undefined) return
  const member = "user_access_brand_identifier"
  if (identifier.value === undefined) {
    report.error("BrandIdentifierIncomplete", [member, "410"], `${member} has no value`, "add the value")
  }
  if (identifier.system === undefined) {
    report.warning("BrandIdentifierIncomplete", [member, "411"], `${member} has no system`, "add the system")
  }
  if (bundle === undefined) {
    report.warning(
      "BrandBundleMissing",
      ["user_access_brand_bundle", "412"],
      `${member} is in the document without user_access_brand_bundle`,
      "add the URL of the bundle in which it identifies a brand"
    )
  }
}

/** @internal */
export const claimRules: ReadonlyArray<Rule> = [
  endpointRule,
  nameRule,
  unclaimedRule,
  inconsistentRule,
  associatedRule,
  brandRule
]
