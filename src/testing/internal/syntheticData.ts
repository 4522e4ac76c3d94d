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

const patient = (id: string, given: string, family: string, gender: string, birthDate: string): FhirResource => ({
  resourceType: "Patient",
  id,
  identifier: [{ system: "urn:example:sandbox:mrn", value: id }],
  active: true,
  name: [{ use: "official", family, given: [given] }],
  gender,
  birthDate
})

const practitioner = (id: string, given: string, family: string): FhirResource => ({
  resourceType: "Practitioner",
  id,
  active: true,
  name: [{ use: "official", family, given: [given], prefix: ["Dr."] }]
})

const subject = (patientId: string) => ({ subject: { reference: `Patient/${patientId}` } })

const encounter = (id: string, patientId: string, day: string, reason: string): FhirResource => ({
  resourceType: "Encounter",
  id,
  status: "finished",
  class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "AMB", display: "ambulatory" },
  reasonCode: [{ text: reason }],
  ...subject(patientId),
  participant: [{ individual: { reference: "Practitioner/practitioner-one" } }],
  period: { start: `${day}T09:00:00Z`, end: `${day}T09:30:00Z` }
})

const condition = (id: string, patientId: string, onset: string, code: string, text: string): FhirResource => ({
  resourceType: "Condition",
  id,
  clinicalStatus: {
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/condition-clinical", code: "active" }]
  },
  category: [{
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/condition-category", code: "problem-list-item" }]
  }],
  code: { coding: [{ system: "http://snomed.info/sct", code, display: text }], text },
  ...subject(patientId),
  onsetDateTime: onset
})

/** `code` is of RxNorm. */
const medication = (
  id: string,
  patientId: string,
  day: string,
  [code, text]: readonly [code: string, text: string],
  dosage: string
): FhirResource => ({
  resourceType: "MedicationRequest",
  id,
  status: "active",
  intent: "order",
  medicationCodeableConcept: {
    coding: [{ system: "http://www.nlm.nih.gov/research/umls/rxnorm", code, display: text }],
    text
  },
  ...subject(patientId),
  authoredOn: day,
  requester: { reference: "Practitioner/practitioner-two" },
  dosageInstruction: [{ text: dosage }]
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

/** The label of FHIR for test data (HL7 v3 ActReason). */
const testData = { system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code: "HTEST" }

/**
 * The default resources: `patient-alpha`, `patient-beta` and `patient-gamma`, each with encounters, conditions, a
 * medication and vital signs; `practitioner-one` and `practitioner-two`. All people are synthetic, and each resource
 * has the tag `HTEST` (test health data).
 *
 * @since 0.1.0
 * @category models
 */
export const syntheticResources: ReadonlyArray<FhirResource> = [
  patient("patient-alpha", "Ruth", "Okafor", "female", "1958-07-14"),
  patient("patient-beta", "Mateo", "Villanueva", "male", "1979-03-22"),
  patient("patient-gamma", "Mei", "Chau", "other", "1996-11-05"),
  practitioner("practitioner-one", "Ingrid", "Halvorsen"),
  practitioner("practitioner-two", "Asha", "Kulkarni"),
  encounter("encounter-alpha-1", "patient-alpha", "2024-01-10", "Headaches, raised blood pressure"),
  encounter("encounter-alpha-2", "patient-alpha", "2024-04-10", "Blood pressure check"),
  encounter("encounter-beta-1", "patient-beta", "2024-02-10", "Diabetes review"),
  encounter("encounter-gamma-1", "patient-gamma", "2024-03-10", "Sore throat and fever"),
  condition("condition-alpha-1", "patient-alpha", "2023-12-04", "38341003", "Hypertensive disorder"),
  condition("condition-alpha-2", "patient-alpha", "1971-05-01", "195967001", "Asthma"),
  condition("condition-beta-1", "patient-beta", "2019-06-17", "44054006", "Diabetes mellitus type 2"),
  condition("condition-gamma-1", "patient-gamma", "2014-09-08", "37796009", "Migraine"),
  medication(
    "medication-alpha",
    "patient-alpha",
    "2024-01-10",
    ["314076", "Lisinopril 10 mg oral tablet"],
    "1 tablet by mouth once a day"
  ),
  medication(
    "medication-beta",
    "patient-beta",
    "2023-08-21",
    ["860975", "Metformin hydrochloride 500 mg extended-release oral tablet"],
    "1 tablet by mouth twice a day with meals"
  ),
  medication(
    "medication-gamma",
    "patient-gamma",
    "2024-03-10",
    ["310965", "Ibuprofen 200 mg oral tablet"],
    "1 to 2 tablets by mouth every 6 hours as needed, at most 6 tablets a day"
  ),
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
].map((resource) => ({ ...resource, meta: { tag: [testData] } }))
