/**
 * The synthetic FHIR R4 resources of the sandbox.
 *
 * @since 0.1.0
 */

/**
 * A FHIR resource as JSON.
 *
 * @since 0.1.0
 * @category models
 */
export interface FhirResource {
  readonly resourceType: string
  readonly id: string
  readonly [member: string]: unknown
}

/** The types of the default resources. */
export const resourceTypes: ReadonlyArray<string> = [
  "Patient",
  "Practitioner",
  "Encounter",
  "Observation",
  "Condition",
  "MedicationRequest"
]

const patient = (id: string, given: string, gender: string, birthDate: string): FhirResource => ({
  resourceType: "Patient",
  id,
  identifier: [{ system: "urn:example:sandbox:mrn", value: id }],
  active: true,
  name: [{ use: "official", family: "Sandbox", given: [given] }],
  gender,
  birthDate
})

const practitioner = (id: string, given: string): FhirResource => ({
  resourceType: "Practitioner",
  id,
  active: true,
  name: [{ use: "official", family: "Clinician", given: [given], prefix: ["Dr."] }]
})

const subject = (patientId: string) => ({ subject: { reference: `Patient/${patientId}` } })

const encounter = (id: string, patientId: string, day: string): FhirResource => ({
  resourceType: "Encounter",
  id,
  status: "finished",
  class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "AMB" },
  ...subject(patientId),
  participant: [{ individual: { reference: "Practitioner/practitioner-one" } }],
  period: { start: `${day}T09:00:00Z`, end: `${day}T09:30:00Z` }
})

const condition = (id: string, patientId: string, code: string, text: string): FhirResource => ({
  resourceType: "Condition",
  id,
  clinicalStatus: {
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/condition-clinical", code: "active" }]
  },
  category: [{
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/condition-category", code: "problem-list-item" }]
  }],
  code: { coding: [{ system: "http://snomed.info/sct", code, display: text }], text },
  ...subject(patientId)
})

const medication = (id: string, patientId: string, text: string): FhirResource => ({
  resourceType: "MedicationRequest",
  id,
  status: "active",
  intent: "order",
  medicationCodeableConcept: { text },
  ...subject(patientId),
  requester: { reference: "Practitioner/practitioner-two" }
})

const loinc = (code: string, display: string) => ({ coding: [{ system: "http://loinc.org", code, display }] })

const measurement = (code: string, display: string, unit: string, ucumCode: string) => (value: number) => ({
  code: loinc(code, display),
  valueQuantity: { value, unit, system: "http://unitsofmeasure.org", code: ucumCode }
})

const heartRate = measurement("8867-4", "Heart rate", "beats/minute", "/min")
const temperature = measurement("8310-5", "Body temperature", "Cel", "Cel")
const weight = measurement("29463-7", "Body weight", "kg", "kg")
const systolicPressure = measurement("8480-6", "Systolic blood pressure", "mmHg", "mm[Hg]")
const diastolicPressure = measurement("8462-4", "Diastolic blood pressure", "mmHg", "mm[Hg]")

const bloodPressure = (systolic: number, diastolic: number) => ({
  code: loinc("85354-9", "Blood pressure panel with all children optional"),
  component: [systolicPressure(systolic), diastolicPressure(diastolic)]
})

const vital = (
  id: string,
  patientId: string,
  day: string,
  measured: Readonly<Record<string, unknown>>
): FhirResource => ({
  resourceType: "Observation",
  id,
  status: "final",
  category: [{
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }]
  }],
  ...subject(patientId),
  effectiveDateTime: `${day}T09:10:00Z`,
  ...measured
})

/**
 * The default resources: `patient-alpha`, `patient-beta` and `patient-gamma`, each with encounters, conditions, a
 * medication and vital signs; `practitioner-one` and `practitioner-two`.
 *
 * @since 0.1.0
 * @category models
 */
export const syntheticResources: ReadonlyArray<FhirResource> = [
  patient("patient-alpha", "Alpha", "female", "1970-01-01"),
  patient("patient-beta", "Beta", "male", "1980-02-02"),
  patient("patient-gamma", "Gamma", "other", "1990-03-03"),
  practitioner("practitioner-one", "Sandbox One"),
  practitioner("practitioner-two", "Sandbox Two"),
  encounter("encounter-alpha-1", "patient-alpha", "2024-01-10"),
  encounter("encounter-alpha-2", "patient-alpha", "2024-04-10"),
  encounter("encounter-beta-1", "patient-beta", "2024-02-10"),
  encounter("encounter-gamma-1", "patient-gamma", "2024-03-10"),
  condition("condition-alpha-1", "patient-alpha", "38341003", "Hypertensive disorder"),
  condition("condition-alpha-2", "patient-alpha", "195967001", "Asthma"),
  condition("condition-beta-1", "patient-beta", "44054006", "Diabetes mellitus type 2"),
  condition("condition-gamma-1", "patient-gamma", "37796009", "Migraine"),
  medication("medication-alpha", "patient-alpha", "Sandbox tablet A, one a day"),
  medication("medication-beta", "patient-beta", "Sandbox tablet B, two a day"),
  medication("medication-gamma", "patient-gamma", "Sandbox tablet C, as needed"),
  vital("vital-alpha-1", "patient-alpha", "2024-01-10", bloodPressure(142, 91)),
  vital("vital-alpha-2", "patient-alpha", "2024-01-10", heartRate(78)),
  vital("vital-alpha-3", "patient-alpha", "2024-04-10", bloodPressure(131, 84)),
  vital("vital-alpha-4", "patient-alpha", "2024-04-10", heartRate(72)),
  vital("vital-alpha-5", "patient-alpha", "2024-04-10", temperature(36.7)),
  vital("vital-alpha-6", "patient-alpha", "2024-04-10", weight(68.5)),
  vital("vital-beta-1", "patient-beta", "2024-02-10", bloodPressure(125, 80)),
  vital("vital-beta-2", "patient-beta", "2024-02-10", heartRate(66)),
  vital("vital-beta-3", "patient-beta", "2024-02-10", weight(92.1)),
  vital("vital-gamma-1", "patient-gamma", "2024-03-10", heartRate(84)),
  vital("vital-gamma-2", "patient-gamma", "2024-03-10", temperature(37.9)),
  vital("vital-gamma-3", "patient-gamma", "2024-03-10", weight(55.4))
]
