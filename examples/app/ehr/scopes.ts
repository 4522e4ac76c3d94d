/**
 * Scopes in plain words, for the person who is asked: those of SMART App Launch v1 and v2.
 */
import { Scopes } from "effect-safire"

/** What a scope means to the person who is asked for it. */
export interface Explanation {
  readonly title: string
  readonly detail: string
  /** Whether it lets the app change the record, or go on when the person has left: worth a second look. */
  readonly careful: string | undefined
}

/** Who is asked: it is `your` record, or `the patient's`. */
export type Reader = "clinician" | "patient"

const words: Readonly<Record<string, readonly [title: string, detail: string]>> = {
  openid: ["Know that it is you", "The app is told that you have signed in here, without your password."],
  fhirUser: ["See your own entry", "Your name and whether you are a clinician or a patient here."],
  profile: ["See your own entry", "Your name and whether you are a clinician or a patient here."],
  launch: ["Open with what is on the screen", "The app is told which patient and visit it was opened for."],
  "launch/patient": ["Be told which patient it is about", "Without it, the app has to ask for the patient itself."],
  "launch/encounter": ["Be told which visit it is about", "The latest visit of the patient."],
  offline_access: [
    "Keep access when you have left",
    "The app may renew its access without asking you, until you take it back under “Apps with access”."
  ],
  online_access: ["Keep access while you are signed in", "The app may renew its access as long as you work here."]
}

const resourceTypes: Readonly<Record<string, readonly [plural: string, detail: string]>> = {
  "*": ["whole record", "Everything that is stored, whatever it is."],
  AllergyIntolerance: ["Allergies and intolerances", "What the patient must not be given or be near to."],
  Basic: ["App notes", "What apps store here for themselves."],
  CarePlan: ["Care plans", "What is planned, and by whom."],
  Condition: ["Conditions", "Diagnoses and problems."],
  DiagnosticReport: ["Reports", "Findings of laboratories and of imaging."],
  DocumentReference: ["Documents", "Letters and other documents."],
  Encounter: ["Visits", "When the patient was here, and whom they saw."],
  Immunization: ["Immunizations", "Vaccinations that were given."],
  Medication: ["Medicines", "The medicines themselves."],
  MedicationRequest: ["Prescriptions", "Medicines that were prescribed."],
  Observation: ["Observations", "Measurements, vital signs and laboratory results."],
  Patient: ["Personal details", "Name, date of birth, gender and identifiers."],
  Practitioner: ["Clinicians", "The names of those who work here."],
  Procedure: ["Procedures", "What was done: operations and treatments."]
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

const whose = (context: Scopes.Context, type: string, plural: string, reader: Reader): string => {
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
    [`${resourceType} records`, "A kind of record that has no plain name here."]
  const actions = verbs.filter(([letter]) => permissions.includes(letter)).map(([, verb]) => verb)
  const constraints = Scopes.constraintsOf(scope).map(([name, value]) => `${name} is “${value}”`)
  const changes = verbs.filter(([letter]) => "cud".includes(letter) && permissions.includes(letter)).map(([, verb]) =>
    verb
  )
  return {
    title: capitalize(`${enumerate(actions)} ${whose(context, resourceType, plural, reader)}`),
    detail: constraints.length === 0 ? detail : `${detail} Only where ${enumerate(constraints)}.`,
    careful: changes.length === 0 ? undefined : "Changes the record"
  }
}

/** A scope in plain words. One that is not understood is said to be so, never left out. */
export const explain = (scope: string, reader: Reader): Explanation => {
  const [parsed] = Scopes.parse(scope)
  if (parsed?._tag === "Resource") return explainResource(parsed, reader)
  const known = Object.hasOwn(words, scope) ? words[scope] : undefined
  return known === undefined
    ? {
      title: "Something that has no plain name here",
      detail: "Ask the makers of the app what it is for.",
      careful: undefined
    }
    : { title: known[0], detail: known[1], careful: scope === "offline_access" ? "Lasts" : undefined }
}
