/**
 * Resources that are written into a call: the compiler accepts them as it accepts those of a variable (`npm run
 * types`).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { FhirClient } from "effect-safire"
import { Reference } from "effect-safire"
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

// @ts-expect-error A resource has a type.
const without: FhirClient.AnyResource = { active: true }

describe("a resource written into a call", () => {
  it.effect("is sent as it stands there", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({ resourceType: "Bundle", entry: [{ response: { status: "201" } }] }))
      const fhir = yield* written(http)
      yield* fhir.batch([request])
      assert.include(http.seen[0]?.body, "\"name\":[{\"family\":\"x\"}]")
      assert.strictEqual(calls(fhir).length, 13)
      assert.isUndefined(Reference.contained({ resourceType: "Patient", active: true }, "#x"))
      assert.isDefined(without)
    }))
})
