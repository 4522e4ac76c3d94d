/**
 * A brand bundle, read and judged: brands, their portals and endpoints, references resolved (SMART App Launch 2.2, user-access brands: brand bundle
 * profile, metadata in smart-configuration).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { isJsonObject, type JsonObject } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { distinct, finding } from "./Finding.js"
import type { Brand, BrandFinding, Endpoint, Portal } from "./internal/brand.js"
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
 * @since 0.1.0
 * @category models
 */
export interface BrandBundle extends BrandCollection {
  /** The URL it came from. */
  readonly source: string
  /** When its contents last changed, by its own word. */
  readonly timestamp?: string | undefined
  readonly findings: ReadonlyArray<BrandFinding>
}

interface Entry {
  readonly key: string
  readonly where: string
  readonly fullUrl: string | undefined
  readonly resource: JsonObject
}

/** Entries of one type and id, as far as it matters whether there is exactly one. */
interface SameId {
  readonly first: Entry
  count: number
  firstWithoutUrl: Entry | undefined
  countWithoutUrl: number
}

/** Longer than any base there is: each reference would copy it. */
const MAX_BASE = 2048

/** References within one bundle (FHIR R4, bundle: resolving references): by full URL, or by type and id where only one can be meant. */
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
      // A full URL names its server: only an entry that does not say where it is from can be meant by it.
      if (absolute) return same.countWithoutUrl === 1 ? same.firstWithoutUrl?.key : undefined
      return same.count === 1 ? same.first.key : undefined
    }
  }
}

/**
 * Reads a bundle. None: it is no FHIR Bundle. What is wrong with one that is, is in its `findings`; what the specification's own examples leave
 * out (`meta`, addresses, portals of affiliates) is not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromDocument = (source: string, document: unknown): Option.Option<BrandBundle> => {
  if (!isJsonObject(document) || document["resourceType"] !== "Bundle") return Option.none()
  const findings: Array<BrandFinding> = []
  const report = (found: BrandFinding) => {
    findings.push(found)
  }
  if (document["type"] !== "collection") {
    report(
      finding(
        "BundleTypeWrong",
        "error",
        "type",
        undefined,
        "the bundle is no collection",
        "set its type to collection"
      )
    )
  }
  const timestamp = typeof document["timestamp"] === "string" ? document["timestamp"] : undefined
  if (timestamp === undefined) {
    report(
      finding("TimestampMissing", "error", "timestamp", "398", "no timestamp", "say when the contents last changed")
    )
  }
  const listed: ReadonlyArray<unknown> = Array.isArray(document["entry"]) ? document["entry"] : []
  const entries = listed.flatMap((item, index): ReadonlyArray<Entry> => {
    const resource = isJsonObject(item) ? item["resource"] : undefined
    if (!isJsonObject(item) || !isJsonObject(resource)) {
      report(finding("EntryMalformed", "error", "entry", undefined, `entry ${index} has no resource`, "remove it"))
      return []
    }
    const { id, resourceType } = resource
    const fullUrl = typeof item["fullUrl"] === "string" && item["fullUrl"] !== "" ? item["fullUrl"] : undefined
    const type = resourceType === "Organization" || resourceType === "Endpoint" ? resourceType : undefined
    if (type === undefined) {
      report(finding(
        "ResourceUnexpected",
        "information",
        "entry",
        undefined,
        "an entry is neither Organization nor Endpoint",
        "it is passed over"
      ))
      return []
    }
    const named = typeof id === "string" && /^[\w.-]{1,64}$/.test(id) ? `${type}/${id}` : `entry ${index}`
    return [{ key: fullUrl ?? `${source}#${named}`, where: named, fullUrl, resource }]
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
    report(finding(
      "EndpointUnreferenced",
      "error",
      "entry",
      "396",
      `${where}: no brand refers to it`,
      "the primary brand refers to every endpoint: add it there"
    ))
  }
  return Option.some({ source, timestamp, brands, endpoints, findings: distinct(findings) })
}

/**
 * The brand that a server means by its `user_access_brand_identifier`; without one, the only brand there is. A system that the server leaves out
 * is not compared.
 *
 * @since 0.1.0
 * @category accessors
 */
export const primary = (
  self: BrandCollection,
  identifier: { readonly system?: string | undefined; readonly value?: string | undefined } | undefined
): Either.Either<Brand, BrandFinding> => {
  const member = "user_access_brand_identifier"
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
  const advice = "let it match the identifier of exactly one Organization of the bundle"
  if (match === undefined) {
    return Either.left(
      finding("PrimaryBrandUnmatched", "error", member, "412", "no brand of the bundle is the server's", advice)
    )
  }
  return Either.left(
    identifier?.value === undefined
      ? finding(
        "PrimaryBrandUnnamed",
        "error",
        member,
        "409",
        "the bundle has several brands, and none is named",
        advice
      )
      : finding(
        "PrimaryBrandAmbiguous",
        "error",
        member,
        "412",
        "several brands of the bundle have this identifier",
        advice
      )
  )
}

const ownPortals = ({ endpoints, portals }: Brand): ReadonlyArray<Portal> => {
  const inPortals = new Set(portals.flatMap((portal) => portal.endpoints.map(({ key }) => key)))
  const rest = endpoints.filter(({ key }) => !inPortals.has(key))
  return rest.length === 0 ? portals : [...portals, { logos: [], logoLicenses: [], endpoints: rest }]
}

/** No organization has more levels; a hostile bundle may have one below each other. */
const MAX_LEVELS = 100

/**
 * Where people of a brand connect: its own portals, or those of the nearest brand it is part of, up to 100 levels above. Endpoints that no portal
 * claims are in one without a name.
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
 * A FHIR server as a registry of servers wants it.
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
 * The FHIR servers of all brands, each once, in the order of the brands: active ones that can be used at all. To be listed grants no access
 * (requirement 435).
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
