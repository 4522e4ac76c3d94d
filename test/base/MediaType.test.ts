import { assert, describe, it } from "@effect/vitest"
import * as MediaType from "../../src/base/MediaType.js"

describe("MediaType", () => {
  it.each([
    ["application/json", "application/json"],
    ["Application/FHIR+json; charset=utf-8", "Application/FHIR+json"],
    ["text/html;charset=utf-8", "text/html"],
    ["application/vnd.example.v2-1_0+json", "application/vnd.example.v2-1_0+json"],
    [`${"a".repeat(60)}/${"b".repeat(61)}`, `${"a".repeat(60)}/${"b".repeat(60)}`],
    [`${"a".repeat(61)}/b`, undefined],
    ["json", undefined],
    ["/json", undefined],
    ["text/", undefined],
    [" text/html", undefined],
    ["", undefined],
    [undefined, undefined]
  ])(
    "`of` reads %j as %j",
    (header, expected) => assert.strictEqual(MediaType.of({ "content-type": header }), expected)
  )

  it.each([
    ["application/json", true],
    ["APPLICATION/JSON", true],
    ["application/fhir+json", true],
    ["application/jwk-set+json", true],
    ["text/json", false],
    ["application/jsonp", false],
    ["application/fhir+xml", false],
    ["application/+json", false],
    ["application/fhirjson", false],
    ["application/a/b+json", false],
    ["x-application/json", false],
    [undefined, false]
  ])("`isJson` of %j is %j", (type, expected) => assert.strictEqual(MediaType.isJson(type), expected))
})
