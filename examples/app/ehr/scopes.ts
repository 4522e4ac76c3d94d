/**
 * Explanations of SMART v1 and v2 scopes for the user who decides.
 */
import { Scopes } from "effect-safire"

/** The meaning of a scope for the user. */
export interface Explanation {
  readonly title: string
  readonly detail: string
  /** Whether it lets the app change the record, or go on when the person has left: worth a second layout. */
  readonly caution: string | undefined
}

/** The user who decides: the text says `your` record or `the patient's`. */
export type Reader = "clinician" | "patient"

const words: Readonly<Record<string, readonly [title: string, detail: string]>> = {
  openid: ["Know who you are", "The app learns that you signed in here. It does not get your password."],
  fhirUser: ["See your user entry", "Your name and whether you are a clinician or a patient here."],
  profile: ["See your user entry", "Your name and whether you are a clinician or a patient here."],
  launch: ["Open with the current patient", "The app learns for which patient and visit it was opened."],
  "launch/patient": ["Know the patient", "The app learns which patient you chose."],
  "launch/encounter": ["Know the visit", "The latest visit of the patient."],
  offline_access: [
    "Keep access after you leave",
    "The app can renew its access without asking you, until you revoke it under “Apps with access”."
  ],
  online_access: ["Keep access while you are signed in", "The app can renew its access while you are signed in."]
}

const resourceTypes: Readonly<Record<string, readonly [plural: string, detail: string]>> = {
  "*": ["whole record", "All stored data."],
  AllergyIntolerance: ["Allergies and intolerances", "Substances the patient must avoid."],
  Basic: ["App notes", "Data that apps store here."],
  CarePlan: ["Care plans", "Planned care and the people responsible."],
  Condition: ["Conditions", "Diagnoses and problems."],
  DiagnosticReport: ["Reports", "Findings of laboratories and of imaging."],
  DocumentReference: ["Documents", "Letters and other documents."],
  Encounter: ["Visits", "Dates and clinicians of visits."],
  Immunization: ["Immunizations", "Vaccinations that were given."],
  Medication: ["Medicines", "The medicines themselves."],
  MedicationRequest: ["Prescriptions", "Medicines that were prescribed."],
  Observation: ["Observations", "Measurements, vital signs and laboratory results."],
  Patient: ["Personal details", "Name, date of birth, gender and identifiers."],
  Practitioner: ["Clinicians", "The names of those who work here."],
  Procedure: ["Procedures", "Operations and treatments."]
}

const verbs: ReadonlyArray<readonly [letter: string, verb: string]> = [
  ["r", "read"],
  ["s", "search"],
  ["c", "create"],
  ["u", "change"],
  ["d", "delete"]
]

/** `a, b and c` */
export const enumerate = (parts: ReadonlyArray<string>): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}`

const capitalize = (sentence: string): string => sentence.charAt(0).toUpperCase() + sentence.slice(1)

const recordsOf = (context: Scopes.Context, type: string, plural: string, reader: Reader): string => {
  const owner = reader === "patient" ? "your" : "the patient's"
  switch (context) {
    case "patient":
      return `${owner} ${plural}`
    case "user":
      return type === "*" ? "every record that you may see" : `all ${plural} that you may see`
    case "system":
      return type === "*" ? "every record" : `all ${plural}, of every patient`
  }
}

const explainResource = (scope: Scopes.Resource, reader: Reader): Explanation => {
  const { context, permissions, resourceType } = scope
  const [plural, detail] = resourceTypes[resourceType] ??
    [`${resourceType} records`, "A type of record without an explanation."]
  const actions = verbs.filter(([letter]) => permissions.includes(letter)).map(([, verb]) => verb)
  const constraints = Scopes.constraintsOf(scope).map(([name, value]) => `${name} is “${value}”`)
  const changes = verbs.filter(([letter]) => "cud".includes(letter) && permissions.includes(letter)).map(([, verb]) =>
    verb
  )
  return {
    title: capitalize(`${enumerate(actions)} ${recordsOf(context, resourceType, plural, reader)}`),
    detail: constraints.length === 0 ? detail : `${detail} Only where ${enumerate(constraints)}.`,
    caution: changes.length === 0 ? undefined : "Changes the record"
  }
}

/** The explanation of a scope; an unknown scope gets a general text. */
export const explain = (scope: string, reader: Reader): Explanation => {
  const [parsed] = Scopes.parse(scope)
  if (parsed?._tag === "Resource") return explainResource(parsed, reader)
  const known = Object.hasOwn(words, scope) ? words[scope] : undefined
  return known === undefined
    ? {
      title: "An unknown permission",
      detail: "Ask the makers of the app about its purpose.",
      caution: undefined
    }
    : { title: known[0], detail: known[1], caution: scope === "offline_access" ? "Lasts" : undefined }
}
