/**
 * Reads the Organizations and Endpoints of a brand bundle for use. What is missing stays missing, what could run in a page is left out, and
 * whatever the profiles demand otherwise is a finding.
 */
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { JsonObject } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import type { Brand, Endpoint, Identifier, Portal } from "./brand.js"
import {
  about,
  checked,
  codesOf,
  EXTENSION,
  extensionsOf,
  isAbsentWithReason,
  isLink,
  isLogo,
  lastUpdatedOf,
  parts,
  readerOf,
  referenceOf,
  type Report,
  type Say,
  texts,
  websitesOf
} from "./brandMembers.js"

/** @internal */
export interface Resolver {
  readonly endpoint: (reference: string) => Endpoint | undefined
  readonly brandKey: (reference: string) => string | undefined
}

/** @internal */
export const endpointOf = (key: string, where: string, resource: JsonObject, report: Report): Endpoint => {
  const say = about(where, report)
  const members = readerOf(resource, say)
  const address = members.string("address")
  const parsed = address === undefined ? undefined : Either.getOrUndefined(FhirBaseUrl.parse(address))
  const url = parsed === undefined ? undefined : Url.parse(parsed)
  if (url?.protocol !== "https:") {
    say(
      "EndpointAddressUnfit",
      url !== undefined && Url.isSecure(url, true) ? "warning" : "error",
      "address",
      undefined,
      "the address is no https FHIR base URL",
      "give the absolute https URL of the FHIR server, without query, fragment or credentials"
    )
  }
  const fhirVersions = texts(
    extensionsOf(resource, say)
      .filter((extension) => extension["url"] === `${EXTENSION}endpoint-fhir-version`)
      .map((extension) => extension["valueCode"])
  )
  if (fhirVersions.length === 0) {
    say(
      "FhirVersionMissing",
      "error",
      "extension",
      undefined,
      "no FHIR version",
      "add an endpoint-fhir-version extension"
    )
  }
  const status = members.string("status")
  if (status === undefined) say("EndpointStatusMissing", "error", "status", undefined, "no status", "add the status")
  const connection = members.object("connectionType")
  const connectionType = connection === undefined ? undefined : readerOf(connection, say).string("code")
  if (connectionType !== "hl7-fhir-rest") {
    say(
      "ConnectionTypeOther",
      "error",
      "connectionType",
      undefined,
      "it is not hl7-fhir-rest",
      "list FHIR endpoints only"
    )
  }
  const developerPortals = websitesOf(resource, "contact", say)
  if (developerPortals.length === 0 && !isAbsentWithReason(resource, "contact", say)) {
    say(
      "EndpointContactMissing",
      "error",
      "contact",
      undefined,
      "no website for developers",
      "add a contact of system url"
    )
  }
  return {
    key,
    name: members.string("name"),
    fhirBaseUrl: parsed,
    fhirVersions,
    status,
    connectionType,
    developerPortals,
    lastUpdated: lastUpdatedOf(resource, say)
  }
}

const CATEGORIES = [
  "prov",
  "ins",
  "laboratory",
  "imaging",
  "pharmacy",
  "health-information-network",
  "health-data-aggregator"
]

const isRecommended = ({ system, value }: Identifier): boolean => {
  const url = Url.parse(value)
  return system === "urn:ietf:rfc:3986" && url?.protocol === "https:" && !url.hostname.startsWith("www.") &&
    (value === url.origin || value === `${url.origin}/`)
}

const portalOf = (
  extension: JsonObject,
  endpointsOf: (values: ReadonlyArray<unknown>) => ReadonlyArray<Endpoint>,
  say: Say
): Portal => {
  const values = parts(extension, say)
  const urls = (url: string, fits: (url: URL) => boolean) =>
    texts(values(url, "valueUrl")).flatMap((value) => checked(value, fits, url, say))
  return {
    name: texts(values("portalName", "valueString"))[0],
    description: texts(values("portalDescription", "valueMarkdown"))[0],
    url: urls("portalUrl", isLink)[0],
    logos: urls("portalLogo", isLogo),
    logoLicenses: urls("portalLogoLicense", isLink),
    endpoints: endpointsOf(values("portalEndpoint", "valueReference"))
  }
}

const byKey = (endpoints: ReadonlyArray<Endpoint>): ReadonlyArray<Endpoint> => [
  ...new Map(endpoints.map((endpoint) => [endpoint.key, endpoint])).values()
]

/** @internal */
export const brandOf = (
  key: string,
  where: string,
  resource: JsonObject,
  resolver: Resolver,
  report: Report
): Brand => {
  const say = about(where, report)
  const members = readerOf(resource, say)
  const extensions = (name: string) => extensionsOf(resource, say).filter(({ url }) => url === `${EXTENSION}${name}`)

  const endpointsOf = (values: ReadonlyArray<unknown>): ReadonlyArray<Endpoint> =>
    values.flatMap((value) => {
      const reference = referenceOf(value)
      const endpoint = reference === undefined ? undefined : resolver.endpoint(reference)
      if (endpoint === undefined) {
        say(
          "ReferenceUnresolved",
          "error",
          "endpoint",
          undefined,
          "an endpoint is not in the bundle",
          "add the Endpoint it refers to"
        )
      }
      return endpoint ?? []
    })
  const listed = endpointsOf(members.objects("endpoint") ?? [])
  const portals = extensions("organization-portal").map((extension) => portalOf(extension, endpointsOf, say))
  const endpoints = byKey([...listed, ...portals.flatMap((portal) => portal.endpoints)])
  if (endpoints.length > byKey(listed).length) {
    say(
      "PortalEndpointUnlisted",
      "error",
      "endpoint",
      undefined,
      "an endpoint of a portal is not among the endpoints of the Organization (uab-1)",
      "list it there too"
    )
  }

  const name = members.string("name")
  if (name === undefined && !isAbsentWithReason(resource, "name", say)) {
    say("NameMissing", "error", "name", undefined, "no name", "add the name that people know")
  }
  const websites = websitesOf(resource, "telecom", say)
  const excused = (members.objects("telecom") ?? []).filter((point) => isAbsentWithReason(point, "value", say))
  if (websites.length > 1) {
    say(
      "WebsiteRepeated",
      "warning",
      "telecom",
      undefined,
      "more than one website; the first counts",
      "give exactly one"
    )
  } else if (websites.length === 0 && excused.length === 0 && !isAbsentWithReason(resource, "telecom", say)) {
    say(
      "WebsiteMissing",
      "error",
      "telecom",
      undefined,
      "no website",
      "add a telecom of system url, or say why there is none"
    )
  }
  const categories = (members.objects("type") ?? []).flatMap((concept) => codesOf(concept, say))
  if (categories.some((category) => !CATEGORIES.includes(category))) {
    say(
      "CategoryUnknown",
      "warning",
      "type",
      undefined,
      "a category is none of the profile's",
      `choose among ${CATEGORIES.join(", ")}`
    )
  }
  const identifiers = (members.objects("identifier") ?? []).flatMap((identifier): ReadonlyArray<Identifier> => {
    const { string } = readerOf(identifier, say, "identifier.")
    const value = string("value")
    return value === undefined ? [] : [{ system: string("system"), value }]
  })
  if (!identifiers.some(isRecommended)) {
    say(
      "IdentifierUnrecommended",
      "information",
      "identifier",
      "395",
      "no identifier is the https URL of the brand's website, without www. and path",
      "add one of system urn:ietf:rfc:3986: brands are merged by it"
    )
  }
  const look = extensions("organization-brand").map((extension) => parts(extension, say))
  const urls = (part: string, fits: (url: URL) => boolean) =>
    look.flatMap((values) => texts(values(part, "valueUrl"))).flatMap((value) => checked(value, fits, part, say))
  const parent = referenceOf(members.object("partOf"))
  const partOf = parent === undefined ? undefined : resolver.brandKey(parent)
  if (parent !== undefined && partOf === undefined) {
    say(
      "ReferenceUnresolved",
      "error",
      "partOf",
      undefined,
      "partOf is not in the bundle",
      "add the Organization it refers to"
    )
  }
  return {
    key,
    name,
    aliases: members.strings("alias") ?? [],
    active: members.boolean("active") ?? true,
    website: websites[0],
    identifiers,
    categories,
    addresses: (members.objects("address") ?? []).map((address) => {
      const { string, strings } = readerOf(address, say, "address.")
      return {
        lines: strings("line") ?? [],
        city: string("city"),
        state: string("state"),
        postalCode: string("postalCode"),
        country: string("country")
      }
    }),
    logos: urls("brandLogo", isLogo),
    logoLicenses: urls("brandLogoLicense", isLink),
    bundles: urls("brandBundle", isLink),
    portals,
    endpoints,
    partOf,
    lastUpdated: lastUpdatedOf(resource, say)
  }
}
