/**
 * What a SMART configuration claims that does not fit together, and endpoints that cannot safely be used (SMART App Launch 2.2, conformance:
 * capabilities and capability sets; app protection; user-access brands: metadata).
 */
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { CAPABILITIES, type Capability, capabilitySets, SCOPE_SYNTAX } from "../Capabilities.js"
import type { ConformanceFinding, ConformanceOptions, Rule } from "../Conformance.js"
import { finding, type Severity } from "../Finding.js"
import type { SmartConfiguration } from "../SmartConfiguration.js"
import { claimsLaunch } from "./memberFindings.js"

/** Where a secret, a code or a token goes is an error; what a person opens or a picture list is not SMART's to forbid. */
const endpointsOf = (
  configuration: SmartConfiguration
): ReadonlyArray<readonly [member: string, value: string | undefined, severity: Severity]> => [
  ["authorization_endpoint", configuration.authorizationEndpoint, "error"],
  ["token_endpoint", configuration.tokenEndpoint, "error"],
  ["jwks_uri", configuration.jwksUri, "error"],
  ["registration_endpoint", configuration.registrationEndpoint, "error"],
  ["introspection_endpoint", configuration.introspectionEndpoint, "error"],
  ["revocation_endpoint", configuration.revocationEndpoint, "error"],
  ...(configuration.associatedEndpoints ?? []).map(({ url }) => ["associated_endpoints", url, "error"] as const),
  ["smart_app_state_endpoint", configuration.smartAppStateEndpoint, "error"],
  ["management_endpoint", configuration.managementEndpoint, "warning"],
  ["user_access_brand_bundle", configuration.userAccessBrandBundle, "warning"]
]

/** How bad a URL without TLS is, and what that means for a client with or without `allowInsecureLocalhost`. */
const insecure = (
  url: URL | undefined,
  otherwise: Severity,
  { allowInsecureLocalhost = false }: ConformanceOptions
): { readonly severity: Severity; readonly advice: string } => {
  if (url === undefined || !Url.isSecure(url, true)) {
    return { severity: otherwise, advice: "this client does not use it: serve it over https" }
  }
  return allowInsecureLocalhost
    ? { severity: "information", advice: "accepted, because allowInsecureLocalhost is on: for development" }
    : {
      severity: "warning",
      advice: "http to a loopback host is accepted only with allowInsecureLocalhost: for development"
    }
}

const endpoints: Rule = (configuration, options) => {
  const base = Url.parse(configuration.fhirBaseUrl)
  const ofBase = insecure(base, "error", options)
  return [
    ...base?.protocol === "https:" ? [] : [
      finding("EndpointInsecure", ofBase.severity, undefined, "232", "the FHIR base URL is not https", ofBase.advice)
    ],
    ...endpointsOf(configuration).flatMap(([member, value, otherwise]): ReadonlyArray<ConformanceFinding> => {
      const url = value === undefined ? undefined : Url.parse(value)
      if (url === undefined) return []
      const { advice, severity } = insecure(url, otherwise, options)
      return [
        ...url.protocol === "https:" ? [] : [
          finding("EndpointInsecure", severity, member, "1", `${member} is not https`, advice)
        ],
        ...url.username === "" && url.password === "" && url.hash === "" ? [] : [finding(
          "EndpointUnfit",
          otherwise,
          member,
          undefined,
          `${member} has credentials or a fragment in it`,
          "RFC 6749 (3.1, 3.2) allows neither: remove them"
        )]
      ]
    })
  ]
}

const LEGACY: ReadonlyMap<string, Capability> = new Map([
  ["context-passthrough-banner", "context-banner"],
  ["context-passthrough-style", "context-style"],
  ["single-sign-on", "sso-openid-connect"]
])

const names: Rule = ({ capabilities }) =>
  [...capabilities ?? []].sort().flatMap((name): ReadonlyArray<ConformanceFinding> => {
    // Others than HL7 name capabilities by full URIs.
    if (CAPABILITIES.some((known) => known === name) || /^[a-z][a-z0-9+.-]*:\S+$/i.test(name)) return []
    const now = LEGACY.get(name)
    return [
      now === undefined
        ? finding(
          "CapabilityUnknown",
          "information",
          "capabilities",
          undefined,
          `capabilities lists ${JSON.stringify(safeText(name, [], 60))}, which SMART App Launch 2.2 does not define`,
          "another guide of HL7 may define it; capabilities of others are full URIs"
        )
        : finding(
          "CapabilityLegacy",
          "warning",
          "capabilities",
          "393",
          `capabilities lists ${name}, an old name`,
          `it is called ${now} now`
        )
    ]
  })

/** Signs of an ability beside the capability that should claim it. */
const unclaimed: Rule = (configuration) => {
  const { capabilities, scopesSupported: scopes, tokenEndpointAuthMethodsSupported: methods } = configuration
  if (capabilities === undefined) return []
  const listsScope = (test: (scope: string) => boolean) => scopes?.some(test) ?? false
  const signs: ReadonlyArray<readonly [holds: boolean, sign: string, capability: Capability]> = [
    [methods?.includes("private_key_jwt") ?? false, "private_key_jwt is listed", "client-confidential-asymmetric"],
    [
      methods?.some((method) => method === "client_secret_basic" || method === "client_secret_post") ?? false,
      "a client_secret method is listed",
      "client-confidential-symmetric"
    ],
    [listsScope((scope) => scope === "openid"), "the scope openid is supported", "sso-openid-connect"],
    [listsScope((scope) => scope === "offline_access"), "the scope offline_access is supported", "permission-offline"],
    [listsScope((scope) => scope === "online_access"), "the scope online_access is supported", "permission-online"],
    [listsScope((scope) => scope.startsWith("patient/")), "patient/ scopes are supported", "permission-patient"],
    [listsScope((scope) => scope.startsWith("user/")), "user/ scopes are supported", "permission-user"],
    [listsScope((scope) => SCOPE_SYNTAX.v1.test(scope)), "v1 scopes are supported", "permission-v1"],
    [listsScope((scope) => SCOPE_SYNTAX.v2.test(scope)), "v2 scopes are supported", "permission-v2"],
    [configuration.smartAppStateEndpoint !== undefined, "smart_app_state_endpoint is given", "smart-app-state"]
  ]
  return [
    ...signs.filter(([holds, , capability]) => holds && !capabilities.includes(capability)).map((
      [, sign, capability]
    ) =>
      finding(
        "CapabilityMissing",
        "information",
        "capabilities",
        undefined,
        `${sign}, and ${capability} is not claimed`,
        `claim ${capability}: clients look for it`
      )
    ),
    ...configuration.authorizationEndpoint === undefined || claimsLaunch(configuration) ? [] : [finding(
      "CapabilityMissing",
      "warning",
      "capabilities",
      "383",
      "authorization_endpoint is given, and neither launch-ehr nor launch-standalone is claimed",
      "claim the launches that are supported"
    )]
  ]
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

const inconsistent: Rule = (configuration) => {
  const has = (capability: Capability) => configuration.hasCapability(capability)
  return [
    ...LAUNCH_OF.filter(([context, launch]) => has(context) && !has(launch)).map(([context, launch]) =>
      finding(
        "CapabilityInconsistent",
        "warning",
        "capabilities",
        undefined,
        `${context} is claimed without ${launch}, and applies to nothing else`,
        `claim ${launch} too, or neither`
      )
    ),
    ...claimsLaunch(configuration) && !Object.values(capabilitySets(configuration)).some((satisfied) => satisfied)
      ? [finding(
        "CapabilitySetMissing",
        "warning",
        "capabilities",
        "346",
        "the claimed capabilities add up to none of the four capability sets",
        "claim the launch context, client type and permissions that are supported"
      )]
      : []
  ]
}

const associated: Rule = (configuration) => [
  ...(configuration.associatedEndpoints ?? []).some(({ capabilities }) => capabilities.length === 0)
    ? [finding(
      "AssociatedEndpointIncomplete",
      "warning",
      "associated_endpoints",
      "439",
      "an associated endpoint has no capabilities",
      "say what the endpoint is for, such as smart-app-state"
    )]
    : [],
  ...configuration.smartAppStateEndpoint === undefined ? [] : [finding(
    "MemberDeprecated",
    "warning",
    "smart_app_state_endpoint",
    undefined,
    "smart_app_state_endpoint is deprecated",
    "list it in associated_endpoints with the capability smart-app-state"
  )]
]

const brands: Rule = ({ userAccessBrandBundle: bundle, userAccessBrandIdentifier: identifier }) => {
  if (identifier === undefined) return []
  const member = "user_access_brand_identifier"
  return [
    ...identifier.value === undefined
      ? [finding("BrandIdentifierIncomplete", "error", member, "410", `${member} has no value`, "add the value")]
      : [],
    ...identifier.system === undefined
      ? [finding("BrandIdentifierIncomplete", "warning", member, "411", `${member} has no system`, "add the system")]
      : [],
    ...bundle === undefined
      ? [finding(
        "BrandBundleMissing",
        "warning",
        "user_access_brand_bundle",
        "412",
        `${member} is given without user_access_brand_bundle`,
        "it identifies a brand in that bundle: add the bundle's URL"
      )]
      : []
  ]
}

/** @internal */
export const claimRules: ReadonlyArray<Rule> = [endpoints, names, unclaimed, inconsistent, associated, brands]
