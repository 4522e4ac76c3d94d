import { assert, describe, it } from "@effect/vitest"
import type { JsonObject } from "../../src/base/JsonReader.js"
import { carriedOver, fromMembers, LaunchContext } from "../../src/token/LaunchContext.js"

const read = (members: JsonObject) => {
  const problems = new Map<string, string | undefined>()
  const context = fromMembers(members, (code, detail) => {
    if (code === "LaunchContextLegacy") problems.set(detail, "legacy")
    if (code === "TokenMemberMalformed") problems.set(detail, detail.split(" is not ")[0])
  })
  return { context, problems: [...problems.values()] }
}
const items = (fhirContext: unknown) => {
  const { context, problems } = read({ fhirContext })
  return { found: JSON.parse(JSON.stringify(context.fhirContext ?? null)) as unknown, problems }
}

describe("LaunchContext, its deviations", () => {
  const warned = (members: Readonly<Record<string, unknown>>) => {
    const warnings: Array<string> = []
    const context = fromMembers(members, (code, detail, requirement) => {
      warnings.push(`${code} ${requirement ?? ""}: ${detail}`)
    })
    return { context, warnings }
  }
  const items = (...fhirContext: ReadonlyArray<unknown>) => warned({ fhirContext }).warnings

  it("[SMART-170] [SMART-171] a reference in place of an id is a warning with the requirement", () => {
    const { context, warnings } = warned({ patient: "Patient/1", encounter: "Encounter/2" })
    assert.deepStrictEqual([context.patient, context.encounter], ["1", "2"])
    assert.deepStrictEqual(warnings, [
      "LaunchContextMalformed 170: patient is a reference; it was read as the id in it",
      "LaunchContextMalformed 171: encounter is a reference; it was read as the id in it"
    ])
    assert.deepStrictEqual(warned({ patient: "Encounter/1", fhirContext: null }).warnings, [])
  })

  it("roles and references of fhirContext follow their form", () => {
    const role = "LaunchContextMalformed : fhirContext has a role that is neither launch nor an absolute URI"
    const absolute =
      "LaunchContextMalformed : fhirContext has an absolute reference; it should be relative to the FHIR base"
    const patient =
      "LaunchContextMalformed : fhirContext has a Patient or an Encounter without a role; it belongs in patient or encounter"
    const good = ["Observation/1", "Observation/a:b", "x/Patient/1"].map((reference) => ({ reference }))
    assert.deepStrictEqual(items(...good, { reference: "Patient/1", role: "urn:x" }, { canonical: "https://x/q" }), [])
    for (const bad of ["role", "see urn:x", "urn:", "1urn:x"]) {
      assert.deepStrictEqual(items({ reference: "Observation/1", role: bad }), [role], bad)
    }
    assert.deepStrictEqual(items({ reference: "https://ehr.test/Patient/1" }), [absolute])
    for (const reference of ["Patient/1", "Encounter/1"]) assert.deepStrictEqual(items({ reference }), [patient])
  })

  it("members that are absent from a refresh, or undefined, keep their values", () => {
    const previous = new LaunchContext({ patient: "1", tenant: "a" })
    const next = fromMembers({ tenant: "b" }, () => undefined)
    assert.deepInclude(carriedOver(previous, next), { patient: "1", tenant: "b" })
  })
})

describe("LaunchContext", () => {
  it("[SMART-170] [SMART-171] [SMART-173] [SMART-174] [SMART-175] [SMART-176] reads the members of a response", () => {
    const { context, problems } = read({
      patient: "123",
      encounter: "456",
      need_patient_banner: false,
      intent: "client-ui-name",
      smart_style_url: "https://ehr.example/style.json",
      tenant: "t1"
    })
    assert.deepStrictEqual(problems, [])
    assert.deepStrictEqual(JSON.parse(JSON.stringify(context)), {
      patient: "123",
      encounter: "456",
      needPatientBanner: false,
      intent: "client-ui-name",
      smartStyleUrl: "https://ehr.example/style.json",
      tenant: "t1"
    })
  })

  it("[SMART-178] the specification's sample: a study beside patient and encounter", () => {
    assert.deepStrictEqual(items([{ reference: "ImagingStudy/123" }]), {
      found: [{ reference: "ImagingStudy/123", role: "launch" }],
      problems: []
    })
  })

  it("[SMART-187] distinguishes the medication lists of the specification's sample by their role", () => {
    const lists = [
      { reference: "List/123", role: "https://example.org/med-list-at-home" },
      { reference: "List/456", role: "https://example.org/med-list-at-hospital" }
    ]
    assert.deepStrictEqual(items(lists), { found: lists, problems: [] })
  })

  it("[SMART-179] [SMART-180] the specification's sample: a questionnaire by canonical, a task by identifier", () => {
    const canonical = { canonical: "https://example.org/Questionnaire/123/|v2023-05-03" }
    const identifier = { type: "ServiceRequest", identifier: { system: "https://example.org", value: "1" } }
    assert.deepStrictEqual(items([canonical, identifier]), {
      found: [{ ...canonical, role: "launch" }, { ...identifier, role: "launch" }],
      problems: []
    })
  })

  it("[SMART-191] an absent role is launch; an empty role counts as absent, with a warning", () => {
    assert.deepStrictEqual(items([{ reference: "X/1", role: "" }]), {
      found: [{ reference: "X/1", role: "launch" }],
      problems: ["fhirContext.role"]
    })
  })

  it("[SMART-177] strings, as SMART 2.0 had it, are references", () => {
    assert.deepStrictEqual(items(["ImagingStudy/1"]), {
      found: [{ reference: "ImagingStudy/1", role: "launch" }],
      problems: ["legacy"]
    })
  })

  it.each<[unknown]>([[{}], ["x"], [1], [true]])("[SMART-177] %j is a malformed fhirContext", (value) => {
    assert.deepStrictEqual(items(value), { found: null, problems: ["fhirContext"] })
  })

  it.each<[unknown]>([[{}], [null], [1], [[]], [""], [{ role: "launch" }], [{ reference: 1 }], [{ identifier: "x" }]])(
    "[SMART-178] the parser drops the item %j and keeps its neighbours",
    (item) => {
      const { found, problems } = items([item, { reference: "A/1" }])
      assert.deepStrictEqual(found, [{ reference: "A/1", role: "launch" }])
      assert.isAbove(problems.length, 0)
    }
  )

  it("[SMART-82] authorization_details of SMART, others are passed over", () => {
    const { context, problems } = read({
      authorization_details: [
        {
          type: "smart_on_fhir",
          locations: ["https://r2.example/fhir"],
          fhirVersions: ["1.0.2"],
          scope: "patient/*.rs",
          patient: "2",
          fhirContext: [{ reference: "X/1" }]
        },
        { type: "payment" },
        { type: "smart_on_fhir", locations: "https://evil.example", fhirVersions: [1] }
      ]
    })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(context.authorizationDetails)), [
      {
        locations: ["https://r2.example/fhir"],
        fhirVersions: ["1.0.2"],
        scope: "patient/*.rs",
        patient: "2",
        fhirContext: [{ reference: "X/1", role: "launch" }]
      },
      { locations: [], fhirVersions: [] }
    ])
    assert.deepStrictEqual(problems, ["authorization_details.locations", "authorization_details.fhirVersions"])
  })

  it("a refresh keeps the members that its response does not have", () => {
    const previous = new LaunchContext({ patient: "1", intent: "x", needPatientBanner: true })
    const next = new LaunchContext({ encounter: "2", needPatientBanner: false })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(carriedOver(previous, next))), {
      patient: "1",
      encounter: "2",
      needPatientBanner: false,
      intent: "x"
    })
  })
})
