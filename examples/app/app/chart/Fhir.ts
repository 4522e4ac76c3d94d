/**
 * The FHIR R4 elements of the chart. Each resource is decoded separately; malformed resources are counted and not
 * shown.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"

const optional = Schema.optionalWith
const text = optional(Schema.String, { nullable: true })
const texts = optional(Schema.Array(Schema.String), { nullable: true })

const Coding = Schema.Struct({ system: text, code: text, display: text })

const Concept = Schema.Struct({ text, coding: optional(Schema.Array(Coding), { nullable: true }) })
export type Concept = typeof Concept.Type

const concept = optional(Concept, { nullable: true })

const Quantity = Schema.Struct({ value: optional(Schema.Number, { nullable: true }), unit: text, code: text })

const HumanName = Schema.Struct({ use: text, text, family: text, given: texts, prefix: texts, suffix: texts })

export const Patient = Schema.Struct({
  name: optional(Schema.Array(HumanName), { nullable: true }),
  gender: text,
  birthDate: text,
  deceasedBoolean: optional(Schema.Boolean, { nullable: true }),
  deceasedDateTime: text,
  identifier: optional(Schema.Array(Schema.Struct({ system: text, value: text })), { nullable: true })
})
export type Patient = typeof Patient.Type

export const Condition = Schema.Struct({
  code: concept,
  clinicalStatus: concept,
  onsetDateTime: text,
  recordedDate: text
})
export type Condition = typeof Condition.Type

export const MedicationRequest = Schema.Struct({
  medicationCodeableConcept: concept,
  medicationReference: optional(Schema.Struct({ display: text }), { nullable: true }),
  status: text,
  authoredOn: text,
  dosageInstruction: optional(Schema.Array(Schema.Struct({ text })), { nullable: true })
})
export type MedicationRequest = typeof MedicationRequest.Type

const concepts = optional(Schema.Array(Concept), { nullable: true })

export const AllergyIntolerance = Schema.Struct({
  code: concept,
  clinicalStatus: concept,
  criticality: text,
  reaction: optional(Schema.Array(Schema.Struct({ manifestation: concepts })), { nullable: true }),
  note: optional(Schema.Array(Schema.Struct({ text })), { nullable: true })
})
export type AllergyIntolerance = typeof AllergyIntolerance.Type

const valued = {
  code: concept,
  valueQuantity: optional(Quantity, { nullable: true }),
  valueCodeableConcept: concept,
  valueString: text,
  interpretation: concepts,
  referenceRange: optional(
    Schema.Array(
      Schema.Struct({
        low: optional(Quantity, { nullable: true }),
        high: optional(Quantity, { nullable: true })
      })
    ),
    { nullable: true }
  )
}

export const Observation = Schema.Struct({
  ...valued,
  effectiveDateTime: text,
  effectivePeriod: optional(Schema.Struct({ start: text }), { nullable: true }),
  status: text,
  category: concepts,
  component: optional(Schema.Array(Schema.Struct(valued)), { nullable: true })
})
export type Observation = typeof Observation.Type

/** Those that can be read, and how many cannot. */
export const readAll = <A, I>(schema: Schema.Schema<A, I>) => (resources: ReadonlyArray<unknown>) => {
  const decode = Schema.decodeUnknownEither(schema)
  const read = resources.flatMap((resource) => {
    const result = decode(resource)
    return Either.isRight(result) ? [result.right] : []
  })
  return { read, unreadable: resources.length - read.length }
}

export const conceptText = (concept: Concept | undefined): string | undefined =>
  concept?.text ?? concept?.coding?.find(({ display }) => display !== undefined)?.display ??
    concept?.coding?.find(({ code }) => code !== undefined)?.code

/** The code in a system, such as LOINC. */
export const codeIn = (system: string, concept: Concept | undefined): string | undefined =>
  concept?.coding?.find((coding) => coding.system === system)?.code

export const LOINC = "http://loinc.org"

export const nameOf = ({ name }: Patient): string => {
  const best = name?.find(({ use }) => use === "official") ?? name?.[0]
  const parts = [...(best?.prefix ?? []), ...(best?.given ?? []), best?.family, ...(best?.suffix ?? [])]
  return best?.text ?? (parts.filter((part) => part !== undefined && part !== "").join(" ") || "no name")
}

/** In whole years, of a birth date that is complete. */
export const ageOf = ({ birthDate }: Patient, today: string): number | undefined => {
  const born = /^(\d{4})-(\d{2}-\d{2})$/.exec(birthDate ?? "")
  const now = /^(\d{4})-(\d{2}-\d{2})/.exec(today)
  if (born === null || now === null) return undefined
  const years = Number(now[1]) - Number(born[1]) - (String(now[2]) < String(born[2]) ? 1 : 0)
  return years >= 0 && years < 150 ? years : undefined
}

export interface Range {
  readonly low?: number | undefined
  readonly high?: number | undefined
}

export type Flag = "high" | "low"

type Measurement = Pick<
  Observation,
  "valueQuantity" | "valueCodeableConcept" | "valueString" | "interpretation" | "referenceRange"
>

export const valueText = ({ valueCodeableConcept, valueQuantity, valueString }: Measurement): string | undefined =>
  valueQuantity?.value !== undefined
    ? `${valueQuantity.value} ${valueQuantity.unit ?? valueQuantity.code ?? ""}`.trim()
    : conceptText(valueCodeableConcept) ?? valueString

/** The reference range in the observation. */
export const rangeOf = ({ referenceRange }: Measurement): Range | undefined => {
  const [low, high] = [referenceRange?.[0]?.low?.value, referenceRange?.[0]?.high?.value]
  return low === undefined && high === undefined ? undefined : { low, high }
}

export const rangeText = ({ high, low }: Range): string =>
  low === undefined ? `up to ${high}` : high === undefined ? `from ${low}` : `${low} to ${high}`

const INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

/** By the interpretation of the laboratory, the range in the observation, or the usual range. */
export const flagOf = (measurement: Measurement, usual?: Range): Flag | undefined => {
  const codes = measurement.interpretation?.flatMap((one) => codeIn(INTERPRETATION, one) ?? []) ?? []
  if (codes.some((code) => code.startsWith("H"))) return "high"
  if (codes.some((code) => code.startsWith("L"))) return "low"
  if (codes.includes("N")) return undefined
  const { high, low } = rangeOf(measurement) ?? usual ?? {}
  const value = measurement.valueQuantity?.value
  if (value === undefined) return undefined
  return high !== undefined && value > high ? "high" : low !== undefined && value < low ? "low" : undefined
}

export const dateOf = ({ effectiveDateTime, effectivePeriod }: Observation): string | undefined =>
  effectiveDateTime ?? effectivePeriod?.start
