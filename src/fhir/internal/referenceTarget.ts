/**
 * Where a reference points: to a contained resource, to an entry of a Bundle, or to a resource on a server (FHIR R4,
 * sections 2.3.0.1 and 2.36.4.1). Pure functions.
 *
 * @internal
 */
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { type AnyResource, isId, isResource, isType, type Resource } from "./resource.js"

/** A resource on a server. */
export interface Target {
  readonly reference: string
  readonly type: string
  readonly id: string
  readonly version: string | undefined
  /** What is before the type; absent for a relative reference. */
  readonly base: string | undefined
}

export type Lookup = (reference: string) => Resource | undefined

const ignore = () => undefined

/** The base, the type, the id and optionally the version of a reference. */
const TARGET = /^(?:(.*)\/)?([A-Za-z]{1,64})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/

export const targetOf = (reference: string): Target | undefined => {
  const [, base, type = "", id = "", version] = TARGET.exec(reference) ?? []
  return isType(type) && isId(id) && (version === undefined || isId(version))
    ? { reference, type, id, version, base }
    : undefined
}

/** Finds contained resources by `#id`; the first one if several have the same id. */
export const containedIn = (within: AnyResource): Lookup => {
  const resources = isJsonObject(within) ? reader(within, ignore).objects("contained") ?? [] : []
  const byReference = new Map<string, Resource>()
  for (const resource of resources.filter(isResource)) {
    const { id } = resource
    if (typeof id === "string" && !byReference.has(`#${id}`)) byReference.set(`#${id}`, resource)
  }
  return (reference) => reference !== "#" ? byReference.get(reference) : isResource(within) ? within : undefined
}

/** What a reference to the version of a resource ends with. */
const versionPath = ({ meta }: Resource): string | undefined =>
  isJsonObject(meta) && typeof meta["versionId"] === "string" ? `/_history/${meta["versionId"]}` : undefined

/**
 * Finds entries of a Bundle by their `fullUrl`. A relative reference has the base of the entry that contains it; if
 * that is unknown, it must match one entry only.
 */
export const entryIn = (bundle: AnyResource, within: AnyResource | undefined): Lookup => {
  const byUrl = new Map<string, Array<Resource>>()
  const byPath = new Map<string, Array<Resource>>()
  const add = (index: Map<string, Array<Resource>>, key: string, resource: Resource) => {
    const version = versionPath(resource)
    for (const path of version === undefined ? [key] : [key, key + version]) {
      const known = index.get(path)
      if (known === undefined) index.set(path, [resource])
      else known.push(resource)
    }
  }
  let base: string | undefined
  for (const entry of isJsonObject(bundle) ? reader(bundle, ignore).objects("entry") ?? [] : []) {
    const { object, string } = reader(entry, ignore)
    const resource = object("resource")
    const fullUrl = string("fullUrl")
    if (!isResource(resource) || fullUrl === undefined) continue
    add(byUrl, fullUrl, resource)
    const [, root, type, id] = TARGET.exec(fullUrl) ?? []
    if (root === undefined) continue
    add(byPath, `${type}/${id}`, resource)
    if (resource === within) base = root
  }
  return (reference) => {
    const target = targetOf(reference)
    const isRelative = target !== undefined && target.base === undefined
    const found = !isRelative
      ? byUrl.get(reference)
      : base === undefined
      ? byPath.get(reference)
      : byUrl.get(`${base}/${reference}`)
    return isRelative && base === undefined && found !== undefined && found.length > 1 ? undefined : found?.[0]
  }
}

export interface Surroundings {
  readonly within?: AnyResource | undefined
  readonly bundle?: AnyResource | undefined
}

/** The resource, the target on a server, or why the reference is invalid. */
export type Located = Resource | Target | string

/** Each index is made when the first reference needs it, and once for all that are located together. */
export const locator = ({ bundle, within }: Surroundings): (reference: string) => Located => {
  let contained: Lookup | undefined
  let entries: Lookup | undefined
  return (reference) => {
    if (reference.startsWith("#")) {
      if (within !== undefined) contained ??= containedIn(within)
      return contained?.(reference) ?? "the contained resource does not exist, or the option `within` is missing"
    }
    if (bundle !== undefined) {
      entries ??= entryIn(bundle, within)
      const found = entries(reference)
      if (found !== undefined) return found
    }
    if (reference.startsWith("urn:")) {
      return "the Bundle has no entry with this `fullUrl`, or the option `bundle` is missing"
    }
    return targetOf(reference) ?? "the reference does not end with a resource type and an id"
  }
}
