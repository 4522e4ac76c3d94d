/** Vital signs as time series, by LOINC code. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Fhir from "./Fhir.js"

export interface Point {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly value: number
}

export interface Series {
  readonly label: string
  /** By time. */
  readonly points: ReadonlyArray<Point>
}

export interface Vital {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly series: ReadonlyArray<Series>
}

interface VitalSign {
  readonly id: string
  readonly title: string
  readonly unit: string
  /** Unit codes (UCUM) that are this unit: a value in another is not mixed in. */
  readonly units: ReadonlyArray<string>
  readonly series: ReadonlyArray<{ readonly label: string; readonly codes: ReadonlyArray<string> }>
}

const VITAL_SIGNS: ReadonlyArray<VitalSign> = [
  {
    id: "blood-pressure",
    title: "Blood pressure",
    unit: "mmHg",
    units: ["mm[Hg]", "mmHg"],
    series: [{ label: "Systolic", codes: ["8480-6"] }, { label: "Diastolic", codes: ["8462-4"] }]
  },
  {
    id: "heart-rate",
    title: "Heart rate",
    unit: "beats per minute",
    units: ["/min", "{beats}/min", "beats/minute"],
    series: [{ label: "Heart rate", codes: ["8867-4"] }]
  },
  {
    id: "temperature",
    title: "Body temperature",
    unit: "°C",
    units: ["Cel", "°C"],
    series: [{ label: "Temperature", codes: ["8310-5"] }]
  },
  {
    id: "weight",
    title: "Body weight",
    unit: "kg",
    units: ["kg"],
    series: [{ label: "Weight", codes: ["29463-7"] }]
  },
  {
    id: "respiratory-rate",
    title: "Respiratory rate",
    unit: "breaths per minute",
    units: ["/min", "{breaths}/min"],
    series: [{ label: "Respiratory rate", codes: ["9279-1"] }]
  },
  {
    id: "oxygen-saturation",
    title: "Oxygen saturation",
    unit: "%",
    units: ["%"],
    series: [{ label: "Saturation", codes: ["2708-6", "59408-5"] }]
  }
]

/** Observations with these statuses are not plotted. */
const INVALID_STATUSES = new Set(["entered-in-error", "cancelled"])

const measured = (observation: Fhir.Observation) => {
  const at = Option.getOrUndefined(DateTime.make(Fhir.dateOf(observation) ?? ""))
  if (at === undefined || INVALID_STATUSES.has(observation.status ?? "")) return []
  return [observation, ...(observation.component ?? [])].flatMap(({ code, valueQuantity }) => {
    const loinc = Fhir.codeIn(Fhir.LOINC, code)
    const value = valueQuantity?.value
    return loinc === undefined || value === undefined || !Number.isFinite(value)
      ? []
      : [{ at: DateTime.toEpochMillis(at), loinc, value, unit: valueQuantity?.code ?? valueQuantity?.unit }]
  })
}

/** Those vital signs that there are any values of. */
export const of = (observations: ReadonlyArray<Fhir.Observation>): ReadonlyArray<Vital> => {
  const all = observations.flatMap(measured)
  return VITAL_SIGNS.flatMap(({ series, units, ...vital }) => {
    const filled = series.map(({ codes, label }) => ({
      label,
      points: all
        .filter(({ loinc, unit }) => codes.includes(loinc) && (unit === undefined || units.includes(unit)))
        .map(({ at, value }) => ({ at, value }))
        .sort((a, b) => a.at - b.at)
    })).filter(({ points }) => points.length > 0)
    return filled.length === 0 ? [] : [{ ...vital, series: filled }]
  })
}

/** Whether an observation is in one of the curves. */
export const isPlotted = (observation: Fhir.Observation): boolean => of([observation]).length > 0
