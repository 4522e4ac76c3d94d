/**
 * Two years of synthetic vital signs of two patients, for the charts: blood pressure, heart rate, weight and body
 * temperature on twelve days, as FHIR R4 vital signs with LOINC and UCUM codes.
 */
import type { SandboxEhr } from "effect-safire/testing"

/** The days of measurement: every other month. */
const days: ReadonlyArray<string> = [
  "2025-01-16",
  "2025-03-13",
  "2025-05-22",
  "2025-07-17",
  "2025-09-11",
  "2025-11-20",
  "2026-01-15",
  "2026-03-18",
  "2026-05-13",
  "2026-07-15",
  "2026-09-16",
  "2026-11-09"
]

/** One patient's values, day by day. */
interface Series {
  readonly patient: string
  readonly systolic: ReadonlyArray<number>
  readonly diastolic: ReadonlyArray<number>
  readonly heartRate: ReadonlyArray<number>
  readonly weight: ReadonlyArray<number>
  readonly temperature: ReadonlyArray<number>
}

/** Blood pressure that treatment brings down, and weight that is lost slowly, with a winter cold in between. */
const alpha: Series = {
  patient: "patient-alpha",
  systolic: [158, 154, 151, 146, 147, 141, 139, 136, 131, 133, 129, 127],
  diastolic: [98, 97, 95, 92, 93, 90, 88, 87, 84, 85, 82, 81],
  heartRate: [84, 82, 83, 79, 80, 88, 78, 76, 74, 75, 72, 71],
  weight: [74.2, 73.8, 73.1, 72.6, 72.4, 71.9, 71.2, 70.4, 69.8, 69.5, 68.9, 68.3],
  temperature: [36.6, 36.7, 36.5, 36.8, 36.6, 38.3, 36.7, 36.6, 36.5, 36.7, 36.6, 36.6]
}

/** Weight that rises, blood pressure that follows it. */
const beta: Series = {
  patient: "patient-beta",
  systolic: [118, 119, 121, 120, 123, 124, 126, 125, 128, 130, 129, 132],
  diastolic: [76, 76, 78, 77, 79, 80, 80, 81, 82, 83, 83, 85],
  heartRate: [62, 64, 63, 65, 64, 66, 67, 66, 68, 69, 70, 71],
  weight: [86.4, 86.9, 87.5, 88.2, 88.4, 89.3, 90.1, 90.6, 91.4, 91.9, 92.6, 93.3],
  temperature: [36.4, 36.5, 36.5, 36.6, 36.4, 36.5, 36.7, 36.5, 36.6, 36.4, 36.5, 36.6]
}

const loinc = (code: string, display: string) => ({
  coding: [{ system: "http://loinc.org", code, display }],
  text: display
})

const quantity = (value: number, unit: string, code: string) => ({
  valueQuantity: { value, unit, system: "http://unitsofmeasure.org", code }
})

/** A measurement: its code, and its value of a day, if there is one. */
const measures: ReadonlyArray<
  readonly [name: string, measured: (series: Series, day: number) => Readonly<Record<string, unknown>> | undefined]
> = [
  ["bp", ({ diastolic, systolic }, day) => {
    const [high, low] = [systolic[day], diastolic[day]]
    return high === undefined || low === undefined ? undefined : {
      code: loinc("85354-9", "Blood pressure"),
      component: [
        { code: loinc("8480-6", "Systolic blood pressure"), ...quantity(high, "mmHg", "mm[Hg]") },
        { code: loinc("8462-4", "Diastolic blood pressure"), ...quantity(low, "mmHg", "mm[Hg]") }
      ]
    }
  }],
  ["hr", ({ heartRate }, day) => {
    const value = heartRate[day]
    return value === undefined
      ? undefined
      : { code: loinc("8867-4", "Heart rate"), ...quantity(value, "beats/minute", "/min") }
  }],
  ["weight", ({ weight }, day) => {
    const value = weight[day]
    return value === undefined ? undefined : { code: loinc("29463-7", "Body weight"), ...quantity(value, "kg", "kg") }
  }],
  ["temp", ({ temperature }, day) => {
    const value = temperature[day]
    return value === undefined
      ? undefined
      : { code: loinc("8310-5", "Body temperature"), ...quantity(value, "°C", "Cel") }
  }]
]

const observations = (series: Series): ReadonlyArray<SandboxEhr.FhirResource> =>
  days.flatMap((day, index) =>
    measures.flatMap(([name, measured]) => {
      const values = measured(series, index)
      return values === undefined ? [] : [{
        resourceType: "Observation",
        id: `${name}-${series.patient}-${day}`,
        status: "final",
        category: [{
          coding: [{
            system: "http://terminology.hl7.org/CodeSystem/observation-category",
            code: "vital-signs",
            display: "Vital signs"
          }]
        }],
        subject: { reference: `Patient/${series.patient}` },
        effectiveDateTime: `${day}T08:30:00Z`,
        performer: [{ reference: "Practitioner/practitioner-one" }],
        ...values
      }]
    })
  )

/** The vital signs. */
export const vitals: ReadonlyArray<SandboxEhr.FhirResource> = [alpha, beta].flatMap(observations)
