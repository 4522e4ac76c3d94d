/**
 * What is wrong with the members of a SMART configuration: those that are missing, malformed or say what SMART App Launch 2.2 does not allow
 * (conformance: metadata; client-confidential-asymmetric: advertising server support).
 */
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { type Capability, signingAlgorithms } from "../Capabilities.js"
import type { Rule } from "../Conformance.js"
import { finding } from "../Finding.js"
import type { SmartConfiguration } from "../SmartConfiguration.js"

/** Members by their names on the wire, with the requirement that speaks of each. */
const MEMBERS = {
  issuer: ["issuer", "381"],
  jwks_uri: ["jwksUri", "382"],
  authorization_endpoint: ["authorizationEndpoint", "383"],
  grant_types_supported: ["grantTypesSupported", "384"],
  token_endpoint: ["tokenEndpoint", "385"],
  token_endpoint_auth_methods_supported: ["tokenEndpointAuthMethodsSupported", "386"],
  token_endpoint_auth_signing_alg_values_supported: ["tokenEndpointAuthSigningAlgValuesSupported", "289"],
  registration_endpoint: ["registrationEndpoint", "438"],
  associated_endpoints: ["associatedEndpoints", "439"],
  user_access_brand_bundle: ["userAccessBrandBundle", "387"],
  user_access_brand_identifier: ["userAccessBrandIdentifier", "388"],
  scopes_supported: ["scopesSupported", "389"],
  response_types_supported: ["responseTypesSupported", "390"],
  introspection_endpoint: ["introspectionEndpoint", "391"],
  revocation_endpoint: ["revocationEndpoint", "392"],
  capabilities: ["capabilities", "393"],
  code_challenge_methods_supported: ["codeChallengeMethodsSupported", "394"],
  management_endpoint: ["managementEndpoint", undefined],
  smart_app_state_endpoint: ["smartAppStateEndpoint", undefined]
} as const satisfies Record<string, readonly [keyof SmartConfiguration, string | undefined]>

type Member = keyof typeof MEMBERS

const requirementOf = (member: string): string | undefined =>
  Object.hasOwn(MEMBERS, member) ? MEMBERS[member as Member][1] : undefined

const REQUIRED = [
  "token_endpoint",
  "grant_types_supported",
  "capabilities",
  "code_challenge_methods_supported"
] as const
const RECOMMENDED = [
  "scopes_supported",
  "response_types_supported",
  "introspection_endpoint",
  "revocation_endpoint",
  "management_endpoint",
  "user_access_brand_bundle",
  "user_access_brand_identifier"
] as const

/** A malformed member has its own finding, and none for being missing too. */
const isMissing = (configuration: SmartConfiguration, member: Member): boolean =>
  configuration[MEMBERS[member][0]] === undefined &&
  !configuration.deviations.some((deviation) => deviation.member === member)

/** @internal */
export const claimsLaunch = (configuration: SmartConfiguration): boolean =>
  configuration.hasCapability("launch-ehr") || configuration.hasCapability("launch-standalone")

const source: Rule = ({ source }) =>
  source === "CapabilityStatement"
    ? [finding(
      "WellKnownMissing",
      "error",
      undefined,
      undefined,
      "there is no SMART configuration, only the deprecated oauth-uris of the CapabilityStatement",
      "serve /.well-known/smart-configuration; until then clients need the setting legacyMetadata"
    )]
    : []

const malformed: Rule = ({ deviations }) =>
  deviations.map(({ expected, member, problem }) =>
    problem === "Relative"
      ? finding(
        "EndpointRelative",
        "error",
        member,
        "378",
        `${member} is a relative URL`,
        "write absolute URLs; it was resolved against the FHIR base URL"
      )
      : finding(
        "MemberMalformed",
        REQUIRED.some((required) => required === member) ? "error" : "warning",
        member,
        requirementOf(member),
        `${member} is not ${expected}`,
        "it counts as absent until it is put right"
      )
  )

const missing: Rule = (configuration) => {
  const conditional = (holds: boolean, why: string, members: ReadonlyArray<readonly [Member, string | undefined]>) =>
    members.filter(([member]) => holds && isMissing(configuration, member)).map(([member, requirement]) =>
      finding(
        "ConditionalMemberMissing",
        "error",
        member,
        requirement,
        `${member} is missing, and ${why} requires it`,
        `add ${member}, or do not claim ${why}`
      )
    )
  const conditionals = [
    ...conditional(claimsLaunch(configuration), "a launch capability", [["authorization_endpoint", "383"]]),
    ...conditional(configuration.hasCapability("sso-openid-connect"), "sso-openid-connect", [
      ["issuer", "381"],
      ["jwks_uri", "382"]
    ]),
    ...conditional(configuration.hasCapability("client-confidential-asymmetric"), "client-confidential-asymmetric", [
      ["token_endpoint_auth_methods_supported", "288"],
      ["token_endpoint_auth_signing_alg_values_supported", "289"],
      ["scopes_supported", "287"]
    ]),
    ...conditional(
      configuration.authorizationResponseIssParameterSupported === true &&
        !configuration.hasCapability("sso-openid-connect"),
      "authorization_response_iss_parameter_supported",
      [["issuer", undefined]]
    )
  ]
  return [
    ...REQUIRED.filter((member) => isMissing(configuration, member)).map((member) =>
      finding(
        "MemberMissing",
        "error",
        member,
        requirementOf(member),
        `${member} is missing`,
        `${member} is required: add it`
      )
    ),
    ...conditionals,
    ...RECOMMENDED.filter((member) =>
      isMissing(configuration, member) && !conditionals.some((other) => other.member === member)
    ).map((member) =>
      finding(
        "RecommendedMemberMissing",
        "information",
        member,
        member === "user_access_brand_identifier" && configuration.userAccessBrandBundle !== undefined
          ? "409"
          : requirementOf(member),
        `${member} is not given`,
        member === "user_access_brand_identifier"
          ? "it is recommended, and required where the brand bundle has more than one brand"
          : "it is recommended"
      )
    )
  ]
}

const issuer: Rule = (configuration, { allowInsecureLocalhost = false }) => {
  const value = configuration.issuer
  if (value === undefined) return []
  const url = Url.parse(value)
  const isLoopback = url !== undefined && Url.isSecure(url, true) && !/[?#{}]/.test(value)
  const fit = url?.protocol === "https:" && !/[?#{}]/.test(value) && url.username === "" && url.password === ""
  return [
    ...fit ? [] : [finding(
      "IssuerUnfit",
      !isLoopback ? "error" : allowInsecureLocalhost ? "information" : "warning",
      "issuer",
      "381",
      "issuer is not an https URL without query, fragment and placeholder",
      "an id_token is accepted only if its iss is exactly this string"
    )],
    // Where it is not known what is claimed, nothing is unexpected.
    ...configuration.capabilities === undefined || configuration.hasCapability("sso-openid-connect") ||
        configuration.authorizationResponseIssParameterSupported === true
      ? []
      : [finding(
        "MemberUnexpected",
        "warning",
        "issuer",
        "381",
        "issuer is given without the capability sso-openid-connect",
        "claim sso-openid-connect, or leave issuer out"
      )]
  ]
}

const pkce: Rule = ({ codeChallengeMethodsSupported: methods }) => {
  const member = "code_challenge_methods_supported"
  return [
    ...methods === undefined || methods.includes("S256") ? [] : [finding(
      "PkceS256Missing",
      "error",
      member,
      "14",
      `${member} does not list S256`,
      "support S256; this client sends it in any case"
    )],
    ...methods?.includes("plain") === true
      ? [
        finding("PkcePlainPresent", "error", member, "15", `${member} lists plain`, "plain protects nobody: remove it")
      ]
      : []
  ]
}

const GRANT_TYPES = ["authorization_code", "client_credentials", "refresh_token"]

const grants: Rule = (configuration) => {
  const types = configuration.grantTypesSupported
  const responses = configuration.responseTypesSupported
  return [
    ...types !== undefined && claimsLaunch(configuration) && !types.includes("authorization_code")
      ? [finding(
        "GrantTypeMissing",
        "error",
        "grant_types_supported",
        "384",
        "grant_types_supported does not list authorization_code, which a launch needs",
        "list authorization_code"
      )]
      : [],
    // Extension grants are URIs (RFC 6749, section 4.5).
    ...(types ?? []).filter((type) => !GRANT_TYPES.includes(type) && !type.includes(":")).sort().map((type) =>
      finding(
        "GrantTypeUnknown",
        "information",
        "grant_types_supported",
        "384",
        `grant_types_supported lists ${safeText(type, [], 60)}, which SMART does not use`,
        "this client does not use it either"
      )
    ),
    ...responses !== undefined && claimsLaunch(configuration) && !responses.includes("code")
      ? [finding(
        "ResponseTypeMissing",
        "error",
        "response_types_supported",
        "390",
        "response_types_supported does not list code, which a launch needs",
        "list code"
      )]
      : []
  ]
}

const AUTH_METHODS = ["client_secret_post", "client_secret_basic", "private_key_jwt"]

const authentication: Rule = (configuration) => {
  const methods = configuration.tokenEndpointAuthMethodsSupported
  const algorithms = configuration.tokenEndpointAuthSigningAlgValuesSupported
  const lacks = (capability: Capability, method: string) =>
    methods !== undefined && configuration.hasCapability(capability) && !methods.includes(method)
  return [
    ...lacks("client-confidential-asymmetric", "private_key_jwt")
      ? [finding(
        "AuthenticationMethodMissing",
        "error",
        "token_endpoint_auth_methods_supported",
        "288",
        "client-confidential-asymmetric is claimed without private_key_jwt",
        "list private_key_jwt; this client tries it in any case where it is configured"
      )]
      : [],
    ...lacks("client-confidential-symmetric", "client_secret_basic")
      ? [finding(
        "AuthenticationMethodMissing",
        methods?.includes("client_secret_post") === true ? "warning" : "error",
        "token_endpoint_auth_methods_supported",
        "345",
        "client-confidential-symmetric is claimed without client_secret_basic",
        "list client_secret_basic; until then a client may need client_secret_post"
      )]
      : [],
    ...(methods ?? []).filter((method) => !AUTH_METHODS.includes(method)).sort().map((method) =>
      finding(
        "AuthenticationMethodUnknown",
        "information",
        "token_endpoint_auth_methods_supported",
        "386",
        `token_endpoint_auth_methods_supported lists ${safeText(method, [], 60)}, which SMART does not name`,
        "clients choose among client_secret_basic, client_secret_post and private_key_jwt"
      )
    ),
    ...signingAlgorithms(configuration).length > 0 ? [] : [finding(
      "SigningAlgorithmMissing",
      "error",
      "token_endpoint_auth_signing_alg_values_supported",
      "289",
      "token_endpoint_auth_signing_alg_values_supported lists neither RS384 nor ES384",
      "support one of them; a SMART client cannot sign an assertion for this server"
    )],
    ...(algorithms ?? []).filter((algorithm) => /^(none|HS\d*)$/i.test(algorithm)).sort().map((algorithm) =>
      finding(
        "SigningAlgorithmUnsafe",
        "warning",
        "token_endpoint_auth_signing_alg_values_supported",
        "289",
        `token_endpoint_auth_signing_alg_values_supported lists ${
          safeText(algorithm, [], 20)
        }, which is not asymmetric`,
        "assertions are signed with a private key: remove it"
      )
    )
  ]
}

/** @internal */
export const memberRules: ReadonlyArray<Rule> = [source, malformed, missing, issuer, pkce, grants, authentication]
