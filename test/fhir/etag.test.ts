import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { etagOf, versionIdOf } from "../../src/fhir/internal/stored.js"

/** The form of an ETag, as in RFC 9110, section 8.8.3. */
const ETAG = /^(?:W\/)?"([^]*)"$/

const parts = FastCheck.array(FastCheck.constantFrom("W/", "w/", "\"", "W", "/", "1", " ", "\n", "é"), { maxLength: 6 })

describe("the version of a resource", () => {
  it("is the text between the quotes of its ETag, weak or strong, of any text", () => {
    FastCheck.assert(FastCheck.property(parts.map((some) => some.join("")), (etag) => {
      assert.strictEqual(versionIdOf(etag, undefined), ETAG.exec(etag)?.[1])
    }))
  })

  it("is that of the resource where the ETag has none, and makes an ETag", () => {
    const resource = { resourceType: "Patient", meta: { versionId: "7" } }
    for (const etag of [undefined, "", "7", "\"", "W/", "W/\"", "w/\"1\""]) {
      assert.strictEqual(versionIdOf(etag, resource), "7", etag)
    }
    assert.strictEqual(versionIdOf("\"\"", resource), "")
    assert.strictEqual(versionIdOf("W/\"8\"", resource), "8")
    assert.strictEqual(etagOf("7"), "W/\"7\"")
    assert.isUndefined(etagOf(undefined))
  })
})
