import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import { FhirSearch } from "effect-safire"

const loinc = "http://loinc.org"
const ucum = "http://unitsofmeasure.org"

/** Each query as it is sent, before URL encoding. */
const QUERIES: ReadonlyArray<readonly [title: string, query: FhirSearch.Query, expected: string]> = [
  ["a string", FhirSearch.string("family", "eve"), "family=eve"],
  ["a string with a modifier", FhirSearch.string("family", "Eve", { modifier: "exact" }), "family:exact=Eve"],
  ["strings of which one must match", FhirSearch.string("given", ["Ada", "Bob"]), "given=Ada,Bob"],
  [
    "a string with every character that has a meaning",
    FhirSearch.string("family", ["a\\b", "c,d", "e$f", "g|h"]),
    "family=a\\\\b,c\\,d,e\\$f,g\\|h"
  ],
  ["a code in any system", FhirSearch.token("code", "8867-4"), "code=8867-4"],
  ["a code in a system", FhirSearch.token("code", { system: loinc, code: "8867-4" }), `code=${loinc}|8867-4`],
  ["a code in no system", FhirSearch.token("code", { system: "", code: "x|y" }), "code=|x\\|y"],
  ["a system alone", FhirSearch.token("code", { system: loinc }), `code=${loinc}|`],
  ["an identifier", FhirSearch.token("identifier", { system: "urn:a", value: "1,2" }), "identifier=urn:a|1\\,2"],
  ["a boolean", FhirSearch.token("active", true), "active=true"],
  ["codes except one", FhirSearch.token("gender", "male", { modifier: "not" }), "gender:not=male"],
  [
    "an identifier of a type",
    FhirSearch.ofType("identifier", { system: "http://t", code: "MR", value: "446053" }),
    "identifier:of-type=http://t|MR|446053"
  ],
  ["a reference", FhirSearch.reference("subject", "Patient/1"), "subject=Patient/1"],
  ["a Reference element", FhirSearch.reference("subject", { reference: "Patient/1" }), "subject=Patient/1"],
  ["a reference to a type", FhirSearch.reference("subject", ["1", "2"], { type: "Patient" }), "subject:Patient=1,2"],
  [
    "a logical reference",
    FhirSearch.reference("subject", { identifier: { system: "http://s", value: "9" } }),
    "subject:identifier=http://s|9"
  ],
  [
    "a Reference element with both, by its reference",
    FhirSearch.reference("subject", { reference: "Patient/1", identifier: { system: "http://s", value: "9" } }),
    "subject=Patient/1"
  ],
  [
    "a Reference element whose identifier is absent",
    FhirSearch.reference("subject", { reference: "Patient/1", identifier: undefined }),
    "subject=Patient/1"
  ],
  ["a Reference element without both, as no value", FhirSearch.reference("subject", {}), "subject:identifier="],
  ["a date", FhirSearch.date("birthdate", "1970-03"), "birthdate=1970-03"],
  ["a period", FhirSearch.date("date", { ge: "2024", lt: "2025" }), "date=lt2025&date=ge2024"],
  [
    "an instant",
    FhirSearch.date("_lastUpdated", { gt: DateTime.unsafeMake("2024-05-01T10:00:00Z") }),
    "_lastUpdated=gt2024-05-01T10:00:00.000Z"
  ],
  ["an instant without a prefix", FhirSearch.date("date", DateTime.unsafeMake(0)), "date=1970-01-01T00:00:00.000Z"],
  ["numbers of which one must match", FhirSearch.number("probability", { gt: [0.8, 0.9] }), "probability=gt0.8,gt0.9"],
  ["a number with its precision", FhirSearch.number("probability", { gt: "0.80" }), "probability=gt0.80"],
  ["a quantity without a unit", FhirSearch.quantity("value-quantity", 5.4), "value-quantity=5.4"],
  [
    "a quantity with a unit",
    FhirSearch.quantity("value-quantity", { le: { value: "5.40", system: ucum, code: "mg" } }),
    `value-quantity=le5.40|${ucum}|mg`
  ],
  ["a quantity in any system", FhirSearch.quantity("q", { value: 5, code: "mg" }), "q=5||mg"],
  [
    "a URI and what is below it",
    FhirSearch.uri("url", "http://x/fhir", { modifier: "below" }),
    "url:below=http://x/fhir"
  ],
  [
    "a composite value with a quantity in text",
    FhirSearch.composite("code-value-quantity", ["8480-6", { value: "5.40", system: ucum, code: "mg" }]),
    `code-value-quantity=8480-6$5.40|${ucum}|mg`
  ],
  [
    "composite values",
    FhirSearch.composite("code-value-quantity", [{ system: loinc, code: "a$b" }, { gt: 5 }], [
      "c",
      { lt: { value: 2, code: "mg" } }
    ]),
    `code-value-quantity=${loinc}|a\\$b$gt5,c$lt2||mg`
  ],
  [
    "composite parts of every kind",
    FhirSearch.composite("x", [true, 7, { ap: "2024" }, { value: 3, code: "d" }, { system: "s", value: "v" }]),
    "x=true$7$ap2024$3||d$s|v"
  ],
  ["a missing element", FhirSearch.missing("gender", true), "gender:missing=true"],
  [
    "a chain",
    FhirSearch.chain("subject:Patient", FhirSearch.chain("organization", { name: "x", "address:exact": "y" })),
    "subject:Patient.organization.name=x&subject:Patient.organization.address:exact=y"
  ],
  [
    "reverse chains",
    FhirSearch.has("Observation", "patient", FhirSearch.has("AuditEvent", "entity", FhirSearch.token("agent", "a"))),
    "_has:Observation:patient:_has:AuditEvent:entity:agent=a"
  ],
  [
    "included resources",
    FhirSearch.all(
      FhirSearch.include("Observation:subject:Patient"),
      FhirSearch.include("Patient:general-practitioner", { iterate: true }),
      FhirSearch.revInclude("Provenance:target"),
      FhirSearch.revInclude("Provenance:target", { iterate: true })
    ),
    "_include=Observation:subject:Patient&_include:iterate=Patient:general-practitioner" +
    "&_revinclude=Provenance:target&_revinclude:iterate=Provenance:target"
  ],
  [
    "the form of the result",
    FhirSearch.all(
      FhirSearch.sort("-date", "code"),
      FhirSearch.count(20),
      FhirSearch.summary("data"),
      FhirSearch.elements("id", "code"),
      FhirSearch.total("accurate")
    ),
    "_sort=-date,code&_count=20&_summary=data&_elements=id,code&_total=accurate"
  ],
  [
    "plain records beside the builder",
    FhirSearch.all({ status: "final", _count: 5, absent: undefined, date: ["ge2020", "lt2021"] }, [["a", true]]),
    "status=final&_count=5&date=ge2020&date=lt2021&a=true"
  ]
]

describe("FhirSearch", () => {
  for (const [title, query, expected] of QUERIES) {
    it(`writes ${title}`, () =>
      assert.strictEqual(query.map(([name, value]) => `${name}=${value}`).join("&"), expected))
  }

  it("escapes a text for a plain record", () => assert.strictEqual(FhirSearch.escape("\\,$|"), "\\\\\\,\\$\\|"))
})
