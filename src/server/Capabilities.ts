/**
 * The features that a SMART configuration claims (SMART App Launch 2.2, conformance: capabilities and capability
 * sets). Claims are advisory: many servers claim less than they support, so a `false` is a reason to ask
 * the operator.
 *
 * Each function requires the claim and the endpoints that the feature needs, over https or to a loopback host.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Url from "../base/Url.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

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
 * A capability that SMART App Launch 2.2 defines.
 *
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
 * The algorithms with which SMART clients sign assertions.
 *
 * @since 0.1.0
 * @category models
 */
export type SigningAlgorithm = "ES384" | "RS384"

const isUsable = (endpoint: string | undefined): boolean => {
  const url = endpoint === undefined ? undefined : Url.parse(endpoint)
  return url !== undefined && Url.isSecure(url, true)
}

const hasMethod = (self: SmartConfiguration, ...methods: ReadonlyArray<string>): boolean =>
  methods.some((method) => self.tokenEndpointAuthMethodsSupported?.includes(method) ?? false)

/**
 * Whether the server claims a capability. Capabilities that SMART does not define are full URIs.
 *
 * @since 0.1.0
 * @category predicates
 */
export const has: {
  (capability: string): (self: SmartConfiguration) => boolean
  (self: SmartConfiguration, capability: string): boolean
} = dual(2, (self: SmartConfiguration, capability: string): boolean => self.capabilities?.includes(capability) ?? false)

const supportsLaunch = (capability: Capability) => (self: SmartConfiguration): boolean =>
  has(self, capability) && isUsable(self.authorizationEndpoint) && isUsable(self.tokenEndpoint)

/**
 * Whether the server claims launches from the EHR.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsEhrLaunch: (self: SmartConfiguration) => boolean = supportsLaunch("launch-ehr")

/**
 * Whether the server claims standalone launches.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsStandaloneLaunch: (self: SmartConfiguration) => boolean = supportsLaunch("launch-standalone")

/**
 * Authorization requests by POST as well as by GET.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsPostAuthorization = (self: SmartConfiguration): boolean =>
  has(self, "authorize-post") && isUsable(self.authorizationEndpoint)

/**
 * Whether the server claims public clients.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsPublicClients = (self: SmartConfiguration): boolean =>
  isUsable(self.tokenEndpoint) && (has(self, "client-public") || hasMethod(self, "none"))

/**
 * Whether the server claims clients with a secret.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsSymmetricAuthentication = (self: SmartConfiguration): boolean =>
  isUsable(self.tokenEndpoint) &&
  (has(self, "client-confidential-symmetric") || hasMethod(self, "client_secret_basic", "client_secret_post"))

/**
 * Whether the server claims clients with a key pair.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsAsymmetricAuthentication = (self: SmartConfiguration): boolean =>
  isUsable(self.tokenEndpoint) && signingAlgorithms(self).length > 0 &&
  (has(self, "client-confidential-asymmetric") || hasMethod(self, "private_key_jwt"))

/**
 * The client credentials grant with asymmetric authentication. Needs no list of grant types, which older servers omit.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsBackendServices = (self: SmartConfiguration): boolean =>
  supportsAsymmetricAuthentication(self) && (self.grantTypesSupported?.includes("client_credentials") ?? true)

/**
 * Whether the server supports the scope `openid`. Issuer and keys may be in the OpenID Connect metadata instead.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsOpenIdConnect = (self: SmartConfiguration): boolean =>
  has(self, "sso-openid-connect") && isUsable(self.tokenEndpoint)

/**
 * Whether the server has a usable registration endpoint.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsDynamicRegistration = (self: SmartConfiguration): boolean => isUsable(self.registrationEndpoint)

/**
 * Whether the server has a usable introspection endpoint.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsIntrospection = (self: SmartConfiguration): boolean => isUsable(self.introspectionEndpoint)

/**
 * Whether the server has a usable revocation endpoint.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsRevocation = (self: SmartConfiguration): boolean => isUsable(self.revocationEndpoint)

/**
 * Whether the server lists S256, which is always sent.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsPkce = (self: SmartConfiguration): boolean =>
  self.codeChallengeMethodsSupported?.includes("S256") ?? false

/** @internal */
export const SCOPE_SYNTAX = {
  v1: /^(patient|user|system)\/[A-Za-z*]+\.(read|write|\*)$/,
  v2: /^(patient|user|system)\/[A-Za-z*]+\.(?=[cruds])c?r?u?d?s?(\?.*)?$/
} as const

/** One listed scope of a syntax is enough. */
const supportsPermissions = (syntax: "v1" | "v2") => (self: SmartConfiguration): boolean =>
  has(self, `permission-${syntax}`) ||
  (self.scopesSupported?.some((scope) => SCOPE_SYNTAX[syntax].test(scope)) ?? false)

/**
 * Scopes such as `patient/Observation.read`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsV1Permissions: (self: SmartConfiguration) => boolean = supportsPermissions("v1")

/**
 * Scopes such as `patient/Observation.rs`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const supportsV2Permissions: (self: SmartConfiguration) => boolean = supportsPermissions("v2")

/**
 * The algorithms that both server and client support, in the client's order of preference. A server that lists none is
 * assumed to support both, as the specification requires.
 *
 * @since 0.1.0
 * @category accessors
 */
export const signingAlgorithms = (self: SmartConfiguration): ReadonlyArray<SigningAlgorithm> => {
  const listed = self.tokenEndpointAuthSigningAlgValuesSupported
  const supported: ReadonlyArray<SigningAlgorithm> = ["ES384", "RS384"]
  return listed === undefined ? supported : supported.filter((algorithm) => listed.includes(algorithm))
}

const SETS: ReadonlyArray<readonly [CapabilitySet, ReadonlyArray<Capability>]> = [
  ["PatientAccessForStandaloneApps", ["launch-standalone", "context-standalone-patient", "permission-patient"]],
  ["PatientAccessForEhrLaunch", ["launch-ehr", "context-ehr-patient", "permission-patient"]],
  ["ClinicianAccessForStandalone", ["launch-standalone", "permission-user", "permission-patient"]],
  [
    "ClinicianAccessForEhrLaunch",
    ["launch-ehr", "context-ehr-patient", "context-ehr-encounter", "permission-user", "permission-patient"]
  ]
]

/**
 * The capability sets that the claimed capabilities satisfy. Each needs public or symmetric clients: asymmetric ones
 * are optional and do not replace them.
 *
 * @since 0.1.0
 * @category accessors
 */
export const capabilitySets = (self: SmartConfiguration): ReadonlyArray<CapabilitySet> => {
  const hasClients = has(self, "client-public") || has(self, "client-confidential-symmetric")
  return SETS.flatMap(([set, required]) =>
    hasClients && required.every((capability) => has(self, capability)) ? [set] : []
  )
}

/**
 * Endpoints that share the server's authorization and have a capability, such as `smart-app-state`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const associatedEndpoints: {
  (capability: string): (self: SmartConfiguration) => ReadonlyArray<string>
  (self: SmartConfiguration, capability: string): ReadonlyArray<string>
} = dual(2, (self: SmartConfiguration, capability: string): ReadonlyArray<string> => {
  const urls = (self.associatedEndpoints ?? []).flatMap(({ capabilities, url }) =>
    capabilities.includes(capability) ? [url] : []
  )
  const deprecated = capability === "smart-app-state" ? self.smartAppStateEndpoint : undefined
  return [...new Set(deprecated === undefined ? urls : [...urls, deprecated])]
})
