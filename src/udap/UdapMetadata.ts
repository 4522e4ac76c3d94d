/**
 * What a FHIR server says about UDAP: the document at `[base]/.well-known/udap` after its signature was verified, with
 * the signed values in place of the unsigned ones (UDAP Security STU2, sections 2.2 and 2.3).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { FhirBaseUrl } from "../base/FhirBaseUrl.js"
import { type JsonObject, others, reader } from "../base/JsonReader.js"
import { findings, type MetadataFinding } from "./internal/metadataFindings.js"

export type {
  /**
   * The closed set of findings about UDAP metadata.
   *
   * @since 0.1.0
   * @category models
   */
  MetadataCode,
  /**
   * @since 0.1.0
   * @category models
   */
  MetadataFinding
} from "./internal/metadataFindings.js"

const Strings = Schema.optional(Schema.Array(Schema.String))

/**
 * A member that is malformed and counts as absent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Deviation = Schema.Struct({ member: Schema.String, expected: Schema.String })

/**
 * A member that was malformed and counts as absent.
 *
 * @since 0.1.0
 * @category models
 */
export type Deviation = typeof Deviation.Type

/**
 * The endpoints are signed. An empty list says that the capability is absent, a missing list says nothing
 * (UDAP-20).
 *
 * @since 0.1.0
 * @category models
 */
export class UdapMetadata extends Schema.Class<UdapMetadata>("effect-safire/udap/UdapMetadata")({
  fhirBaseUrl: FhirBaseUrl,
  /** The trust community whose anchor the server's certificate leads to. */
  community: Schema.String,
  /** The subjects of that path, from the server's certificate to the anchor. */
  certificatePath: Schema.Array(Schema.String),
  /** Milliseconds since 1970: until when the metadata is trusted without looking again. */
  trustedUntil: Schema.Number,
  tokenEndpoint: Schema.String,
  registrationEndpoint: Schema.String,
  authorizationEndpoint: Schema.optional(Schema.String),
  versionsSupported: Strings,
  profilesSupported: Strings,
  authorizationExtensionsSupported: Strings,
  authorizationExtensionsRequired: Strings,
  certificationsSupported: Strings,
  certificationsRequired: Strings,
  grantTypesSupported: Strings,
  scopesSupported: Strings,
  tokenEndpointAuthMethodsSupported: Strings,
  tokenEndpointAuthSigningAlgValuesSupported: Strings,
  registrationEndpointJwtSigningAlgValuesSupported: Strings,
  /** Members that UDAP does not define; endpoints among them only where they are signed. */
  extensions: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  deviations: Schema.Array(Deviation),
  /** Endpoints that the document has outside the signature, which are never used. */
  unsignedEndpoints: Schema.Array(Schema.String)
}) {
  /** `udap_dcr`, `udap_authn`, `udap_authz` or `udap_to`. */
  hasProfile(profile: string): boolean {
    return this.profilesSupported?.includes(profile) ?? false
  }

  hasGrantType(grantType: string): boolean {
    return this.grantTypesSupported?.includes(grantType) ?? false
  }

  /** Whether an app can register itself. */
  get supportsRegistration(): boolean {
    return this.hasProfile("udap_dcr")
  }

  /** Whether an app authenticates with its certificate. */
  get supportsAuthentication(): boolean {
    return this.hasProfile("udap_authn")
  }

  get supportsAuthorizationCode(): boolean {
    return this.hasGrantType("authorization_code") && this.authorizationEndpoint !== undefined
  }

  get supportsClientCredentials(): boolean {
    return this.hasGrantType("client_credentials") && this.hasProfile("udap_authz")
  }

  get supportsTieredOAuth(): boolean {
    return this.hasProfile("udap_to") && this.supportsAuthorizationCode
  }

  /** Every violation of the member rules of section 2.2, in an order that does not depend on the document's. */
  conformance(): ReadonlyArray<MetadataFinding> {
    return findings(this)
  }
}

const KNOWN: ReadonlySet<string> = new Set([
  "token_endpoint",
  "registration_endpoint",
  "authorization_endpoint",
  "udap_versions_supported",
  "udap_profiles_supported",
  "udap_authorization_extensions_supported",
  "udap_authorization_extensions_required",
  "udap_certifications_supported",
  "udap_certifications_required",
  "grant_types_supported",
  "scopes_supported",
  "token_endpoint_auth_methods_supported",
  "token_endpoint_auth_signing_alg_values_supported",
  "registration_endpoint_jwt_signing_alg_values_supported",
  "signed_metadata"
])

/** Claims about the JWT, not about the server. */
const OF_JWT: ReadonlySet<string> = new Set(["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "signed_metadata"])

const isEndpoint = (member: string): boolean => member.endsWith("_endpoint")

/** @internal */
export interface Trusted {
  readonly fhirBaseUrl: typeof FhirBaseUrl.Type
  readonly claims: JsonObject
  readonly community: string
  readonly certificatePath: ReadonlyArray<string>
  readonly trustedUntil: number
}

/**
 * A signed member replaces the plain one, also where it is malformed; an endpoint that is not signed is left out.
 *
 * @internal
 */
export const fromDocument = (plain: JsonObject, trusted: Trusted): UdapMetadata => {
  const signed = others(trusted.claims, OF_JWT)
  const unsignedEndpoints = Object.keys(plain).filter((member) => isEndpoint(member) && !Object.hasOwn(signed, member))
  const merged = { ...others(plain, new Set(unsignedEndpoints)), ...signed }
  const deviations: Array<Deviation> = []
  const { string, strings } = reader(merged, (member, expected) => deviations.push({ member, expected }))
  return new UdapMetadata({
    fhirBaseUrl: trusted.fhirBaseUrl,
    community: trusted.community,
    certificatePath: trusted.certificatePath,
    trustedUntil: trusted.trustedUntil,
    tokenEndpoint: string("token_endpoint") ?? "",
    registrationEndpoint: string("registration_endpoint") ?? "",
    authorizationEndpoint: string("authorization_endpoint"),
    versionsSupported: strings("udap_versions_supported"),
    profilesSupported: strings("udap_profiles_supported"),
    authorizationExtensionsSupported: strings("udap_authorization_extensions_supported"),
    authorizationExtensionsRequired: strings("udap_authorization_extensions_required"),
    certificationsSupported: strings("udap_certifications_supported"),
    certificationsRequired: strings("udap_certifications_required"),
    grantTypesSupported: strings("grant_types_supported"),
    scopesSupported: strings("scopes_supported"),
    tokenEndpointAuthMethodsSupported: strings("token_endpoint_auth_methods_supported"),
    tokenEndpointAuthSigningAlgValuesSupported: strings("token_endpoint_auth_signing_alg_values_supported"),
    registrationEndpointJwtSigningAlgValuesSupported: strings("registration_endpoint_jwt_signing_alg_values_supported"),
    extensions: others(merged, KNOWN),
    deviations,
    unsignedEndpoints
  })
}
