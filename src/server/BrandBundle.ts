/**
 * A brand bundle: brands, their portals and endpoints, with references resolved (SMART App Launch 2.2, user-access
 * brands: brand bundle profile, metadata in smart-configuration).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { isJsonObject, type JsonObject } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { collector, finding } from "./Finding.js"
import type { Brand, BrandCode, BrandFinding, Endpoint, Portal } from "./internal/brand.js"
import { brandOf, endpointOf } from "./internal/brandReader.js"

/**
 * Brands from one bundle or, merged, from several.
 *
 * @since 0.1.0
 * @category models
 */
export interface BrandCollection {
  readonly brands: ReadonlyMap<string, Brand>
  readonly endpoints: ReadonlyMap<string, Endpoint>
}

/**
 * The brands of a bundle, with its findings.
 *
 * @since 0.1.0
 * @category models
 */
export interface BrandBundle extends BrandCollection {
  /** The URL of the bundle. */
  readonly source: string
  /** When the contents last changed, according to the bundle. */
  readonly timestamp?: string | undefined
  readonly findings: ReadonlyArray<BrandFinding>
}

interface Entry {
  readonly key: string
  readonly where: string
  readonly fullUrl: string | undefined
  readonly resource: JsonObject
}

/** Entries with one type and id: the first, and how many. */
interface SameId {
  readonly first: Entry
  count: number
  firstWithoutUrl: Entry | undefined
  countWithoutUrl: number
}

/** Each reference copies the base of its entry, so that a longer one is ignored. */
const MAX_BASE = 2048

/**
 * Resolves references in one bundle (FHIR R4, bundle: resolving references): by full URL, or by a unique type and id.
 */
const resolverOf = (entries: ReadonlyArray<Entry>) => {
  const byFullUrl = new Map<string, string>()
  const byId = new Map<string, SameId>()
  for (const entry of entries) {
    if (entry.fullUrl !== undefined && !byFullUrl.has(entry.fullUrl)) byFullUrl.set(entry.fullUrl, entry.key)
    const { id, resourceType } = entry.resource
    if (typeof id !== "string" || typeof resourceType !== "string") continue
    const name = `${resourceType}/${id}`
    const same = byId.get(name) ?? { first: entry, count: 0, firstWithoutUrl: undefined, countWithoutUrl: 0 }
    byId.set(name, same)
    same.count += 1
    if (entry.fullUrl === undefined) {
      same.firstWithoutUrl ??= entry
      same.countWithoutUrl += 1
    }
  }
  return (from: Entry) => {
    const found = /^(.*\/)[A-Za-z]+\/[^/]+$/.exec(from.fullUrl ?? "")?.[1]
    const base = found === undefined || found.length > MAX_BASE ? undefined : found
    return (reference: string): string | undefined => {
      const plain = reference.replace(/\/_history\/[^/]*$/, "")
      const absolute = Url.parse(plain) !== undefined
      const known = byFullUrl.get(absolute || base === undefined ? plain : `${base}${plain}`)
      if (known !== undefined) return known
      const same = byId.get(/(?:^|\/)([A-Za-z]+\/[^/]+)$/.exec(plain)?.[1] ?? "")
      if (same === undefined) return undefined
      // An absolute reference names its server, so that it can match only an entry without a full URL.
      if (absolute) return same.countWithoutUrl === 1 ? same.firstWithoutUrl?.key : undefined
      return same.count === 1 ? same.first.key : undefined
    }
  }
}

/**
 * Reads a bundle; none if the document is not a FHIR Bundle. Deviations are in its `findings`, except those of the
 * specification's own examples (no `meta`, no addresses, no portals of affiliates).
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromDocument = (source: string, document: unknown): Option.Option<BrandBundle> => {
  if (!isJsonObject(document) || document["resourceType"] !== "Bundle") return Option.none()
  const { findings, report } = collector<BrandCode>()
  if (document["type"] !== "collection") {
    report.error("BundleTypeWrong", "type", "the bundle is not a collection", "set its type to collection")
  }
  const timestamp = typeof document["timestamp"] === "string" ? document["timestamp"] : undefined
  if (timestamp === undefined) {
    report.error("TimestampMissing", ["timestamp", "398"], "no timestamp", "add when the contents last changed")
  }
  const items: ReadonlyArray<unknown> = Array.isArray(document["entry"]) ? document["entry"] : []
  const entries = items.flatMap((item, index): ReadonlyArray<Entry> => {
    const resource = isJsonObject(item) ? item["resource"] : undefined
    if (!isJsonObject(item) || !isJsonObject(resource)) {
      report.error("EntryMalformed", "entry", `entry ${index} has no resource`, "remove it")
      return []
    }
    const { id, resourceType } = resource
    if (resourceType !== "Organization" && resourceType !== "Endpoint") {
      report.information(
        "ResourceUnexpected",
        "entry",
        "an entry is neither Organization nor Endpoint",
        "it is ignored"
      )
      return []
    }
    const fullUrl = typeof item["fullUrl"] === "string" && item["fullUrl"] !== "" ? item["fullUrl"] : undefined
    const where = typeof id === "string" && /^[\w.-]{1,64}$/.test(id) ? `${resourceType}/${id}` : `entry ${index}`
    return [{ key: fullUrl ?? `${source}#${where}`, where, fullUrl, resource }]
  })
  const ofType = (type: string) => entries.filter(({ resource }) => resource["resourceType"] === type)
  const resolver = resolverOf(entries)
  const endpoints = new Map(
    ofType("Endpoint").map(({ key, resource, where }) => [key, endpointOf(key, where, resource, report)])
  )
  const organizations = ofType("Organization")
  const brandKeys = new Set(organizations.map(({ key }) => key))
  const brands = new Map(organizations.map((entry) => {
    const resolve = resolver(entry)
    return [
      entry.key,
      brandOf(entry.key, entry.where, entry.resource, {
        endpoint: (reference) => endpoints.get(resolve(reference) ?? ""),
        brandKey: (reference) => {
          const key = resolve(reference)
          return key !== undefined && brandKeys.has(key) ? key : undefined
        }
      }, report)
    ]
  }))
  const referenced = new Set([...brands.values()].flatMap((brand) => brand.endpoints.map(({ key }) => key)))
  for (const { key, where } of ofType("Endpoint")) {
    if (referenced.has(key)) continue
    report.error(
      "EndpointUnreferenced",
      ["entry", "396"],
      `${where}: no brand refers to it`,
      "the primary brand refers to every endpoint: add it there"
    )
  }
  return Option.some({ source, timestamp, brands, endpoints, findings: findings() })
}

/**
 * The brand with a server's `user_access_brand_identifier`; without an identifier, the only brand of the bundle. A
 * system that the server omits is not compared.
 *
 * @since 0.1.0
 * @category accessors
 */
export const primary = (
  self: BrandCollection,
  identifier: { readonly system?: string | undefined; readonly value?: string | undefined } | undefined
): Either.Either<Brand, BrandFinding> => {
  const brands = [...self.brands.values()]
  const matches = identifier?.value === undefined ?
    brands :
    brands.filter(({ identifiers }) =>
      identifiers.some(({ system, value }) =>
        value === identifier.value && (identifier.system === undefined || system === identifier.system)
      )
    )
  const [match, ...others] = matches
  if (match !== undefined && others.length === 0) return Either.right(match)
  const fail = (code: BrandCode, requirement: string, message: string) => {
    const advice = "let it match the identifier of exactly one Organization of the bundle"
    return Either.left(finding(code, "error", "user_access_brand_identifier", requirement, message, advice))
  }
  if (match === undefined) return fail("PrimaryBrandUnmatched", "412", "no brand of the bundle has this identifier")
  return identifier?.value === undefined
    ? fail("PrimaryBrandUnnamed", "409", "the bundle has several brands, and no identifier selects one")
    : fail("PrimaryBrandAmbiguous", "412", "several brands of the bundle have this identifier")
}

const ownPortals = ({ endpoints, portals }: Brand): ReadonlyArray<Portal> => {
  const inPortals = new Set(portals.flatMap((portal) => portal.endpoints.map(({ key }) => key)))
  const rest = endpoints.filter(({ key }) => !inPortals.has(key))
  return rest.length === 0 ? portals : [...portals, { logos: [], logoLicenses: [], endpoints: rest }]
}

/** A limit against hostile bundles, above the levels of any organization. */
const MAX_LEVELS = 100

/**
 * The portals of a brand, or those of the nearest brand it is part of, up to 100 levels above. Endpoints without a
 * portal are in a portal without a name.
 *
 * @since 0.1.0
 * @category accessors
 */
export const portalsOf = (self: BrandCollection, brand: Brand): ReadonlyArray<Portal> => {
  let current: Brand | undefined = brand
  for (let level = 0; current !== undefined && level <= MAX_LEVELS; level++) {
    const portals = ownPortals(current)
    if (portals.length > 0) return portals
    current = self.brands.get(current.partOf ?? "")
  }
  return []
}

/**
 * A FHIR server, for a registry of servers.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListedServer {
  /** The name of the first brand that has it; else the endpoint's own, else its host. */
  readonly name: string
  readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl
  readonly fhirVersions: ReadonlyArray<string>
}

/**
 * The active FHIR servers of all brands with a secure URL, each once, in the order of the brands. A listed server
 * need not grant access (requirement 435).
 *
 * @since 0.1.0
 * @category accessors
 */
export const servers = (
  self: BrandCollection,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): ReadonlyArray<ListedServer> => {
  const found = new Map<string, Omit<ListedServer, "fhirVersions"> & { readonly fhirVersions: Set<string> }>()
  const add = (endpoint: Endpoint, brandName: string | undefined) => {
    const { connectionType = "hl7-fhir-rest", fhirBaseUrl, fhirVersions, status = "active" } = endpoint
    const url = fhirBaseUrl === undefined ? undefined : Url.parse(fhirBaseUrl)
    if (fhirBaseUrl === undefined || url === undefined || status !== "active" || connectionType !== "hl7-fhir-rest") {
      return
    }
    if (!Url.isSecure(url, options?.allowInsecureLocalhost ?? false)) return
    const key = FhirBaseUrl.key(fhirBaseUrl)
    const known = found.get(key)
    if (known === undefined) {
      found.set(key, {
        name: brandName ?? endpoint.name ?? url.host,
        fhirBaseUrl,
        fhirVersions: new Set(fhirVersions)
      })
    } else {
      for (const version of fhirVersions) known.fhirVersions.add(version)
    }
  }
  for (const brand of self.brands.values()) for (const endpoint of brand.endpoints) add(endpoint, brand.name)
  for (const endpoint of self.endpoints.values()) add(endpoint, undefined)
  return Array.from(found.values(), (server) => ({ ...server, fhirVersions: [...server.fhirVersions] }))
}
