/**
 * The FHIR R4 resources of the sandbox and what can be asked about them: one by type and id, many by search parameter, and who a resource is
 * about (the patient compartment).
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import type { FhirResource } from "./SyntheticData.js"

/** Search parameters the store knows. */
export type Filters = ReadonlyArray<readonly [name: string, value: string]>

/** The store. */
export interface FhirStore {
  readonly types: ReadonlySet<string>
  readonly read: (type: string, id: string) => FhirResource | undefined
  readonly search: (type: string, filters: Filters) => ReadonlyArray<FhirResource>
  /** Whether a resource meets one search parameter. */
  readonly matches: (resource: FhirResource, name: string, value: string) => boolean
  /** The id of the patient a resource is about. */
  readonly patientOf: (resource: FhirResource) => string | undefined
}

/** The parameters `search` understands; the others are ignored, as FHIR allows. */
export const searchParameters: ReadonlySet<string> = new Set(["_id", "patient", "subject", "category", "code"])

/** The id a reference to a type has, if it is one. */
export const idOf = (reference: unknown, type: string): string | undefined =>
  typeof reference === "string" ? new RegExp(`(?:^|/)${type}/([A-Za-z0-9\\-.]{1,64})$`).exec(reference)?.[1] : undefined

const patientOf = (resource: FhirResource): string | undefined => {
  if (resource.resourceType === "Patient") return resource.id
  const subject = resource["subject"] ?? resource["patient"]
  return Predicate.isRecord(subject) ? idOf(subject["reference"], "Patient") : undefined
}

const codings = (concept: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(concept)
    ? concept.flatMap(codings)
    : Predicate.isRecord(concept) && Array.isArray(concept["coding"])
    ? concept["coding"].filter(Predicate.isRecord)
    : []

// A FHIR token: `code`, `system|code`, `system|` or `|code`; commas mean "or".
const matchesToken = (concept: unknown, value: string): boolean =>
  value.split(",").some((token) => {
    const bar = token.indexOf("|")
    const system = bar < 0 ? undefined : token.slice(0, bar)
    const code = bar < 0 ? token : token.slice(bar + 1)
    return codings(concept).some((coding) =>
      (system === undefined || (coding["system"] ?? "") === system) && (code === "" || coding["code"] === code)
    )
  })

/** A store with these resources; `baseUrl` is where absolute references point to. */
export const make = (baseUrl: string, resources: ReadonlyArray<FhirResource>): FhirStore => {
  const byType = new Map<string, Map<string, FhirResource>>()
  for (const resource of resources) {
    const ofType = byType.get(resource.resourceType) ?? new Map<string, FhirResource>()
    ofType.set(resource.id, { ...resource, meta: { versionId: "1", lastUpdated: "2024-05-01T00:00:00Z" } })
    byType.set(resource.resourceType, ofType)
  }

  const matches = (resource: FhirResource, name: string, value: string): boolean => {
    switch (name) {
      case "_id":
        return value.split(",").includes(resource.id)
      case "patient":
      case "subject": {
        if (resource.resourceType === "Patient" || resource.resourceType === "Practitioner") return true
        const wanted = value.startsWith(`${baseUrl}/`) ? value.slice(baseUrl.length + 1) : value
        const id = wanted.startsWith("Patient/") ? wanted.slice("Patient/".length) : wanted
        return patientOf(resource) === id
      }
      case "category":
      case "code":
        return matchesToken(resource[name], value)
      default:
        return true
    }
  }

  return {
    types: new Set(byType.keys()),
    read: (type, id) => byType.get(type)?.get(id),
    search: (type, filters) =>
      Array.from(byType.get(type)?.values() ?? []).filter((resource) =>
        filters.every(([name, value]) => matches(resource, name, value))
      ),
    matches,
    patientOf
  }
}
