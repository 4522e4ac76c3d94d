/**
 * Reads the Organizations and Endpoints of a brand bundle. Missing members stay absent, URLs that could run code in a
 * page are ignored, and other deviations from the profiles are findings.
 */
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { isJsonObject, type JsonObject, reader } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import type { Report, Reporter } from "../Finding.js"
import type { Brand, BrandCode, Endpoint, Identifier, Portal } from "./brand.js"

/** @internal */
export type BrandReporter = Reporter<BrandCode>

const EXTENSION = "http://hl7.org/fhir/StructureDefinition/"

/**
 * Reports findings about one resource. `where` is its id or its position, not a text that it contains.
 */
const reporterFor = (where: string, { error, information, warning }: BrandReporter): BrandReporter => {
  const prefixed = (report: Report<BrandCode>): Report<BrandCode> => (code, about, message, advice) =>
    report(code, about, `${where}: ${message}`, advice)
  return { error: prefixed(error), warning: prefixed(warning), information: prefixed(information) }
}

const readerOf = (object: JsonObject, report: BrandReporter, prefix = "") =>
  reader(object, (inner, expected) => {
    const member = `${prefix}${inner}`
    report.warning("MemberMalformed", member, `${member} is not ${expected}`, "it counts as absent")
  })

const extensionsOf = (object: JsonObject, report: BrandReporter): ReadonlyArray<JsonObject> =>
  readerOf(object, report).objects("extension") ?? []

/**
 * Whether a data-absent-reason, in an extension of the object or of the member, explains why the member is absent.
 */
const isAbsentWithReason = (object: JsonObject, member: string, report: BrandReporter): boolean => {
  const beside = Object.hasOwn(object, `_${member}`) ? object[`_${member}`] : undefined
  const reasons = [object, ...(isJsonObject(beside) ? [beside] : [])]
    .flatMap((holder) => extensionsOf(holder, report))
    .filter((extension) => extension["url"] === `${EXTENSION}data-absent-reason`)
    .map((extension) => extension["valueCode"])
  if (reasons.some((reason) => reason !== "asked-declined" && reason !== "asked-unknown")) {
    report.error(
      "DataAbsentReasonOther",
      [member, "405"],
      "a data-absent-reason is neither asked-declined nor asked-unknown",
      "no other reason is allowed"
    )
  }
  return reasons.length > 0
}

const isLink = (url: URL): boolean => /^https?:$/.test(url.protocol)

/**
 * An inline image is allowed; another data URL could be a page.
 */
const isLogo = (url: URL): boolean => url.protocol === "https:" || /^data:image\//i.test(url.href)

/**
 * The value if it is a URL that fits. Reports it otherwise, and where it is not https.
 */
const fittingUrl = (
  value: string,
  fits: (url: URL) => boolean,
  member: string,
  report: BrandReporter
): ReadonlyArray<string> => {
  const url = Url.parse(value)
  const advice = "use an https URL"
  if (url === undefined || !fits(url)) {
    report.error("UrlUnfit", member, `${member} is not a URL of the right kind, and is ignored`, advice)
    return []
  }
  if (url.protocol === "http:") report.warning("UrlUnfit", member, `${member} is not https`, advice)
  return [value]
}

/**
 * Values of the parts of a complex extension.
 */
const parts = (extension: JsonObject, report: BrandReporter) => {
  const all = extensionsOf(extension, report)
  return (url: string, member: string): ReadonlyArray<unknown> =>
    all.filter((part) => part["url"] === url).flatMap((part) => {
      const value = Object.hasOwn(part, member) ? part[member] : undefined
      if (value !== undefined && value !== null) return [value]
      if (!isAbsentWithReason(part, member, report)) {
        report.warning("MemberMalformed", url, `${url} has no ${member}`, "it counts as absent")
      }
      return []
    })
}

const texts = (values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.filter((value): value is string => typeof value === "string" && value !== "")

const codesOf = (concept: JsonObject, report: BrandReporter): ReadonlyArray<string> =>
  (readerOf(concept, report).objects("coding") ?? []).flatMap((coding) => readerOf(coding, report).string("code") ?? [])

const lastUpdatedOf = (resource: JsonObject, report: BrandReporter): string | undefined => {
  const meta = readerOf(resource, report).object("meta")
  return meta === undefined ? undefined : readerOf(meta, report, "meta.").string("lastUpdated")
}

const websitesOf = (
  resource: JsonObject,
  member: "telecom" | "contact",
  report: BrandReporter
): ReadonlyArray<string> =>
  (readerOf(resource, report).objects(member) ?? [])
    .filter((point) => point["system"] === "url")
    .flatMap((point) => readerOf(point, report, `${member}.`).string("value") ?? [])
    .flatMap((value) => fittingUrl(value, isLink, member, report))

const referenceOf = (value: unknown): string | undefined =>
  isJsonObject(value) && typeof value["reference"] === "string" ? value["reference"] : undefined

/** @internal */
export interface Resolver {
  readonly endpoint: (reference: string) => Endpoint | undefined
  readonly brandKey: (reference: string) => string | undefined
}

/** @internal */
export const endpointOf = (key: string, where: string, resource: JsonObject, reporter: BrandReporter): Endpoint => {
  const report = reporterFor(where, reporter)
  const members = readerOf(resource, report)
  const address = members.string("address")
  const parsed = address === undefined ? undefined : Either.getOrUndefined(FhirBaseUrl.parse(address))
  const url = parsed === undefined ? undefined : Url.parse(parsed)
  if (url?.protocol !== "https:") {
    report[url !== undefined && Url.isSecure(url, true) ? "warning" : "error"](
      "EndpointAddressUnfit",
      "address",
      "the address is not an https FHIR base URL",
      "use the absolute https URL of the FHIR server, without query, fragment or credentials"
    )
  }
  const fhirVersions = texts(
    extensionsOf(resource, report)
      .filter((extension) => extension["url"] === `${EXTENSION}endpoint-fhir-version`)
      .map((extension) => extension["valueCode"])
  )
  if (fhirVersions.length === 0) {
    report.error("FhirVersionMissing", "extension", "no FHIR version", "add an endpoint-fhir-version extension")
  }
  const status = members.string("status")
  if (status === undefined) report.error("EndpointStatusMissing", "status", "no status", "add the status")
  const connection = members.object("connectionType")
  const connectionType = connection === undefined ? undefined : readerOf(connection, report).string("code")
  if (connectionType !== "hl7-fhir-rest") {
    report.error(
      "ConnectionTypeOther",
      "connectionType",
      "connectionType is not hl7-fhir-rest",
      "list FHIR endpoints only"
    )
  }
  const developerPortals = websitesOf(resource, "contact", report)
  if (developerPortals.length === 0 && !isAbsentWithReason(resource, "contact", report)) {
    report.error("EndpointContactMissing", "contact", "no website for developers", "add a contact of system url")
  }
  return {
    key,
    name: members.string("name"),
    fhirBaseUrl: parsed,
    fhirVersions,
    status,
    connectionType,
    developerPortals,
    lastUpdated: lastUpdatedOf(resource, report)
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
  report: BrandReporter
): Portal => {
  const values = parts(extension, report)
  const urls = (url: string, fits: (url: URL) => boolean) =>
    texts(values(url, "valueUrl")).flatMap((value) => fittingUrl(value, fits, url, report))
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
  reporter: BrandReporter
): Brand => {
  const report = reporterFor(where, reporter)
  const members = readerOf(resource, report)
  const extensions = (name: string) => extensionsOf(resource, report).filter(({ url }) => url === `${EXTENSION}${name}`)

  const endpointsOf = (values: ReadonlyArray<unknown>): ReadonlyArray<Endpoint> =>
    values.flatMap((value) => {
      const reference = referenceOf(value)
      const endpoint = reference === undefined ? undefined : resolver.endpoint(reference)
      if (endpoint === undefined) {
        report.error(
          "ReferenceUnresolved",
          "endpoint",
          "an endpoint is not in the bundle",
          "add the Endpoint it refers to"
        )
      }
      return endpoint ?? []
    })
  const listed = endpointsOf(members.objects("endpoint") ?? [])
  const portals = extensions("organization-portal").map((extension) => portalOf(extension, endpointsOf, report))
  const endpoints = byKey([...listed, ...portals.flatMap((portal) => portal.endpoints)])
  if (endpoints.length > byKey(listed).length) {
    report.error(
      "PortalEndpointUnlisted",
      "endpoint",
      "an endpoint of a portal is not among the endpoints of the Organization (uab-1)",
      "list it there too"
    )
  }

  const name = members.string("name")
  if (name === undefined && !isAbsentWithReason(resource, "name", report)) {
    report.error("NameMissing", "name", "no name", "add the name that users know")
  }
  const websites = websitesOf(resource, "telecom", report)
  const excused = (members.objects("telecom") ?? []).filter((point) => isAbsentWithReason(point, "value", report))
  if (websites.length > 1) {
    report.warning("WebsiteRepeated", "telecom", "more than one website; the first one is used", "keep exactly one")
  } else if (websites.length === 0 && excused.length === 0 && !isAbsentWithReason(resource, "telecom", report)) {
    report.error("WebsiteMissing", "telecom", "no website", "add a telecom of system url, or a data-absent-reason")
  }
  const categories = (members.objects("type") ?? []).flatMap((concept) => codesOf(concept, report))
  if (categories.some((category) => !CATEGORIES.includes(category))) {
    report.warning(
      "CategoryUnknown",
      "type",
      "a category is not in the value set of the profile",
      `choose among ${CATEGORIES.join(", ")}`
    )
  }
  const identifiers = (members.objects("identifier") ?? []).flatMap((identifier): ReadonlyArray<Identifier> => {
    const { string } = readerOf(identifier, report, "identifier.")
    const value = string("value")
    return value === undefined ? [] : [{ system: string("system"), value }]
  })
  if (!identifiers.some(isRecommended)) {
    report.information(
      "IdentifierUnrecommended",
      ["identifier", "395"],
      "no identifier is the https URL of the brand's website, without www. and path",
      "add one of system urn:ietf:rfc:3986: brands are merged by it"
    )
  }
  const look = extensions("organization-brand").map((extension) => parts(extension, report))
  const urls = (part: string, fits: (url: URL) => boolean) =>
    look.flatMap((values) => texts(values(part, "valueUrl"))).flatMap((value) => fittingUrl(value, fits, part, report))
  const parent = referenceOf(members.object("partOf"))
  const partOf = parent === undefined ? undefined : resolver.brandKey(parent)
  if (parent !== undefined && partOf === undefined) {
    report.error("ReferenceUnresolved", "partOf", "partOf is not in the bundle", "add the Organization it refers to")
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
      const { string, strings } = readerOf(address, report, "address.")
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
    lastUpdated: lastUpdatedOf(resource, report)
  }
}
