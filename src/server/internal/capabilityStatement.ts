/**
 * The predecessor of the SMART configuration: the `oauth-uris` and `capabilities` extensions of a CapabilityStatement
 * (SMART App Launch 1.0, "Declaring support for OAuth2 endpoints"; deprecated since 2.0).
 */
import { isJsonObject, type JsonObject } from "../../base/JsonReader.js"

const PROFILES = "http://fhir-registry.smarthealthit.org/StructureDefinition/"

/** Names in `oauth-uris`, and the members of a SMART configuration with the same meaning. */
const MEMBERS: ReadonlyMap<unknown, string> = new Map([
  ["authorize", "authorization_endpoint"],
  ["token", "token_endpoint"],
  ["register", "registration_endpoint"],
  ["introspect", "introspection_endpoint"],
  ["revoke", "revocation_endpoint"],
  ["manage", "management_endpoint"]
])

const objectsIn = (value: unknown): ReadonlyArray<JsonObject> => Array.isArray(value) ? value.filter(isJsonObject) : []

/**
 * The extensions as a SMART configuration; none if they contain no endpoint. A server may have several `rest`
 * entries, and the extensions in any of them.
 *
 * @internal
 */
export const toDocument = (resource: JsonObject): JsonObject | undefined => {
  // The resource type of DSTU2 is Conformance.
  if (resource["resourceType"] !== "CapabilityStatement" && resource["resourceType"] !== "Conformance") return undefined
  const extensions = objectsIn(resource["rest"]).flatMap(({ security }) =>
    isJsonObject(security) ? objectsIn(security["extension"]) : []
  )
  const ofKind = (kind: string) => extensions.filter(({ url }) => url === `${PROFILES}${kind}`)
  const endpoints = new Map<string, unknown>()
  for (const { url, valueUri, valueUrl } of ofKind("oauth-uris").flatMap(({ extension }) => objectsIn(extension))) {
    const member = MEMBERS.get(url)
    const value = valueUri ?? valueUrl
    if (member !== undefined && value !== undefined && !endpoints.has(member)) endpoints.set(member, value)
  }
  if (!endpoints.has("authorization_endpoint") && !endpoints.has("token_endpoint")) return undefined
  const capabilities = ofKind("capabilities").flatMap(({ valueCode }) =>
    typeof valueCode === "string" ? [valueCode] : []
  )
  return {
    ...Object.fromEntries(endpoints),
    ...(capabilities.length === 0 ? {} : { capabilities: [...new Set(capabilities)] })
  }
}
