/** Vital signs as time series, by LOINC code. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Fhir from "./Fhir.js"

export interface Point {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly value: number
  /** Above or below the reference range. */
  readonly flag: Fhir.Flag | undefined
}

export interface Series {
  readonly label: string
  /** The reference range: of the latest observation, or of adults at rest. */
  readonly range: Fhir.Range | undefined
  /** By time. */
  readonly points: ReadonlyArray<Point>
}

/** What the axis shows at least, so that small changes look small: from one value to another, or a span. */
type Axis = { readonly from: number; readonly to: number } | { readonly span: number }

export interface Vital {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly axis: Axis
  readonly series: ReadonlyArray<Series>
}

interface VitalSign {
  readonly id: string
  readonly title: string
  readonly unit: string
  /** Unit codes (UCUM) that are this unit: a value in another is not mixed in. */
  readonly units: ReadonlyArray<string>
  readonly axis: Axis
  readonly series: ReadonlyArray<{
    readonly label: string
    readonly codes: ReadonlyArray<string>
    /** Of adults at rest. */
    readonly range?: Fhir.Range
  }>
}

const VITAL_SIGNS: ReadonlyArray<VitalSign> = [
  {
    id: "blood-pressure",
    title: "Blood pressure",
    unit: "mmHg",
    units: ["mm[Hg]", "mmHg"],
    axis: { from: 40, to: 180 },
    series: [
      { label: "Systolic", codes: ["8480-6"], range: { low: 90, high: 129 } },
      { label: "Diastolic", codes: ["8462-4"], range: { low: 60, high: 79 } }
    ]
  },
  {
    id: "heart-rate",
    title: "Heart rate",
    unit: "beats per minute",
    units: ["/min", "{beats}/min", "beats/minute"],
    axis: { from: 40, to: 120 },
    series: [{ label: "Heart rate", codes: ["8867-4"], range: { low: 60, high: 100 } }]
  },
  {
    id: "temperature",
    title: "Body temperature",
    unit: "°C",
    units: ["Cel", "°C"],
    axis: { from: 35, to: 40 },
    series: [{ label: "Temperature", codes: ["8310-5"], range: { low: 36.1, high: 37.5 } }]
  },
  {
    id: "weight",
    title: "Body weight",
    unit: "kg",
    units: ["kg"],
    axis: { span: 20 },
    series: [{ label: "Weight", codes: ["29463-7"] }]
  },
  {
    id: "respiratory-rate",
    title: "Respiratory rate",
    unit: "breaths per minute",
    units: ["/min", "{breaths}/min"],
    axis: { from: 0, to: 40 },
    series: [{ label: "Respiratory rate", codes: ["9279-1"], range: { low: 12, high: 20 } }]
  },
  {
    id: "oxygen-saturation",
    title: "Oxygen saturation",
    unit: "%",
    units: ["%"],
    axis: { from: 80, to: 100 },
    series: [{ label: "Saturation", codes: ["2708-6", "59408-5"], range: { low: 95, high: 100 } }]
  }
]

/** Observations with these statuses are not plotted. */
const INVALID_STATUSES = new Set(["entered-in-error", "cancelled"])

const measured = (observation: Fhir.Observation) => {
  const at = Option.getOrUndefined(DateTime.make(Fhir.dateOf(observation) ?? ""))
  if (at === undefined || INVALID_STATUSES.has(observation.status ?? "")) return []
  return [observation, ...(observation.component ?? [])].flatMap((measurement) => {
    const { code, valueQuantity } = measurement
    const loinc = Fhir.codeIn(Fhir.LOINC, code)
    const value = valueQuantity?.value
    return loinc === undefined || value === undefined || !Number.isFinite(value)
      ? []
      : [{
        at: DateTime.toEpochMillis(at),
        loinc,
        value,
        unit: valueQuantity?.code ?? valueQuantity?.unit,
        measurement
      }]
  })
}

/**
 * The vital signs that have values. An observation may have its own reference range; the ranges of adults are for
 * adults only.
 */
export const of = (
  observations: ReadonlyArray<Fhir.Observation>,
  { isAdult }: { readonly isAdult: boolean }
): ReadonlyArray<Vital> => {
  const all = observations.flatMap(measured).sort((a, b) => a.at - b.at)
  return VITAL_SIGNS.flatMap(({ series, units, ...vital }) => {
    const filled = series.map(({ codes, label, range }) => {
      const found = all.filter(({ loinc, unit }) =>
        codes.includes(loinc) && (unit === undefined || units.includes(unit))
      )
      const usual = isAdult ? range : undefined
      return {
        label,
        range: found.flatMap(({ measurement }) => Fhir.rangeOf(measurement) ?? []).at(-1) ?? usual,
        points: found.map(({ at, measurement, value }) => ({ at, value, flag: Fhir.flagOf(measurement, usual) }))
      }
    }).filter(({ points }) => points.length > 0)
    return filled.length === 0 ? [] : [{ ...vital, series: filled }]
  })
}

/** Whether an observation is in one of the curves. */
export const isPlotted = (observation: Fhir.Observation): boolean => of([observation], { isAdult: false }).length > 0
