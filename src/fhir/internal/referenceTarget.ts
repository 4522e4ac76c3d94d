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
  /** `Type/id`, with or without a version, and without anything before it. */
  readonly isRelative: boolean
}

export type Lookup = (reference: string) => Resource | undefined

const ignore = () => undefined

/** The base, the type, the id and optionally the version of a reference. */
const TARGET = /^(?:(.*)\/)?([A-Za-z]{1,64})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/

export const targetOf = (reference: string): Target | undefined => {
  const [, root, type = "", id = "", version] = TARGET.exec(reference) ?? []
  return isType(type) && isId(id) && (version === undefined || isId(version))
    ? { reference, type, id, version, isRelative: root === undefined }
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

/** The version of a resource, and whether a reference to a version may mean it. */
const hasVersion = (resource: Resource, version: string | undefined): boolean =>
  version === undefined || (isJsonObject(resource["meta"]) && resource["meta"]["versionId"] === version)

/**
 * Finds entries of a Bundle by their `fullUrl`. A relative reference has the base of the entry that contains it; if
 * that is unknown, it must match one entry only.
 */
export const entryIn = (bundle: AnyResource, within: AnyResource | undefined): Lookup => {
  const byUrl = new Map<string, Array<Resource>>()
  const byPath = new Map<string, Array<Resource>>()
  const add = (index: Map<string, Array<Resource>>, key: string, resource: Resource) => {
    const known = index.get(key)
    if (known === undefined) index.set(key, [resource])
    else known.push(resource)
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
    const { isRelative = false, version } = targetOf(reference) ?? {}
    const current = version === undefined ? reference : reference.slice(0, -`/_history/${version}`.length)
    const found = !isRelative
      ? byUrl.get(current)
      : base === undefined
      ? byPath.get(current)
      : byUrl.get(`${base}/${current}`)
    const matching = (found ?? []).filter((resource) => hasVersion(resource, version))
    return isRelative && base === undefined && matching.length > 1 ? undefined : matching[0]
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
