/**
 * The FHIR R4 resources of the sandbox: read by type and id, search by parameter, versions, and the patient
 * compartment.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Predicate from "effect/Predicate"
import type { FhirResource } from "./syntheticData.js"

/** Search parameters and their values. */
export type Filters = ReadonlyArray<readonly [name: string, value: string]>

/** One version of a resource; the version of a deletion has no resource. */
export interface Version {
  readonly versionId: string
  readonly lastUpdated: string
  readonly method: "POST" | "PUT" | "DELETE"
  readonly resource: FhirResource | undefined
}

/** The parameters that `search` supports; it ignores others, as FHIR allows. */
export const searchParameters: ReadonlySet<string> = new Set(
  ["_id", "identifier", "patient", "subject", "subject:missing", "category", "code"]
)

const idOf = (reference: unknown, type: string): string | undefined =>
  typeof reference === "string" ? new RegExp(`(?:^|/)${type}/([A-Za-z0-9\\-.]{1,64})$`).exec(reference)?.[1] : undefined

/** The id of the patient in whose compartment a resource is. */
const patientOf = (resource: FhirResource): string | undefined => {
  if (resource.resourceType === "Patient") return resource.id
  const subject = resource["subject"] ?? resource["patient"]
  return Predicate.isRecord(subject) ? idOf(subject["reference"], "Patient") : undefined
}

const codings = (concepts: unknown): ReadonlyArray<Record<string, unknown>> =>
  (Array.isArray(concepts) ? concepts : [concepts]).flatMap((concept: unknown) =>
    Predicate.isRecord(concept) && Array.isArray(concept["coding"]) ? concept["coding"].filter(Predicate.isRecord) : []
  )

const identifiers = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  (Array.isArray(value) ? value : []).filter(Predicate.isRecord).map((one) => ({
    system: one["system"],
    code: one["value"]
  }))

const unescaped = (text: string): string => text.replace(/\\(.)/gs, "$1")

// A FHIR token: `code`, `system|code`, `system|` or `|code`; commas mean "or". A backslash escapes bars and commas.
const matchesToken = (codes: ReadonlyArray<Record<string, unknown>>, value: string): boolean =>
  (value.match(/(?:\\.|[^,\\])+/gs) ?? []).some((token) => {
    const [, before, after] = /^((?:\\.|[^|\\])*)\|(.*)$/s.exec(token) ?? []
    const system = before === undefined ? undefined : unescaped(before)
    const code = unescaped(after ?? token)
    return codes.some((coding) =>
      (system === undefined || (coding["system"] ?? "") === system) && (code === "" || coding["code"] === code)
    )
  })

/** A store with these resources; absolute references start with `baseUrl`. */
export const make = (baseUrl: string, resources: ReadonlyArray<FhirResource>) => {
  const byType = new Map<string, Map<string, ReadonlyArray<Version>>>()
  const ofType = (type: string) => byType.get(type) ?? new Map<string, ReadonlyArray<Version>>()
  const add = (type: string, id: string, version: Version) => {
    byType.set(type, ofType(type).set(id, [version, ...(ofType(type).get(id) ?? [])]))
  }
  for (const resource of resources) {
    const meta = { versionId: "1", lastUpdated: "2024-05-01T00:00:00Z" }
    const given = Predicate.isRecord(resource["meta"]) ? resource["meta"] : {}
    const stored = { ...resource, meta: { ...given, ...meta } }
    add(resource.resourceType, resource.id, { ...meta, method: "POST", resource: stored })
  }
  // Every store has the type of app state.
  if (!byType.has("Basic")) byType.set("Basic", new Map())
  let ids = 0

  /** Whether a resource matches one search parameter. */
  const matches = (resource: FhirResource, name: string, value: string): boolean => {
    switch (name) {
      case "_id":
        return value.split(",").includes(resource.id)
      case "patient":
      case "subject": {
        if (resource.resourceType === "Patient" || resource.resourceType === "Practitioner") return true
        if (resource.resourceType === "Basic") {
          return Predicate.isRecord(resource["subject"]) && resource["subject"]["reference"] === value
        }
        const wanted = value.startsWith(`${baseUrl}/`) ? value.slice(baseUrl.length + 1) : value
        const id = wanted.startsWith("Patient/") ? wanted.slice("Patient/".length) : wanted
        return patientOf(resource) === id
      }
      case "subject:missing":
        return (resource["subject"] === undefined) === (value === "true")
      case "category":
      case "code":
        return matchesToken(codings(resource[name]), value)
      case "identifier":
        return matchesToken(identifiers(resource["identifier"]), value)
      default:
        return true
    }
  }

  return {
    types: new Set(byType.keys()),
    read: (type: string, id: string): FhirResource | undefined => ofType(type).get(id)?.[0]?.resource,
    /** The ids of a type, including those of deleted resources. */
    ids: (type: string): ReadonlyArray<string> => [...ofType(type).keys()],
    /** All versions of a resource, the newest first. */
    versions: (type: string, id: string): ReadonlyArray<Version> => ofType(type).get(id) ?? [],
    /** Adds a version; without a resource it is a deletion. */
    write: (type: string, id: string, change: Pick<Version, "method" | "resource">, nowMillis: number): Version => {
      const { method, resource } = change
      const meta = {
        versionId: String((ofType(type).get(id)?.length ?? 0) + 1),
        lastUpdated: DateTime.formatIso(DateTime.unsafeMake(nowMillis))
      }
      const version: Version = {
        ...meta,
        method,
        resource: resource === undefined ? undefined : { ...resource, id, meta }
      }
      add(type, id, version)
      return version
    },
    nextId: (type: string) => `${type.toLowerCase()}-new-${++ids}`,
    /** Saves all resources; the result restores them. */
    snapshot: () => {
      const copy = new Map(Array.from(byType, ([type, versions]) => [type, new Map(versions)] as const))
      return () => {
        byType.clear()
        for (const [type, versions] of copy) byType.set(type, versions)
      }
    },
    search: (type: string, filters: Filters): ReadonlyArray<FhirResource> =>
      Array.from(ofType(type).values()).flatMap(([newest]) => newest?.resource ?? []).filter((resource) =>
        filters.every(([name, value]) => matches(resource, name, value))
      ),
    matches,
    patientOf
  }
}
