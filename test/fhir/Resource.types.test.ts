/**
 * Resources that are written into a call: the compiler accepts them as it accepts those of a variable (`npm run
 * types`).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FhirClient } from "effect-safire"
import { Reference } from "effect-safire"
import type * as FhirR4 from "fhir/r4.js"
import type * as FhirR5 from "fhir/r5.js"
import * as Http from "../support/http.js"
import { written } from "./fixtures.js"

/** As `@types/fhir` describes resources: an interface without an index signature. */
interface Patient {
  resourceType: "Patient"
  id?: string | undefined
  active?: boolean | undefined
  name?: Array<{ family?: string | undefined }> | undefined
}

const patient: Patient = { resourceType: "Patient", id: "1", active: true }

/** Nothing is sent before it is run: that it compiles is what counts. */
const calls = (fhir: FhirClient.Authorized) => [
  fhir.create({ resourceType: "Patient", active: true, name: [{ family: "x" }] }),
  fhir.create(patient),
  fhir.update({ resourceType: "Patient", id: "1", active: true }),
  fhir.update(patient),
  fhir.patch("Patient", "1", { resourceType: "Parameters", parameter: [{ name: "operation" }] }),
  fhir.patch("Patient", "1", [{ op: "replace", path: "/active", value: true }]),
  fhir.operation("$match", {
    input: { resourceType: "Parameters", parameter: [{ name: "resource", resource: patient }] }
  }),
  fhir.operation("$validate", { input: patient }),
  fhir.readReference("#x", { within: { resourceType: "Patient", contained: [{ resourceType: "Patient", id: "x" }] } }),
  fhir.readReference("#x", { within: patient }),
  fhir.batch([{ method: "POST", url: "Patient", resource: { resourceType: "Patient", active: true } }]),
  fhir.batch([{ method: "POST", url: "Patient", resource: patient }]),
  fhir.transaction([{ method: "POST", url: "Patient", resource: { resourceType: "Patient", name: [{ family: "x" }] } }])
]

const request = {
  method: "POST",
  url: "Patient",
  resource: { resourceType: "Patient", active: true, name: [{ family: "x" }] }
} satisfies FhirClient.BundleRequest

/** The compiler checks resources by their types, also those inside of other resources. */
const invalid = (fhir: FhirClient.Authorized, r5: FhirClient.Authorized<never, never, "R5">) => [
  // @ts-expect-error A Patient does not have this member.
  fhir.create({ resourceType: "Patient", nam: [{ family: "x" }] }),
  // @ts-expect-error An Observation has a status and a code.
  fhir.create({ resourceType: "Observation" }),
  // @ts-expect-error A HumanName does not have this member.
  fhir.update({ resourceType: "Patient", id: "1", name: [{ famly: "x" }] }),
  // @ts-expect-error A Practitioner does not have this member.
  fhir.create({ resourceType: "Patient", contained: [{ resourceType: "Practitioner", id: "x", activ: true }] }),
  // @ts-expect-error A parameter does not have this member.
  fhir.operation("$match", { input: { resourceType: "Parameters", parameter: [{ name: "x", valueStrin: "y" }] } }),
  // @ts-expect-error A Patient does not have this member.
  fhir.transaction([{ method: "POST", url: "Patient", resource: { resourceType: "Patient", activ: true } }]),
  // @ts-expect-error An `add` has a value.
  fhir.patch("Patient", "1", [{ op: "add", path: "/active" }]),
  // @ts-expect-error A `move` has a source.
  fhir.patch("Patient", "1", [{ op: "move", path: "/active" }]),
  // @ts-expect-error The class of an Encounter is a list in R5.
  r5.create({ resourceType: "Encounter", status: "planned", class: { code: "AMB" } })
]

/** The results have the types of the calls; a schema has precedence. */
const results = (fhir: FhirClient.Authorized, r5: FhirClient.Authorized<never, never, "R5">) => ({
  patient: fhir.read("Patient", "1") satisfies Effect.Effect<FhirR4.Patient, unknown>,
  patientR5: r5.read("Patient", "1") satisfies Effect.Effect<FhirR5.Patient, unknown>,
  decoded: fhir.read("Patient", "1", { schema: Schema.Struct({ id: Schema.String }) }) satisfies Effect.Effect<
    { readonly id: string },
    unknown
  >,
  created: fhir.create(decodedPatient) satisfies Effect.Effect<
    FhirClient.Stored<FhirR4.Patient | undefined>,
    unknown
  >,
  // @ts-expect-error A Patient is not a Practitioner.
  other: fhir.read("Patient", "1") satisfies Effect.Effect<FhirR4.Practitioner, unknown>
})

/** As a schema decodes it: with readonly members and arrays. */
const decodedPatient = {
  resourceType: "Patient",
  name: [{ family: "x", given: ["y"] }]
} as const

// @ts-expect-error A resource has a type.
const without: FhirClient.AnyResource = { active: true }

describe("the types of resources", () => {
  it.effect("a resource in a call is sent unchanged", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({ resourceType: "Bundle", entry: [{ response: { status: "201" } }] }))
      const fhir = yield* written(http)
      yield* fhir.batch([request])
      assert.include(http.requests[0]?.body, "\"name\":[{\"family\":\"x\"}]")
      assert.strictEqual(calls(fhir).length, 13)
      assert.isUndefined(Reference.contained({ resourceType: "Patient", active: true }, "#x"))
      assert.isDefined(without)
      assert.isFunction(invalid)
      assert.isFunction(results)
    }))
})
