/**
 * The content of a bulk export: which resources it contains, and how they are divided into files (Bulk Data Access
 * 3.0, "Bulk Data Output File Organization").
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import type { ExportParameters } from "./bulkParameters.js"
import type { ExportFile } from "./bulkState.js"
import { type FhirRequest, isPermitted } from "./fhirAccess.js"
import type { FhirResource } from "./syntheticData.js"

const MIN_RESOURCES_PER_FILE = 5
const MAX_FILES_PER_TYPE = 4

/** Elements that a resource must have, also with `_elements`. */
const MANDATORY: Readonly<Record<string, ReadonlyArray<string>>> = {
  Observation: ["status", "code"],
  Encounter: ["status", "class"],
  Condition: ["subject"],
  MedicationRequest: ["status", "intent", "medicationCodeableConcept", "subject"]
}

/** The resource with the elements only, marked as incomplete (FHIR R4, section 3.1.1.5.9). */
const withElements = (
  resource: FhirResource,
  elements: NonNullable<ExportParameters["elements"]>
): FhirResource => {
  const applicable = elements.filter(({ type }) => type === undefined || type === resource.resourceType)
  if (applicable.length === 0) return resource
  const names = new Set([
    "resourceType",
    "id",
    ...(MANDATORY[resource.resourceType] ?? []),
    ...applicable.map(({ name }) => name)
  ])
  const tag = [{ system: "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", code: "SUBSETTED" }]
  const meta = Predicate.isRecord(resource["meta"]) ? resource["meta"] : {}
  return {
    ...Object.fromEntries(Object.entries(resource).filter(([name]) => names.has(name))),
    resourceType: resource.resourceType,
    id: resource.id,
    meta: { ...meta, tag }
  }
}

const lastUpdatedOf = (resource: FhirResource): number => {
  const { lastUpdated } = Predicate.isRecord(resource["meta"]) ? resource["meta"] : {}
  return typeof lastUpdated === "string" ? Date.parse(lastUpdated) : 0
}

/** The members of a group; undefined if the group does not exist. */
export const membersOf = ({ sandbox: { fhirRoot, store } }: FhirRequest, group: string) => {
  const resource = store.read("Group", group)
  if (resource === undefined) return undefined
  const members = Array.isArray(resource["member"]) ? resource["member"].filter(Predicate.isRecord) : []
  return members.flatMap(({ entity, inactive }) => {
    const reference = Predicate.isRecord(entity) ? entity["reference"] : undefined
    const prefix = typeof reference === "string" && reference.startsWith(fhirRoot) ? `${fhirRoot}/Patient/` : "Patient/"
    return inactive !== true && typeof reference === "string" && reference.startsWith(prefix)
      ? [reference.slice(prefix.length)]
      : []
  })
}

const chunks = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> => {
  const size = Math.max(MIN_RESOURCES_PER_FILE, Math.ceil(all.length / MAX_FILES_PER_TYPE))
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))
}

const outcomeOf = (diagnostics: string) => ({
  resourceType: "OperationOutcome",
  issue: [{ severity: "warning", code: "not-supported", diagnostics }]
})

/** Blocks of one patient each, after a header that names it. */
const organized = (
  resources: ReadonlyArray<FhirResource>,
  patientOf: (resource: FhirResource) => string | undefined
): ReadonlyArray<ExportFile> => {
  const byPatient = new Map<string, Array<FhirResource>>()
  for (const resource of resources) {
    const patient = patientOf(resource)
    if (patient !== undefined) byPatient.set(patient, [...(byPatient.get(patient) ?? []), resource])
  }
  return chunks([...byPatient]).map((blocks) => ({
    kind: "output",
    type: undefined,
    count: blocks.reduce((sum, [, block]) => sum + block.length, 0),
    lines: blocks.flatMap(([patient, block]) => [
      {
        resourceType: "Parameters",
        parameter: [{ name: "header", valueReference: { reference: `Patient/${patient}` } }]
      },
      ...block
    ])
  }))
}

/** The files of an export. `patients` limits it to their compartments. */
export const filesOf = (
  request: FhirRequest,
  parameters: ExportParameters,
  patients: ReadonlyArray<string> | undefined
): ReadonlyArray<ExportFile> => {
  const { store } = request.sandbox
  const { elements, ignored, isOrganizedByPatient, since, typeFilters, types, until } = parameters
  const members = patients === undefined ? undefined : new Set(patients)
  const isInTime = (millis: number) =>
    (since === undefined || millis > since) && (until === undefined || millis <= until)
  const exported = types ?? [...store.types]
  const found = exported.flatMap((type) => {
    const filters = typeFilters.filter((filter) => filter.type === type)
    return store.search(type, []).filter((resource) =>
      isPermitted(request, "s", resource) &&
      isInTime(lastUpdatedOf(resource)) &&
      (members === undefined || members.has(store.patientOf(resource) ?? "")) &&
      (filters.length === 0 ||
        filters.some((filter) => filter.filters.every(([name, value]) => store.matches(resource, name, value))))
    )
  })
  const resources = elements === undefined ? found : found.map((resource) => withElements(resource, elements))
  const output = isOrganizedByPatient
    ? organized(resources, (resource) => store.patientOf(store.read(resource.resourceType, resource.id) ?? resource))
    : exported.flatMap((type) =>
      chunks(resources.filter(({ resourceType }) => resourceType === type)).map((lines): ExportFile => ({
        kind: "output",
        type,
        count: lines.length,
        lines
      }))
    )
  const deletions = since === undefined ? [] : exported.flatMap((type) =>
    store.ids(type).flatMap((id) => {
      const [newest, before] = store.versions(type, id)
      const isMember = before?.resource !== undefined &&
        isPermitted(request, "s", before.resource) &&
        (members === undefined || members.has(store.patientOf(before.resource) ?? ""))
      return newest?.method === "DELETE" && isMember && isInTime(Date.parse(newest.lastUpdated))
        ? [{ request: { method: "DELETE", url: `${type}/${id}` } }]
        : []
    })
  )
  const deleted: ReadonlyArray<ExportFile> = deletions.length === 0 ? [] : [{
    kind: "deleted",
    type: "Bundle",
    count: 1,
    lines: [{ resourceType: "Bundle", type: "transaction", entry: deletions }]
  }]
  const errors: ReadonlyArray<ExportFile> = ignored.length === 0 ? [] : [{
    kind: "error",
    type: "OperationOutcome",
    count: ignored.length,
    lines: ignored.map(outcomeOf)
  }]
  return [...output, ...deleted, ...errors]
}
