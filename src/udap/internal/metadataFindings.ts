/**
 * What is wrong with the members of UDAP metadata (UDAP Security STU2, section 2.2; the numbers are those of STU1's
 * requirements). Trust is judged elsewhere: a server that deviates here still works wherever it safely can.
 */
import * as Url from "../../base/Url.js"
import { type Finding, finding } from "../../server/Finding.js"

/** The closed set of findings about UDAP metadata. */
export type MetadataCode =
  | "MemberMissing"
  | "MemberMalformed"
  | "MemberUnexpected"
  | "ValueMissing"
  | "ValueUnexpected"
  | "EndpointUnsigned"

/** One violation. */
export type MetadataFinding = Finding<MetadataCode>

type List = ReadonlyArray<string> | undefined

/** The checked values: the members of `UdapMetadata`. */
interface Metadata {
  readonly authorizationEndpoint?: string | undefined
  readonly versionsSupported?: List
  readonly profilesSupported?: List
  readonly authorizationExtensionsSupported?: List
  readonly authorizationExtensionsRequired?: List
  readonly certificationsSupported?: List
  readonly certificationsRequired?: List
  readonly grantTypesSupported?: List
  readonly scopesSupported?: List
  readonly tokenEndpointAuthMethodsSupported?: List
  readonly tokenEndpointAuthSigningAlgValuesSupported?: List
  readonly registrationEndpointJwtSigningAlgValuesSupported?: List
  readonly deviations: ReadonlyArray<{ readonly member: string; readonly expected: string }>
  readonly unsignedEndpoints: ReadonlyArray<string>
}

type Rule = (metadata: Metadata) => ReadonlyArray<MetadataFinding>

const error = (
  code: MetadataCode,
  member: string,
  requirement: string,
  message: string,
  advice: string
): MetadataFinding => finding(code, "error", member, requirement, message, advice)

/** Required members, each with its requirement and whether the list may be empty. */
const REQUIRED = [
  ["udap_versions_supported", "versionsSupported", "UDAP-22", false],
  ["udap_profiles_supported", "profilesSupported", "UDAP-23", false],
  ["udap_authorization_extensions_supported", "authorizationExtensionsSupported", "UDAP-28", true],
  ["udap_certifications_supported", "certificationsSupported", "UDAP-33", true],
  ["grant_types_supported", "grantTypesSupported", "UDAP-36", false],
  // Required since STU2, which has no numbers.
  ["scopes_supported", "scopesSupported", "UDAP-STU2-2.2", false],
  ["token_endpoint_auth_methods_supported", "tokenEndpointAuthMethodsSupported", "UDAP-41", false],
  ["token_endpoint_auth_signing_alg_values_supported", "tokenEndpointAuthSigningAlgValuesSupported", "UDAP-42", false],
  [
    "registration_endpoint_jwt_signing_alg_values_supported",
    "registrationEndpointJwtSigningAlgValuesSupported",
    "UDAP-44",
    false
  ]
] as const satisfies ReadonlyArray<readonly [string, keyof Metadata, string, boolean]>

const requirementOf = (member: string): string => REQUIRED.find(([name]) => name === member)?.[2] ?? "UDAP-20"

const malformed: Rule = ({ deviations }) =>
  deviations.map(({ expected, member }) =>
    error(
      "MemberMalformed",
      member,
      requirementOf(member),
      `${member} is not ${expected}`,
      "it counts as absent until it is corrected"
    )
  )

const missing: Rule = (metadata) =>
  REQUIRED.flatMap(([member, property, requirement, mayBeEmpty]) => {
    const list = metadata[property]
    if (list === undefined) {
      return metadata.deviations.some((deviation) => deviation.member === member)
        ? []
        : [error("MemberMissing", member, requirement, `${member} is missing`, `add ${member}`)]
    }
    return list.length > 0 || mayBeEmpty
      ? []
      : [error("ValueMissing", member, requirement, `${member} is empty`, "list what is supported")]
  })

/** Lists that have one value and no other. */
const fixed = (member: string, list: List, value: string, requirement: string): ReadonlyArray<MetadataFinding> =>
  list === undefined || list.length === 0 || (list.length === 1 && list[0] === value)
    ? []
    : [error("ValueUnexpected", member, requirement, `${member} is not ["${value}"]`, `set it to ["${value}"]`)]

const fixedValues: Rule = ({ tokenEndpointAuthMethodsSupported, versionsSupported }) => [
  ...fixed("udap_versions_supported", versionsSupported, "1", "UDAP-22"),
  ...fixed(
    "token_endpoint_auth_methods_supported",
    tokenEndpointAuthMethodsSupported,
    "private_key_jwt",
    "UDAP-41"
  )
]

const lacks = (member: string, list: List, value: string, requirement: string, why: string) =>
  list === undefined || list.length === 0 || list.includes(value)
    ? []
    : [error("ValueMissing", member, requirement, `${member} lacks ${value}${why}`, `add ${value} to ${member}`)]

const profiles: Rule = ({ grantTypesSupported, profilesSupported, scopesSupported }) => {
  const member = "udap_profiles_supported"
  const hasCredentials = grantTypesSupported?.includes("client_credentials") === true
  return [
    ...lacks(member, profilesSupported, "udap_dcr", "UDAP-24", ""),
    ...lacks(member, profilesSupported, "udap_authn", "UDAP-25", ""),
    ...(hasCredentials
      ? lacks(member, profilesSupported, "udap_authz", "UDAP-26", ", which the grant client_credentials requires")
      : profilesSupported?.includes("udap_authz") === true && grantTypesSupported !== undefined
      ? [error(
        "ValueUnexpected",
        member,
        "UDAP-26",
        "udap_authz is listed without the grant client_credentials",
        "remove udap_authz, or support client_credentials"
      )]
      : []),
    ...(profilesSupported?.includes("udap_to") === true
      ? lacks("scopes_supported", scopesSupported, "udap", "UDAP-27", ", which Tiered OAuth requires")
      : [])
  ]
}

/** `…_required` is there if and only if `…_supported` is not empty, and has no other values. */
const required = (
  name: string,
  supported: List,
  demanded: List,
  [present, absent, subset]: readonly [string, string, string]
): ReadonlyArray<MetadataFinding> => {
  const member = `${name}_required`
  if (supported === undefined) return []
  if (demanded === undefined) {
    return supported.length === 0 ? [] : [
      error(
        "MemberMissing",
        member,
        present,
        `${member} is missing, and ${name}_supported is not empty`,
        `add ${member}`
      )
    ]
  }
  const others = demanded.filter((value) => !supported.includes(value))
  if (supported.length === 0) {
    return [
      error(
        "MemberUnexpected",
        member,
        absent,
        `${member} is there, and ${name}_supported is empty`,
        `remove ${member}`
      )
    ]
  }
  return others.length === 0 ? [] : [
    error(
      "ValueUnexpected",
      member,
      subset,
      `${member} has ${others.length} values that ${name}_supported lacks`,
      `list them in ${name}_supported`
    )
  ]
}

const requiredValues: Rule = (metadata) => [
  ...required(
    "udap_authorization_extensions",
    metadata.authorizationExtensionsSupported,
    metadata.authorizationExtensionsRequired,
    ["UDAP-30", "UDAP-31", "UDAP-32"]
  ),
  ...required(
    "udap_certifications",
    metadata.certificationsSupported,
    metadata.certificationsRequired,
    ["UDAP-34", "UDAP-35", "UDAP-35"]
  )
]

const certificationUris: Rule = ({ certificationsSupported }) =>
  (certificationsSupported ?? []).some((uri) => Url.parse(uri) === undefined)
    ? [error(
      "ValueUnexpected",
      "udap_certifications_supported",
      "UDAP-33",
      "udap_certifications_supported has a value that is not a URI",
      "name certifications by their URIs"
    )]
    : []

const grants: Rule = ({ authorizationEndpoint, grantTypesSupported }) => {
  if (grantTypesSupported === undefined) return []
  const hasCode = grantTypesSupported.includes("authorization_code")
  return [
    ...(grantTypesSupported.includes("refresh_token") && !hasCode
      ? [error(
        "ValueUnexpected",
        "grant_types_supported",
        "UDAP-37",
        "refresh_token is listed without authorization_code",
        "remove refresh_token, or support authorization_code"
      )]
      : []),
    ...(hasCode && authorizationEndpoint === undefined
      ? [error(
        "MemberMissing",
        "authorization_endpoint",
        "UDAP-38",
        "authorization_endpoint is missing, and the grant authorization_code requires it",
        "add authorization_endpoint, also to signed_metadata"
      )]
      : []),
    ...(!hasCode && authorizationEndpoint !== undefined
      ? [error(
        "MemberUnexpected",
        "authorization_endpoint",
        "UDAP-39",
        "authorization_endpoint is there without the grant authorization_code",
        "remove it, or support authorization_code"
      )]
      : [])
  ]
}

const unsigned: Rule = ({ unsignedEndpoints }) =>
  unsignedEndpoints.map((member) =>
    finding(
      "EndpointUnsigned",
      "warning",
      member,
      "UDAP-47",
      `${member} is outside signed_metadata and is not used`,
      `put ${member} into signed_metadata`
    )
  )

const RULES: ReadonlyArray<Rule> = [
  malformed,
  missing,
  fixedValues,
  profiles,
  requiredValues,
  certificationUris,
  grants,
  unsigned
]

/** @internal */
export const findings = (metadata: Metadata): ReadonlyArray<MetadataFinding> => RULES.flatMap((rule) => rule(metadata))
