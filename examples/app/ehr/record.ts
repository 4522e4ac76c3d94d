/**
 * Names and record lines from FHIR resources. Missing and malformed members are ignored.
 */
import * as Predicate from "effect/Predicate"
import type { SandboxEhr } from "effect-safire/testing"

type FhirResource = SandboxEhr.FhirResource

const members = (value: unknown): Readonly<Record<string, unknown>> => Predicate.isRecord(value) ? value : {}

const list = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

const text = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined

/** The person's name as one line. */
export const nameOf = (resource: FhirResource): string => {
  const name = members(list(resource["name"])[0])
  const parts = [...list(name["prefix"]), ...list(name["given"]), name["family"]].flatMap((part) => text(part) ?? [])
  return text(name["text"]) ?? (parts.length === 0 ? `${resource.resourceType} ${resource.id}` : parts.join(" "))
}

/** A person who can sign in. */
export interface Person {
  /** `Practitioner/…` or `Patient/…`. */
  readonly reference: string
  readonly name: string
  /** The id of the person's own record; undefined for a clinician. */
  readonly ownRecord: string | undefined
}

/** The people who can sign in, clinicians first. */
export const peopleOf = (resources: ReadonlyArray<FhirResource>): ReadonlyArray<Person> =>
  ["Practitioner", "Patient"].flatMap((type) =>
    resources.filter(({ resourceType }) => resourceType === type).map((resource) => ({
      reference: `${type}/${resource.id}`,
      name: nameOf(resource),
      ownRecord: type === "Patient" ? resource.id : undefined
    }))
  )

/** A patient in a list. */
export interface Patient {
  readonly id: string
  readonly name: string
  readonly birthDate: string | undefined
  readonly gender: string | undefined
}

/** The patients that a person may see: a patient only their own record. */
export const patientsOf = (resources: ReadonlyArray<FhirResource>, person: Person): ReadonlyArray<Patient> =>
  resources.filter(({ id, resourceType }) =>
    resourceType === "Patient" && (person.ownRecord === undefined || person.ownRecord === id)
  ).map((resource) => ({
    id: resource.id,
    name: nameOf(resource),
    birthDate: text(resource["birthDate"]),
    gender: text(resource["gender"])
  }))

const concept = (value: unknown): string | undefined =>
  text(members(value)["text"]) ?? text(members(list(members(value)["coding"])[0])["display"])

const codesOf = (value: unknown): ReadonlyArray<string> =>
  list(members(value)["coding"]).flatMap((coding) => text(members(coding)["code"]) ?? [])

/** LOINC codes of the components of a blood pressure. */
const SYSTOLIC = "8480-6"
const DIASTOLIC = "8462-4"

const numberOf = (value: unknown): unknown => members(members(value)["valueQuantity"])["value"]

const quantityOf = (value: unknown): string | undefined => {
  const quantity = members(members(value)["valueQuantity"])
  return typeof quantity["value"] === "number"
    ? `${quantity["value"]} ${text(quantity["unit"]) ?? ""}`.trim()
    : undefined
}

const valueOf = (observation: FhirResource): string => {
  const components = list(observation["component"])
  const [systolic, diastolic] = [SYSTOLIC, DIASTOLIC].map((code) =>
    components.find((one) => codesOf(members(one)["code"]).includes(code))
  )
  if (systolic !== undefined && diastolic !== undefined) {
    return `${numberOf(systolic) ?? "–"}/${quantityOf(diastolic) ?? "–"}`
  }
  const values = components.flatMap((component) => quantityOf(component) ?? [])
  return quantityOf(observation) ?? (values.length === 0 ? "no value" : values.join(", "))
}

/** A date, what it is about, and a value if there is one. */
export interface Line {
  readonly date: string | undefined
  readonly what: string
  readonly value?: string | undefined
}

/** A patient's record in short. */
export interface Summary {
  readonly visits: ReadonlyArray<Line & { readonly id: string }>
  readonly allergies: ReadonlyArray<Line>
  readonly conditions: ReadonlyArray<Line>
  readonly medications: ReadonlyArray<Line>
  /** The newest value of each kind. */
  readonly observations: ReadonlyArray<Line>
}

const newestFirst = <A extends Line>(lines: ReadonlyArray<A>): ReadonlyArray<A> =>
  [...lines].sort((a, b) => (b.date ?? "").localeCompare(a.date ?? ""))

/** A patient's record in short. */
export const summaryOf = (resources: ReadonlyArray<FhirResource>, patient: string): Summary => {
  const own = (type: string) =>
    resources.filter((resource) =>
      resource.resourceType === type &&
      members(resource["subject"] ?? resource["patient"])["reference"] === `Patient/${patient}`
    )
  const observations = newestFirst(
    own("Observation").map((observation) => ({
      date: text(observation["effectiveDateTime"]),
      what: concept(observation["code"]) ?? "Observation",
      value: valueOf(observation)
    }))
  )
  return {
    visits: newestFirst(
      own("Encounter").map((encounter) => ({
        id: encounter.id,
        date: text(members(encounter["period"])["start"]),
        what: concept(list(encounter["reasonCode"])[0]) ?? "Visit"
      }))
    ),
    allergies: own("AllergyIntolerance").map((allergy) => ({
      date: undefined,
      what: concept(allergy["code"]) ?? "Allergy",
      value: text(allergy["criticality"])
    })).sort((a, b) => Number(b.value === "high") - Number(a.value === "high")),
    conditions: own("Condition").map((condition) => ({
      date: text(condition["onsetDateTime"]),
      what: concept(condition["code"]) ?? "Condition"
    })),
    medications: own("MedicationRequest").map((medication) => ({
      date: text(medication["authoredOn"]),
      what: concept(medication["medicationCodeableConcept"]) ?? "Medication",
      value: text(members(list(medication["dosageInstruction"])[0])["text"])
    })),
    observations: observations.filter(({ what }, index) =>
      observations.findIndex((other) => other.what === what) === index
    )
  }
}

/** The day of a FHIR date or date with time. */
export const dayOf = (date: string | undefined): string => date?.slice(0, 10) ?? "unknown"
