// A program with many calls of a FHIR client, for the cost of its types.
const TYPES = [
  "Patient",
  "Practitioner",
  "Encounter",
  "Condition",
  "Observation",
  "Procedure",
  "MedicationRequest",
  "Immunization",
  "DocumentReference",
  "Task"
]

const call = (index) => {
  const type = TYPES[index % TYPES.length]
  return [
    `Effect.map(fhir.read("${type}", "${index}"), ({ id }) => id)`,
    `Stream.map(fhir.search("${type}", { _id: "${index}" }), ({ id }) => id)`,
    `fhir.create({ resourceType: "Patient", id: "${index}", name: [{ family: "x" }] })`,
    `fhir.transaction([
      { method: "POST", url: "Patient", resource: { resourceType: "Patient", active: true } },
      { method: "GET", url: "${type}/${index}" }
    ])`,
    `fhir.operation("validate", {
      on: "${type}",
      input: { resourceType: "Parameters", parameter: [{ name: "x", valueString: "${index}" }] }
    })`
  ][Math.floor(index / TYPES.length) % 5]
}

/** A module with `count` calls. */
export const fhirCalls = (count) =>
  `import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FhirClient } from "effect-safire"

export const calls = (fhir: FhirClient.Authorized) => [
  ${Array.from({ length: count }, (_, index) => call(index)).join(",\n  ")}
]
`
