/**
 * The records of the demo's EHRs: the people of the sandbox, with two years of vital signs, allergies, laboratory
 * results and visits. All people are synthetic.
 */
import { SandboxEhr } from "effect-safire/testing"
import { vitals } from "./vitals.js"

type FhirResource = SandboxEhr.FhirResource

const of = (patient: string) => ({ reference: `Patient/${patient}` })

const coded = (system: string, code: string, display: string) => ({
  coding: [{ system, code, display }],
  text: display
})

const SNOMED = "http://snomed.info/sct"
const LOINC = "http://loinc.org"
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"

interface Allergy {
  readonly code: readonly [code: string, display: string]
  readonly criticality?: "high" | "low"
  readonly reaction?: string
  readonly note?: string
}

const allergy = (id: string, patient: string, { code, criticality, note, reaction }: Allergy): FhirResource => ({
  resourceType: "AllergyIntolerance",
  id,
  clinicalStatus: {
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", code: "active" }]
  },
  ...(criticality === undefined ? {} : { criticality }),
  code: coded(SNOMED, ...code),
  patient: of(patient),
  ...(reaction === undefined ? {} : { reaction: [{ manifestation: [{ text: reaction }] }] }),
  ...(note === undefined ? {} : { note: [{ text: note }] })
})

const medication = (
  id: string,
  patient: string,
  [code, display]: readonly [code: string, display: string],
  dosage: string
): FhirResource => ({
  resourceType: "MedicationRequest",
  id,
  status: "active",
  intent: "order",
  medicationCodeableConcept: coded(RXNORM, code, display),
  subject: of(patient),
  authoredOn: "2025-03-13",
  requester: { reference: "Practitioner/practitioner-one" },
  dosageInstruction: [{ text: dosage }]
})

const visit = (id: string, patient: string, day: string, reason: string): FhirResource => ({
  resourceType: "Encounter",
  id,
  status: "finished",
  class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "AMB", display: "ambulatory" },
  reasonCode: [{ text: reason }],
  subject: of(patient),
  participant: [{ individual: { reference: "Practitioner/practitioner-one" } }],
  period: { start: `${day}T08:15:00Z`, end: `${day}T08:45:00Z` }
})

interface Result {
  readonly code: readonly [code: string, display: string]
  readonly value: number
  readonly unit: string
  readonly range: { readonly low?: number; readonly high?: number }
}

const result = (id: string, patient: string, day: string, { code, range, unit, value }: Result): FhirResource => ({
  resourceType: "Observation",
  id,
  status: "final",
  category: [{
    coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "laboratory" }]
  }],
  subject: of(patient),
  effectiveDateTime: `${day}T08:40:00Z`,
  code: coded(LOINC, ...code),
  valueQuantity: { value, unit, system: "http://unitsofmeasure.org", code: unit },
  referenceRange: [Object.fromEntries(Object.entries(range).map(([bound, limit]) => [bound, { value: limit, unit }]))]
})

const HBA1C = { code: ["4548-4", "Hemoglobin A1c"], unit: "%", range: { low: 4, high: 5.6 } } as const
const LDL = { code: ["18262-6", "LDL cholesterol"], unit: "mg/dL", range: { high: 100 } } as const
const POTASSIUM = { code: ["2823-3", "Potassium"], unit: "mmol/L", range: { low: 3.5, high: 5.1 } } as const

/** The patients of the vital signs have those in place of the few values of the sandbox. */
export const resources: ReadonlyArray<FhirResource> = [
  ...SandboxEhr.syntheticResources.filter(({ id }) => !/^vital-(?:alpha|beta)-/.test(id)),
  ...vitals,
  allergy("allergy-alpha", "patient-alpha", {
    code: ["91936005", "Allergy to penicillin"],
    criticality: "high",
    reaction: "Anaphylaxis",
    note: "Reaction to amoxicillin in 1994. Carries an adrenaline auto-injector."
  }),
  allergy("allergy-alpha-2", "patient-alpha", {
    code: ["300913006", "Allergy to shellfish"],
    criticality: "low",
    reaction: "Hives"
  }),
  allergy("allergy-beta", "patient-beta", {
    code: ["91930004", "Allergy to eggs"],
    criticality: "low",
    reaction: "Abdominal pain",
    note: "As a child. Tolerates baked egg today."
  }),
  allergy("allergy-gamma", "patient-gamma", { code: ["716186003", "No known allergy"] }),
  medication(
    "medication-alpha-2",
    "patient-alpha",
    ["745679", "Albuterol 0.09 mg/actuation metered dose inhaler"],
    "2 puffs every 4 to 6 hours as needed for wheezing"
  ),
  medication(
    "medication-beta-2",
    "patient-beta",
    ["617310", "Atorvastatin 20 mg oral tablet"],
    "1 tablet by mouth at bedtime"
  ),
  visit("encounter-alpha-3", "patient-alpha", "2026-09-16", "Blood pressure check"),
  visit("encounter-alpha-4", "patient-alpha", "2026-11-09", "Annual review, influenza vaccination"),
  visit("encounter-beta-2", "patient-beta", "2026-11-09", "Diabetes review, weight counselling"),
  visit("encounter-gamma-2", "patient-gamma", "2026-10-05", "Migraine, three attacks in a month"),
  result("potassium-alpha-1", "patient-alpha", "2026-11-09", { ...POTASSIUM, value: 4.2 }),
  result("ldl-alpha-1", "patient-alpha", "2026-11-09", { ...LDL, value: 96 }),
  result("hba1c-beta-1", "patient-beta", "2026-05-13", { ...HBA1C, value: 7.1 }),
  result("hba1c-beta-2", "patient-beta", "2026-11-09", { ...HBA1C, value: 7.6 }),
  result("ldl-beta-1", "patient-beta", "2026-11-09", { ...LDL, value: 128 })
]
