/**
 * One collection of brands out of several publications (SMART App Launch 2.2, user-access brands: requirements 415,
 * 416 and 420).
 *
 * @since 0.1.0
 */
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { BrandCollection } from "../BrandBundle.js"
import type { Brand, Endpoint, Identifier, Portal } from "./brand.js"

/**
 * A bundle, and the URL from which it came.
 *
 * @since 0.1.0
 * @category models
 */
export interface Publication {
  readonly bundle: BrandCollection
  /** Whether a server's SMART configuration links to it, in contrast to a list that a vendor consolidates. */
  readonly linked: boolean
}

const nameOf = ({ system, value }: Identifier): string => JSON.stringify([system ?? null, value])

/** Endpoints with the same FHIR base URL are the same server. */
const serverOf = (endpoint: Endpoint): string =>
  endpoint.fhirBaseUrl === undefined ? `#${endpoint.key}` : FhirBaseUrl.key(endpoint.fhirBaseUrl)

/** The values of all lists, without those whose name an earlier list has. */
const union = <A>(nameOfOne: (value: A) => string, lists: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<A> => {
  const names = new Set<string>()
  return lists.flatMap((list) => {
    const fresh = list.map((value) => [nameOfOne(value), value] as const).filter(([name]) => !names.has(name))
    for (const [name] of fresh) names.add(name)
    return fresh.map(([, value]) => value)
  })
}

const portalName = ({ endpoints, name, url }: Portal): string =>
  JSON.stringify([url ?? name ?? null, endpoints.map(serverOf).sort()])

/**
 * One brand: name and logos of the first, portals of all. In one step, because merging in pairs copies each list
 * again.
 */
const combine = (brands: readonly [Brand, ...Array<Brand>]): Brand => {
  const [first, ...others] = brands
  if (others.length === 0) return first
  const all = <A>(nameOfOne: (value: A) => string, listOf: (brand: Brand) => ReadonlyArray<A>) =>
    union(nameOfOne, brands.map(listOf))
  return {
    ...first,
    aliases: all((alias) => alias, (brand) => brand.aliases),
    identifiers: all(nameOf, (brand) => brand.identifiers),
    categories: all((category) => category, (brand) => brand.categories),
    addresses: all((address) => JSON.stringify(address), (brand) => brand.addresses),
    portals: all(portalName, (brand) => brand.portals),
    endpoints: all(serverOf, (brand) => brand.endpoints),
    partOf: brands.find(({ partOf }) => partOf !== undefined)?.partOf
  }
}

/**
 * Merges publications. Brands with the same identifier (system and value) in several publications become one: those
 * of a linked publication replace those of a consolidated list, and otherwise the first one gives name and logos, and
 * all portals are kept. Brands of one publication are not merged with each other.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (publications: ReadonlyArray<Publication>): BrandCollection => {
  const ordered = [...publications.filter(({ linked }) => linked), ...publications.filter(({ linked }) => !linked)]

  const endpointByServer = new Map<string, Endpoint>()
  for (const { bundle } of ordered) {
    for (const endpoint of bundle.endpoints.values()) {
      if (!endpointByServer.has(serverOf(endpoint))) endpointByServer.set(serverOf(endpoint), endpoint)
    }
  }
  const canonical = (endpoints: ReadonlyArray<Endpoint>): ReadonlyArray<Endpoint> =>
    endpoints.map((endpoint) => endpointByServer.get(serverOf(endpoint)) ?? endpoint)

  const merged = new Map<string, [Brand, ...Array<Brand>]>()
  const fromLinked = new Set<string>()
  const keyByIdentifier = new Map<string, string>()
  const renamed = new Map<string, string>()
  /** Servers of brands that a linked publication replaced: removed, unless another brand has them. */
  const replaced = new Set<string>()
  for (const { bundle, linked } of ordered) {
    const added: Array<readonly [Brand, string]> = []
    for (const brand of bundle.brands.values()) {
      const target = brand.identifiers.map((identifier) =>
        keyByIdentifier.get(nameOf(identifier))
      ).find((key) => key !== undefined) ?? brand.key
      const known = merged.get(target)
      if (target !== brand.key) {
        renamed.set(brand.key, target)
      }
      if (known === undefined) {
        merged.set(target, [brand])
      } else if (linked || !fromLinked.has(target)) {
        known.push(brand)
      } else {
        for (const endpoint of brand.endpoints) {
          replaced.add(serverOf(endpoint))
        }
      }
      if (linked) {
        fromLinked.add(target)
      }
      added.push([brand, target])
    }
    // After all brands of the publication, which are not merged with each other.
    for (const [brand, target] of added) {
      for (const identifier of brand.identifiers) {
        if (!keyByIdentifier.has(nameOf(identifier))) keyByIdentifier.set(nameOf(identifier), target)
      }
    }
  }
  const brands = new Map(Array.from(merged, ([key, same]) => [key, combine(same)]))
  for (const { bundle, linked } of ordered) {
    if (linked) { for (const endpoint of bundle.endpoints.values()) replaced.delete(serverOf(endpoint)) }
  }
  for (const brand of brands.values()) for (const endpoint of brand.endpoints) replaced.delete(serverOf(endpoint))
  for (const server of replaced) endpointByServer.delete(server)
  return {
    brands: new Map([...brands].map(([key, brand]) => [key, {
      ...brand,
      portals: brand.portals.map((portal) => ({ ...portal, endpoints: canonical(portal.endpoints) })),
      endpoints: canonical(brand.endpoints),
      partOf: brand.partOf === undefined ? undefined : renamed.get(brand.partOf) ?? brand.partOf
    }])),
    endpoints: new Map([...endpointByServer.values()].map((endpoint) => [endpoint.key, endpoint]))
  }
}
