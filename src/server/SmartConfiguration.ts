/**
 * What a FHIR server says about its authorization: the document at `[base]/.well-known/smart-configuration` (SMART App Launch 2.2, conformance).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { FhirBaseUrl } from "../base/FhirBaseUrl.js"
import { JsonMembers } from "../base/JsonMembers.js"
import type { JsonObject } from "../base/JsonReader.js"
import { others, reader, withoutDeepMembers } from "../base/JsonReader.js"
import { skipValidation } from "../base/SkipValidation.js"
import * as Url from "../base/Url.js"
import * as Capabilities from "./Capabilities.js"
import { conformance, type ConformanceFinding, type ConformanceOptions } from "./Conformance.js"
import { DiscoveryError } from "./DiscoveryError.js"

export type { Capability, CapabilitySet, SigningAlgorithm } from "./Capabilities.js"
export type { ConformanceCode, ConformanceFinding, ConformanceOptions } from "./Conformance.js"

/**
 * A member that is not as the specification wants it: `Malformed` ones count as absent, `Relative` URLs were resolved against the FHIR base
 * (requirement 379).
 *
 * @since 0.1.0
 * @category schemas
 */
export const Deviation = Schema.Struct({
  member: Schema.String,
  problem: Schema.Literal("Malformed", "Relative"),
  expected: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Deviation = typeof Deviation.Type

/**
 * Where a configuration is from, if it is not the server's own SMART configuration: the deprecated `oauth-uris` of its CapabilityStatement, or the
 * settings of the program.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Source = Schema.Literal("CapabilityStatement", "Settings")

/**
 * @since 0.1.0
 * @category models
 */
export type Source = typeof Source.Type

const Strings = Schema.optional(Schema.Array(Schema.String))
const Text = Schema.optional(Schema.String)

/**
 * Every member is optional, because a server that deviates should work wherever it safely can; an operation that needs an absent endpoint says
 * which. Endpoints are absolute URLs. Members that SMART does not define are kept in `extensions`.
 *
 * @since 0.1.0
 * @category models
 */
export class SmartConfiguration extends Schema.Class<SmartConfiguration>("effect-safire/SmartConfiguration")({
  fhirBaseUrl: FhirBaseUrl,
  issuer: Text,
  jwksUri: Text,
  authorizationEndpoint: Text,
  tokenEndpoint: Text,
  registrationEndpoint: Text,
  introspectionEndpoint: Text,
  revocationEndpoint: Text,
  /** A page where the person can see and withdraw what was granted: to be opened in a browser, not called. */
  managementEndpoint: Text,
  grantTypesSupported: Strings,
  capabilities: Strings,
  codeChallengeMethodsSupported: Strings,
  scopesSupported: Strings,
  responseTypesSupported: Strings,
  tokenEndpointAuthMethodsSupported: Strings,
  tokenEndpointAuthSigningAlgValuesSupported: Strings,
  associatedEndpoints: Schema.optional(Schema.Array(Schema.Struct({
    url: Schema.String,
    capabilities: Schema.Array(Schema.String)
  }))),
  /** Deprecated by SMART 2.2 in favour of `associatedEndpoints`. */
  smartAppStateEndpoint: Text,
  userAccessBrandBundle: Text,
  userAccessBrandIdentifier: Schema.optional(Schema.Struct({ system: Text, value: Text })),
  /** RFC 9207: whether authorization responses carry `iss`. */
  authorizationResponseIssParameterSupported: Schema.optional(Schema.Boolean),
  extensions: JsonMembers,
  deviations: Schema.Array(Deviation),
  /** Where it is from, if not from the server's SMART configuration. */
  source: Schema.optional(Source)
}) {
  /** Whether the server claims a capability. Claims are advisory: many servers keep back what they can do. */
  hasCapability(capability: string): boolean {
    return this.capabilities?.includes(capability) ?? false
  }

  // What can be hoped for. Each asks for the claim, in whichever place it is made, and for the endpoints it needs; an endpoint that this library
  // would refuse to use counts as absent. `false` is a reason to ask the operator, not proof.

  get supportsEhrLaunch(): boolean {
    return Capabilities.supportsLaunch(this, "launch-ehr")
  }

  get supportsStandaloneLaunch(): boolean {
    return Capabilities.supportsLaunch(this, "launch-standalone")
  }

  /** Authorization requests by POST as well as by GET. */
  get supportsPostAuthorization(): boolean {
    return this.hasCapability("authorize-post") && Capabilities.isUsable(this.authorizationEndpoint)
  }

  get supportsPublicClients(): boolean {
    return Capabilities.supportsPublicClients(this)
  }

  get supportsSymmetricAuthentication(): boolean {
    return Capabilities.supportsSymmetricAuthentication(this)
  }

  get supportsAsymmetricAuthentication(): boolean {
    return Capabilities.supportsAsymmetricAuthentication(this)
  }

  get supportsBackendServices(): boolean {
    return Capabilities.supportsBackendServices(this)
  }

  /** Whether `openid` is understood. Where issuer or keys are not in this document, the OpenID Connect one has them. */
  get supportsOpenIdConnect(): boolean {
    return this.hasCapability("sso-openid-connect") && Capabilities.isUsable(this.tokenEndpoint)
  }

  get supportsDynamicRegistration(): boolean {
    return Capabilities.isUsable(this.registrationEndpoint)
  }

  get supportsIntrospection(): boolean {
    return Capabilities.isUsable(this.introspectionEndpoint)
  }

  get supportsRevocation(): boolean {
    return Capabilities.isUsable(this.revocationEndpoint)
  }

  /** Whether S256 is advertised. It is sent in any case. */
  get supportsPkce(): boolean {
    return this.codeChallengeMethodsSupported?.includes("S256") ?? false
  }

  get supportsV1Permissions(): boolean {
    return Capabilities.supportsPermissions(this, "v1")
  }

  get supportsV2Permissions(): boolean {
    return Capabilities.supportsPermissions(this, "v2")
  }

  /** Which of the four uses named by the specification the claimed capabilities add up to. */
  get capabilitySets(): Readonly<Record<Capabilities.CapabilitySet, boolean>> {
    return Capabilities.capabilitySets(this)
  }

  /** What assertions may be signed with, best first: both algorithms where the server lists none. */
  get signingAlgorithms(): ReadonlyArray<Capabilities.SigningAlgorithm> {
    return Capabilities.signingAlgorithms(this)
  }

  /** Endpoints that share this server's authorization and have a capability, such as `smart-app-state`. */
  associatedEndpointsWith(capability: string): ReadonlyArray<string> {
    return Capabilities.endpointsWith(this, capability)
  }

  /** Every deviation from SMART App Launch 2.2, in an order that does not depend on the document's. */
  conformance(options?: ConformanceOptions): ReadonlyArray<ConformanceFinding> {
    return conformance(this, options)
  }
}

const KNOWN: ReadonlySet<string> = new Set([
  "issuer",
  "jwks_uri",
  "authorization_endpoint",
  "token_endpoint",
  "registration_endpoint",
  "introspection_endpoint",
  "revocation_endpoint",
  "management_endpoint",
  "grant_types_supported",
  "capabilities",
  "code_challenge_methods_supported",
  "scopes_supported",
  "response_types_supported",
  "token_endpoint_auth_methods_supported",
  "token_endpoint_auth_signing_alg_values_supported",
  "associated_endpoints",
  "smart_app_state_endpoint",
  "user_access_brand_bundle",
  "user_access_brand_identifier",
  "authorization_response_iss_parameter_supported"
])

/**
 * Reads a document. Any JSON object is one; what is malformed in it counts as absent and is listed in `deviations`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromDocument = (
  fhirBaseUrl: FhirBaseUrl,
  received: JsonObject,
  source?: Source | undefined
): SmartConfiguration => {
  // A list of many malformed items makes one deviation.
  const deviations = new Map<string, Deviation>()
  const deviate = (deviation: Deviation) => {
    deviations.set(`${deviation.problem} ${deviation.member}`, deviation)
  }
  const malformed = (member: string, expected: string) => deviate({ member, problem: "Malformed", expected })
  const document = withoutDeepMembers(received, malformed)
  const { boolean, object, objects, string, strings } = reader(document, malformed)

  const resolve = (member: string, value: string): string | undefined => {
    if (Url.parse(value) !== undefined) return value
    const resolved = Url.parse(value, fhirBaseUrl)
    if (resolved === undefined) malformed(member, "a URL")
    else deviate({ member, problem: "Relative", expected: "an absolute URL" })
    return resolved?.href
  }
  const url = (member: string): string | undefined => {
    const value = string(member)
    return value === undefined ? undefined : resolve(member, value)
  }
  /** One that is opened in a browser, where another scheme could run as code. */
  const page = (member: string): string | undefined => {
    const value = url(member)
    if (value === undefined || /^https?:/i.test(value)) return value
    malformed(member, "the URL of a web page")
    return undefined
  }
  const associated = objects("associated_endpoints")?.flatMap((endpoint) => {
    const members = reader(endpoint, (member, expected) => malformed(`associated_endpoints.${member}`, expected))
    const value = members.string("url")
    const absolute = value === undefined ? undefined : resolve("associated_endpoints.url", value)
    return absolute === undefined ? [] : [{ url: absolute, capabilities: members.strings("capabilities") ?? [] }]
  })
  const identifier = object("user_access_brand_identifier")
  const identifierMembers = identifier === undefined
    ? undefined
    : reader(identifier, (member, expected) => malformed(`user_access_brand_identifier.${member}`, expected))

  return new SmartConfiguration({
    fhirBaseUrl,
    issuer: string("issuer"),
    jwksUri: url("jwks_uri"),
    authorizationEndpoint: url("authorization_endpoint"),
    tokenEndpoint: url("token_endpoint"),
    registrationEndpoint: url("registration_endpoint"),
    introspectionEndpoint: url("introspection_endpoint"),
    revocationEndpoint: url("revocation_endpoint"),
    managementEndpoint: page("management_endpoint"),
    grantTypesSupported: strings("grant_types_supported"),
    capabilities: strings("capabilities"),
    codeChallengeMethodsSupported: strings("code_challenge_methods_supported"),
    scopesSupported: strings("scopes_supported"),
    responseTypesSupported: strings("response_types_supported"),
    tokenEndpointAuthMethodsSupported: strings("token_endpoint_auth_methods_supported"),
    tokenEndpointAuthSigningAlgValuesSupported: strings("token_endpoint_auth_signing_alg_values_supported"),
    associatedEndpoints: associated,
    smartAppStateEndpoint: url("smart_app_state_endpoint"),
    userAccessBrandBundle: url("user_access_brand_bundle"),
    userAccessBrandIdentifier: identifierMembers === undefined
      ? undefined
      : { system: identifierMembers.string("system"), value: identifierMembers.string("value") },
    authorizationResponseIssParameterSupported: boolean("authorization_response_iss_parameter_supported"),
    extensions: others(document, KNOWN),
    deviations: [...deviations.values()],
    source
  }, skipValidation)
}

/**
 * What a program can say of a server in the server's stead: endpoints, and whatever else matters there. URLs are absolute.
 *
 * @since 0.1.0
 * @category models
 */
export type StaticMetadata = Partial<
  Omit<ConstructorParameters<typeof SmartConfiguration>[0], "fhirBaseUrl" | "extensions" | "deviations" | "source">
>

/**
 * A configuration out of settings. That S256 is supported is taken for granted: it is sent in any case.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSettings = (fhirBaseUrl: FhirBaseUrl, given: StaticMetadata): SmartConfiguration =>
  new SmartConfiguration({
    codeChallengeMethodsSupported: ["S256"],
    ...given,
    fhirBaseUrl,
    extensions: {},
    deviations: [],
    source: "Settings"
  })

/**
 * The endpoints a client sends something secret to, or a person, or whose word it takes for who somebody is.
 *
 * @since 0.1.0
 * @category models
 */
export type Endpoint =
  | "authorizationEndpoint"
  | "tokenEndpoint"
  | "registrationEndpoint"
  | "introspectionEndpoint"
  | "revocationEndpoint"
  | "jwksUri"

/**
 * An endpoint that is about to be used: it must be there, and it must be secure (requirements 1, 230, 232 and 318), before anything is sent or
 * anyone is redirected.
 *
 * @since 0.1.0
 * @category accessors
 */
export const endpoint = (
  self: SmartConfiguration,
  member: Endpoint,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): Effect.Effect<string, DiscoveryError> => {
  const value = self[member]
  const url = value === undefined ? undefined : Url.parse(value)
  if (value !== undefined && url !== undefined && Url.isSecure(url, options?.allowInsecureLocalhost ?? false)) {
    return Effect.succeed(value)
  }
  const wireName = member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  if (value === undefined) {
    return new DiscoveryError({
      reason: "EndpointMissing",
      fhirBaseUrl: self.fhirBaseUrl,
      url: self.fhirBaseUrl,
      member: wireName,
      detail: `its SMART configuration has no usable ${wireName}`
    })
  }
  return new DiscoveryError({
    reason: "InsecureEndpoint",
    fhirBaseUrl: self.fhirBaseUrl,
    url: Url.forDisplay(value),
    member: wireName,
    detail: `its SMART configuration gives a ${wireName} that is not https`
  })
}
