import { assert, describe, it } from "@effect/vitest"
import { assertLeft, assertRight } from "@effect/vitest/utils"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../../src/base/FhirBaseUrl.js"

const host = FastCheck.stringMatching(/^[a-z]{1,10}\.[a-z]{2,5}$/)
const path = FastCheck.array(FastCheck.stringMatching(/^[A-Za-z0-9_~-]{1,8}$/), { maxLength: 4 })
const port = FastCheck.constantFrom("", ":443", ":8443")
const slash = FastCheck.boolean()

describe("FhirBaseUrl", () => {
  it.prop(
    "[SMART-226] `append` keeps the base path and puts one slash before the appended path",
    [host, port, path, slash, slash],
    ([host, port, path, baseSlash, pathSlash]) => {
      const bare = [`https://${host}${port}`, ...path].join("/")
      const base = Either.getOrThrow(FhirBaseUrl.parse(baseSlash ? `${bare}/` : bare))
      assert.strictEqual(FhirBaseUrl.append(base, `${pathSlash ? "/" : ""}a/b`), `${bare}/a/b`)
    }
  )

  it.prop(
    "[SMART-41] `parse` keeps a base URL unchanged, byte for byte",
    [host, path, slash],
    ([host, path, trailing]) => {
      const written = `HTTPS://${host.toUpperCase()}:443/${path.join("/")}${trailing ? "/" : ""}`
      assertRight(FhirBaseUrl.parse(written), written)
    }
  )

  it.prop(
    "`parse` returns a base URL or a problem for any string, and does not throw",
    [FastCheck.string()],
    ([input]) => {
      const parsed = FhirBaseUrl.parse(input)
      if (Either.isRight(parsed)) assert.isString(FhirBaseUrl.key(parsed.right))
      else assert.isString(parsed.left)
    }
  )

  it.each([
    ["", "NotAbsolute"],
    ["ehr.example.org/fhir", "NotAbsolute"],
    ["/fhir", "NotAbsolute"],
    ["//ehr.example.org/fhir", "NotAbsolute"],
    ["https://", "NotAbsolute"],
    ["ftp://ehr.example.org/fhir", "NotHttp"],
    ["javascript:alert(1)", "NotHttp"],
    ["file:///etc/passwd", "NotHttp"],
    ["https://user:pass@ehr.example.org/fhir", "HasCredentials"],
    ["https://user@ehr.example.org/fhir", "HasCredentials"],
    ["https://ehr.example.org/fhir?tenant=1", "HasQuery"],
    ["https://ehr.example.org/fhir?", "HasQuery"],
    ["https://ehr.example.org/fhir#frag", "HasFragment"],
    ["https://ehr.example.org/fhir#", "HasFragment"],
    [" https://ehr.example.org/fhir", "NotAbsolute"],
    ["https://ehr.example.org/fhir ", "NotAbsolute"],
    ["https://ehr.example.org/fhir\n", "NotAbsolute"],
    ["https://ehr.example.org/fh\tir", "NotAbsolute"],
    ["https://ehr.example.org/fhir\u007f", "NotAbsolute"],
    ["https://ehr.example.org/fhir\u0000", "NotAbsolute"]
  ])("refuses %j: %s", (input, problem) => assertLeft(FhirBaseUrl.parse(input), problem))

  it.each([
    ["https://ehr.example.org/fhir", "https://ehr.example.org/fhir/", true],
    ["https://EHR.example.org/fhir", "https://ehr.example.org:443/fhir", true],
    ["https://ehr.example.org", "https://ehr.example.org/", true],
    ["https://ehr.example.org/fhir", "https://ehr.example.org/FHIR", false],
    ["https://ehr.example.org/fhir", "https://ehr.example.org/fhir-evil", false],
    ["https://ehr.example.org/fhir", "https://ehr.example.org/fhir//", false],
    ["https://ehr.example.org/fhir", "https://ehr.example.org:8443/fhir", false],
    ["https://ehr.example.org/fhir", "http://ehr.example.org/fhir", false],
    ["https://ehr.example.org/fhir", "https://ehr.example.org./fhir", false]
  ])("the keys of %s and %s: equal %s", (a, b, equal) => {
    const [left, right] = [Either.getOrThrow(FhirBaseUrl.parse(a)), Either.getOrThrow(FhirBaseUrl.parse(b))]
    assert.strictEqual(FhirBaseUrl.key(left) === FhirBaseUrl.key(right), equal)
    assert.strictEqual(FhirBaseUrl.areSame(a, b), equal)
    assert.isTrue(FhirBaseUrl.areSame(a, a))
  })

  it.each(["", "ehr", "https://user@ehr.example.org/fhir", "https://ehr.example.org/fhir?a"])(
    "`areSame` is false for %j, which is not a FHIR base URL, also if both are equal",
    (input) => {
      assert.isFalse(FhirBaseUrl.areSame(input, input))
      assert.isFalse(FhirBaseUrl.areSame(input, "https://ehr.example.org/fhir"))
      assert.isFalse(FhirBaseUrl.areSame("https://ehr.example.org/fhir", input))
    }
  )

  it("the schema accepts what `parse` accepts", () => {
    const is = Schema.is(FhirBaseUrl.FhirBaseUrl)
    for (
      const [input, expected] of [["https://ehr.example.org/fhir", true], [
        "https://ehr.example.org/fhir?",
        false
      ]] as const
    ) {
      assert.strictEqual(is(input), expected)
    }
  })
})
