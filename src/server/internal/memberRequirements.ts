/**
 * The requirements of SMART App Launch 2.2 about members of a SMART configuration.
 */
import { type MemberKey, memberName } from "../SmartConfiguration.js"

const REQUIREMENTS: Readonly<Partial<Record<MemberKey, string>>> = {
  issuer: "381",
  jwksUri: "382",
  authorizationEndpoint: "383",
  tokenEndpoint: "385",
  registrationEndpoint: "438",
  introspectionEndpoint: "391",
  revocationEndpoint: "392",
  grantTypesSupported: "384",
  capabilities: "393",
  codeChallengeMethodsSupported: "394",
  scopesSupported: "389",
  responseTypesSupported: "390",
  tokenEndpointAuthMethodsSupported: "386",
  tokenEndpointAuthSigningAlgValuesSupported: "289",
  associatedEndpoints: "439",
  userAccessBrandBundle: "387",
  userAccessBrandIdentifier: "388"
}

const byName: ReadonlyMap<string, string> = new Map(
  Object.entries(REQUIREMENTS).map(([key, requirement]) => [memberName(key as MemberKey), requirement])
)

/**
 * The requirement about a member, by its name in the document.
 *
 * @internal
 */
export const requirementOf = (name: string): string | undefined => byName.get(name)
