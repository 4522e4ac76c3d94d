/**
 * What a server's SMART configuration lets a client hope for (SMART App Launch 2.2, conformance: capabilities and capability sets). Claims are
 * advisory: many servers keep back what they can do, so a `false` here is a reason to ask its operator, never a reason to refuse.
 *
 * @since 0.1.0
 */
import * as Url from "../base/Url.js"

/**
 * The capabilities that SMART App Launch 2.2 defines.
 *
 * @since 0.1.0
 * @category models
 */
export const CAPABILITIES = [
  "launch-ehr",
  "launch-standalone",
  "authorize-post",
  "client-public",
  "client-confidential-symmetric",
  "client-confidential-asymmetric",
  "sso-openid-connect",
  "context-banner",
  "context-style",
  "context-ehr-patient",
  "context-ehr-encounter",
  "context-standalone-patient",
  "context-standalone-encounter",
  "permission-offline",
  "permission-online",
  "permission-patient",
  "permission-user",
  "permission-v1",
  "permission-v2",
  "smart-app-state"
] as const

/**
 * @since 0.1.0
 * @category models
 */
export type Capability = typeof CAPABILITIES[number]

/**
 * The four combinations of capabilities that the specification names for a use.
 *
 * @since 0.1.0
 * @category models
 */
export type CapabilitySet =
  | "PatientAccessForStandaloneApps"
  | "PatientAccessForEhrLaunch"
  | "ClinicianAccessForStandalone"
  | "ClinicianAccessForEhrLaunch"

/**
 * The algorithms that SMART clients sign assertions with, in the order in which this library prefers them.
 *
 * @since 0.1.0
 * @category models
 */
export type SigningAlgorithm = "ES384" | "RS384"

/** The part of a SMART configuration that the judgements below read. Structural, because the configuration's class builds on them. */
interface Claims {
  readonly authorizationEndpoint?: string | undefined
  readonly tokenEndpoint?: string | undefined
  readonly capabilities?: ReadonlyArray<string> | undefined
  readonly scopesSupported?: ReadonlyArray<string> | undefined
  readonly grantTypesSupported?: ReadonlyArray<string> | undefined
  readonly tokenEndpointAuthMethodsSupported?: ReadonlyArray<string> | undefined
  readonly tokenEndpointAuthSigningAlgValuesSupported?: ReadonlyArray<string> | undefined
  readonly associatedEndpoints?:
    | ReadonlyArray<{ readonly url: string; readonly capabilities: ReadonlyArray<string> }>
    | undefined
  readonly smartAppStateEndpoint?: string | undefined
}

/**
 * Whether an endpoint is one that this library would use, given the leave for loopback hosts.
 *
 * @internal
 */
export const isUsable = (endpoint: string | undefined): boolean => {
  const url = endpoint === undefined ? undefined : Url.parse(endpoint)
  return url !== undefined && Url.isSecure(url, true)
}

const has = (claims: Claims, capability: Capability): boolean => claims.capabilities?.includes(capability) ?? false

const hasMethod = (claims: Claims, ...methods: ReadonlyArray<string>): boolean =>
  methods.some((method) => claims.tokenEndpointAuthMethodsSupported?.includes(method) ?? false)

/** @internal */
export const supportsLaunch = (claims: Claims, capability: "launch-ehr" | "launch-standalone"): boolean =>
  has(claims, capability) && isUsable(claims.authorizationEndpoint) && isUsable(claims.tokenEndpoint)

/** @internal */
export const supportsPublicClients = (claims: Claims): boolean =>
  isUsable(claims.tokenEndpoint) && (has(claims, "client-public") || hasMethod(claims, "none"))

/** @internal */
export const supportsSymmetricAuthentication = (claims: Claims): boolean =>
  isUsable(claims.tokenEndpoint) &&
  (has(claims, "client-confidential-symmetric") || hasMethod(claims, "client_secret_basic", "client_secret_post"))

/** @internal */
export const supportsAsymmetricAuthentication = (claims: Claims): boolean =>
  isUsable(claims.tokenEndpoint) && signingAlgorithms(claims).length > 0 &&
  (has(claims, "client-confidential-asymmetric") || hasMethod(claims, "private_key_jwt"))

/**
 * A server of backend services needs neither an authorization endpoint nor a list of grant types (older ones have none).
 *
 * @internal
 */
export const supportsBackendServices = (claims: Claims): boolean =>
  supportsAsymmetricAuthentication(claims) && (claims.grantTypesSupported?.includes("client_credentials") ?? true)

/** @internal */
export const SCOPE_SYNTAX = {
  v1: /^(patient|user|system)\/[A-Za-z*]+\.(read|write|\*)$/,
  v2: /^(patient|user|system)\/[A-Za-z*]+\.(?=[cruds])c?r?u?d?s?(\?.*)?$/
} as const

/**
 * A scope that a server lists it supports, so one scope of a syntax speaks for the syntax.
 *
 * @internal
 */
export const supportsPermissions = (claims: Claims, syntax: "v1" | "v2"): boolean =>
  has(claims, `permission-${syntax}`) ||
  (claims.scopesSupported?.some((scope) => SCOPE_SYNTAX[syntax].test(scope)) ?? false)

/**
 * Those that both sides know. A server that lists none is taken to know what the specification demands.
 *
 * @internal
 */
export const signingAlgorithms = (claims: Claims): ReadonlyArray<SigningAlgorithm> => {
  const theirs = claims.tokenEndpointAuthSigningAlgValuesSupported
  const ours: ReadonlyArray<SigningAlgorithm> = ["ES384", "RS384"]
  return theirs === undefined ? ours : ours.filter((algorithm) => theirs.includes(algorithm))
}

const SETS: Record<CapabilitySet, ReadonlyArray<Capability>> = {
  PatientAccessForStandaloneApps: ["launch-standalone", "context-standalone-patient", "permission-patient"],
  PatientAccessForEhrLaunch: ["launch-ehr", "context-ehr-patient", "permission-patient"],
  ClinicianAccessForStandalone: ["launch-standalone", "permission-user", "permission-patient"],
  ClinicianAccessForEhrLaunch: [
    "launch-ehr",
    "context-ehr-patient",
    "context-ehr-encounter",
    "permission-user",
    "permission-patient"
  ]
}

/**
 * By the claimed capabilities alone. Asymmetric clients are optional in all four and do not make up for a missing public or symmetric kind.
 *
 * @internal
 */
export const capabilitySets = (claims: Claims): Readonly<Record<CapabilitySet, boolean>> => {
  const satisfied = (set: CapabilitySet): boolean =>
    (has(claims, "client-public") || has(claims, "client-confidential-symmetric")) &&
    SETS[set].every((capability) => has(claims, capability))
  return {
    PatientAccessForStandaloneApps: satisfied("PatientAccessForStandaloneApps"),
    PatientAccessForEhrLaunch: satisfied("PatientAccessForEhrLaunch"),
    ClinicianAccessForStandalone: satisfied("ClinicianAccessForStandalone"),
    ClinicianAccessForEhrLaunch: satisfied("ClinicianAccessForEhrLaunch")
  }
}

/** @internal */
export const endpointsWith = (claims: Claims, capability: string): ReadonlyArray<string> => [
  ...new Set([
    ...(claims.associatedEndpoints ?? [])
      .filter(({ capabilities }) => capabilities.includes(capability))
      .map(({ url }) => url),
    // The deprecated member says the same of one endpoint.
    ...(capability === "smart-app-state" && claims.smartAppStateEndpoint !== undefined
      ? [claims.smartAppStateEndpoint]
      : [])
  ])
]
