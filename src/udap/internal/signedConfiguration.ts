/**
 * The endpoints of a UDAP server as a SMART configuration, so that the SMART client uses the signed values (UDAP
 * Security STU2, sections 2.2 and 2.3; UDAP-21).
 */
import { construct } from "../../base/SchemaFields.js"
import * as Url from "../../base/Url.js"
import { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { UdapMetadata } from "../UdapMetadata.js"

/** An endpoint that receives tokens and assertions: unsigned, it must be at the origin of the signed token endpoint. */
const atSameOrigin = (endpoint: string | undefined, tokenEndpoint: string): string | undefined =>
  endpoint !== undefined && Url.parse(endpoint)?.origin === Url.parse(tokenEndpoint)?.origin ? endpoint : undefined

const signedEndpoint = (metadata: UdapMetadata, member: string): string | undefined => {
  const value = metadata.extensions[member]
  return typeof value === "string" ? value : undefined
}

const S256 = "S256"

/**
 * Endpoints, grants, scopes and algorithms are those of UDAP, also where they are absent. What UDAP does not define
 * (keys, issuer, capabilities) comes from the SMART configuration, if the server has one.
 *
 * @internal
 */
export const signedConfiguration = (
  metadata: UdapMetadata,
  smart: SmartConfiguration | undefined
): SmartConfiguration => {
  const { tokenEndpoint } = metadata
  return construct(SmartConfiguration, {
    deviations: [],
    ...smart,
    fhirBaseUrl: metadata.fhirBaseUrl,
    authorizationEndpoint: metadata.authorizationEndpoint,
    tokenEndpoint,
    registrationEndpoint: metadata.registrationEndpoint,
    introspectionEndpoint: signedEndpoint(metadata, "introspection_endpoint") ??
      atSameOrigin(smart?.introspectionEndpoint, tokenEndpoint),
    revocationEndpoint: signedEndpoint(metadata, "revocation_endpoint") ??
      atSameOrigin(smart?.revocationEndpoint, tokenEndpoint),
    grantTypesSupported: metadata.grantTypesSupported,
    scopesSupported: metadata.scopesSupported,
    tokenEndpointAuthMethodsSupported: metadata.tokenEndpointAuthMethodsSupported,
    tokenEndpointAuthSigningAlgValuesSupported: metadata.tokenEndpointAuthSigningAlgValuesSupported,
    // STU2 requires S256 of every server.
    codeChallengeMethodsSupported: [...new Set([...(smart?.codeChallengeMethodsSupported ?? []), S256])],
    extensions: {
      ...smart?.extensions,
      ...metadata.extensions,
      udap_profiles_supported: metadata.profilesSupported,
      udap_authorization_extensions_supported: metadata.authorizationExtensionsSupported,
      udap_authorization_extensions_required: metadata.authorizationExtensionsRequired
    },
    source: smart?.source
  })
}
