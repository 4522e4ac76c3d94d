/** What the demo app makes of FHIR: names, ages, curves. */
import { assert, describe, it } from "@effect/vitest"
import * as Fhir from "../../examples/app/app/chart/Fhir.js"
import { domain, plot, ticks } from "../../examples/app/app/chart/Plot.js"
import * as Vitals from "../../examples/app/app/chart/Vitals.js"
import { duration } from "../../examples/app/app/format.js"

const measured = (code: string, value: number, unit: string, more: object = {}): unknown => ({
  resourceType: "Observation",
  status: "final",
  effectiveDateTime: "2024-01-10T09:00:00Z",
  code: { coding: [{ system: "http://loinc.org", code }] },
  valueQuantity: { value, code: unit },
  ...more
})

const vitalsOf = (...resources: ReadonlyArray<unknown>) =>
  Vitals.of(Fhir.readAll(Fhir.Observation)(resources).read, { isAdult: true })

describe("the chart of the demo app", () => {
  it("omits and counts unreadable resources, and shows the others", () => {
    const { read, unreadable } = Fhir.readAll(Fhir.Patient)([
      { name: [{ family: "Example", given: ["Alpha"] }], gender: null },
      { name: "Alpha Example" },
      null,
      "Patient"
    ])
    assert.deepStrictEqual(read.map(Fhir.nameOf), ["Alpha Example"])
    assert.strictEqual(unreadable, 3)
  })

  it("shows the official name of a patient, or says that the name is missing", () => {
    assert.strictEqual(
      Fhir.nameOf({
        name: [{ text: "Al" }, { use: "official", prefix: ["Dr."], given: ["Alpha"], family: "Example" }]
      }),
      "Dr. Alpha Example"
    )
    assert.strictEqual(Fhir.nameOf({}), "no name")
  })

  it.each([
    ["2000-05-20", "2024-05-19", 23],
    ["2000-05-20", "2024-05-20", 24],
    ["2000-05", "2024-05-20", undefined],
    ["2030-01-01", "2024-05-20", undefined],
    [undefined, "2024-05-20", undefined]
  ])("a patient born on %s is on %s %s years old", (birthDate, today, age) => {
    assert.strictEqual(Fhir.ageOf({ birthDate }, today), age)
  })

  it("draws a panel's components as two curves, by time", () => {
    const panel = (date: string, systolic: number, diastolic: number) => ({
      resourceType: "Observation",
      effectiveDateTime: date,
      code: { coding: [{ system: "http://loinc.org", code: "85354-9" }] },
      component: [measured("8480-6", systolic, "mm[Hg]"), measured("8462-4", diastolic, "mm[Hg]")]
    })
    const [pressure, ...others] = vitalsOf(panel("2024-03-01", 130, 80), panel("2024-01-01", 150, 95))
    assert.lengthOf(others, 0)
    assert.deepStrictEqual(
      pressure?.series.map(({ label, points }) => [label, points.map(({ value }) => value)]),
      [["Systolic", [150, 130]], ["Diastolic", [95, 80]]]
    )
  })

  it("does not mix units, and omits values that were withdrawn or have no date", () => {
    assert.deepStrictEqual(
      vitalsOf(
        measured("29463-7", 150, "[lb_av]"),
        measured("29463-7", 70, "kg", { status: "entered-in-error" }),
        measured("29463-7", 70, "kg", { effectiveDateTime: "some day" }),
        measured("29463-7", 70, "kg", { code: { coding: [{ system: "urn:other", code: "29463-7" }] } })
      ),
      []
    )
  })

  it("marks and names values out of the reference range: the observation's own, else that of adults", () => {
    const own = { referenceRange: [{ high: { value: 110 } }] }
    const interpreted = {
      interpretation: [{
        coding: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", code: "LL" }]
      }]
    }
    const observations = [
      measured("8867-4", 104, "/min"),
      measured("8867-4", 55, "/min", { effectiveDateTime: "2024-02-10" }),
      measured("8867-4", 80, "/min", { effectiveDateTime: "2024-03-10", ...interpreted }),
      measured("8867-4", 105, "/min", { effectiveDateTime: "2024-04-10", ...own })
    ]
    const [adult] = vitalsOf(...observations)
    assert.isDefined(adult)
    assert.deepStrictEqual(adult.series[0]?.points.map(({ flag }) => flag), ["high", "low", "low", undefined])
    assert.deepInclude(adult.series[0]?.range, { high: 110 })
    const shown = plot(adult).toString()
    assert.include(shown, "<span class=\"nowrap\">104</span> <span class=\"badge warning\">▲ high</span>")
    assert.include(shown, "Reference range up to 110 beats per minute")
    assert.include(shown, "reference range up to 110, 3 out of range.")

    const [child] = Vitals.of(Fhir.readAll(Fhir.Observation)(observations).read, { isAdult: false })
    assert.deepStrictEqual(child?.series[0]?.points.map(({ flag }) => flag), [undefined, undefined, "low", undefined])
  })

  it("shows a blood pressure as systolic/diastolic, with the name of the value out of range", () => {
    const panel = {
      resourceType: "Observation",
      effectiveDateTime: "2024-03-01",
      code: { coding: [{ system: "http://loinc.org", code: "85354-9" }] },
      component: [measured("8480-6", 124, "mm[Hg]"), measured("8462-4", 92, "mm[Hg]")]
    }
    const [pressure] = vitalsOf(panel)
    assert.isDefined(pressure)
    const shown = plot(pressure).toString()
    assert.include(
      shown,
      "<strong><span class=\"nowrap\">124/92</span> <span class=\"badge warning\">Diastolic ▲ high</span></strong>"
    )
    assert.include(shown, "Reference range systolic 90 to 129, diastolic 60 to 79 mmHg")
  })

  it("has an axis with a minimum span, so that small changes look small", () => {
    const spanOf = (code: string, unit: string, ...values: ReadonlyArray<number>) => {
      const [vital] = vitalsOf(...values.map((value) => measured(code, value, unit)))
      assert.isDefined(vital)
      return domain(vital)
    }
    assert.deepStrictEqual(spanOf("8310-5", "Cel", 36.6, 36.7), [35, 40])
    assert.deepStrictEqual(spanOf("8310-5", "Cel", 33.9, 41.2), [33.9, 41.2])
    assert.deepStrictEqual(spanOf("8867-4", "/min", 71, 72), [40, 120])
    assert.deepStrictEqual(spanOf("29463-7", "kg", 68, 70), [59, 79])
    assert.deepStrictEqual(spanOf("29463-7", "kg", 3.4), [0, 13.4])
  })

  it.each([
    [36.5, 38.3, [36.5, 37, 37.5, 38, 38.5]],
    [71, 88, [70, 75, 80, 85, 90]],
    [0, 0, [0, 0.05]],
    [68.5, 68.5, [68, 70]]
  ])("writes round numbers beside %d to %d", (min, max, expected) => {
    const found = ticks(min, max)
    assert.isAtMost(found[0] ?? NaN, min)
    assert.isAtLeast(found.at(-1) ?? NaN, max)
    if (min !== max) assert.deepStrictEqual(found, expected)
    assert.isAtLeast(found.length, 2)
  })

  it("draws one or many values, with a text alternative", () => {
    const [weight] = vitalsOf(measured("29463-7", 70, "kg"))
    assert.isDefined(weight)
    const svg = plot(weight).toString()
    assert.notInclude(svg, "NaN")
    assert.include(svg, "<title id=\"plot-weight-title\">Body weight in kg, 2024-01-10 to 2024-01-10</title>")
    assert.include(svg, "Weight: 1 value, from 70 to 70 kg, the latest 70 on 2024-01-10.")
    assert.include(
      svg,
      "<th scope=\"row\">2024-01-10</th><td data-label=\"Weight\"><span class=\"nowrap\">70</span></td>"
    )
  })

  it.each([
    [0, "0 seconds"],
    [61_000, "1 minute 1 second"],
    [3_600_000, "1 hour"],
    [90_000_000, "1 day 1 hour"],
    [-5, "0 seconds"]
  ])("prints %d ms as %s", (millis, words) => {
    assert.strictEqual(duration(millis), words)
  })
})
