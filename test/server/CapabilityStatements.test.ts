import { assert, describe, it } from "@effect/vitest"
import { CapabilityStatements } from "effect-safire"

const capabilities = (resource: Readonly<Record<string, unknown>>, rest: Readonly<Record<string, unknown>> = {}) =>
  CapabilityStatements.fromResource({
    resourceType: "CapabilityStatement",
    rest: [
      { mode: "client", resource: [{ type: "Group" }] },
      {
        mode: "server",
        ...rest,
        resource: [{}, { type: "Patient", interaction: [{ code: "search-type" }], ...resource }]
      }
    ]
  })

const unlistedParams = (
  resource: Readonly<Record<string, unknown>>,
  ...params: ReadonlyArray<readonly [string, string]>
) => CapabilityStatements.unlisted(capabilities(resource), { code: "search-type", resourceType: "Patient", params })

describe("CapabilityStatements.unlisted", () => {
  it("an include is listed by its path, with or without a target type, or by `*`", () => {
    const include = (...values: ReadonlyArray<string>) =>
      unlistedParams(
        { searchInclude: ["Patient:organization", "Patient:link:Patient"] },
        ...values.map((value) => ["_include", value] as const)
      )
    assert.deepStrictEqual(include("Patient:organization", "Patient:organization:Organization"), [])
    assert.deepStrictEqual(include("Patient:link:Patient"), [])
    assert.deepStrictEqual(include("Patient:general-practitioner:Practitioner"), [
      "_include=Patient:general-practitioner"
    ])
    assert.deepStrictEqual(unlistedParams({ searchInclude: ["*"] }, ["_include:iterate", "Patient:link"]), [])
    assert.deepStrictEqual(unlistedParams({}, ["_include", "Patient:link"], ["_revinclude", "A:b"]), [])
    const reverse = { searchInclude: ["Patient:link"], searchRevInclude: ["Observation:subject"] }
    assert.deepStrictEqual(unlistedParams(reverse, ["_revinclude", "Observation:subject"]), [])
    assert.deepStrictEqual(unlistedParams(reverse, ["_revinclude", "Patient:link"]), ["_revinclude=Patient:link"])
  })

  it("a parameter is listed by its name without modifiers and chains", () => {
    const resource = { searchParam: [{ name: "name" }, { name: "organization" }, { name: 1 }] }
    assert.deepStrictEqual(
      unlistedParams(resource, ["name:exact", "x"], ["organization.name", "x"], ["_id", "1"], ["birthdate", "2000"]),
      ["birthdate"]
    )
    assert.deepStrictEqual(unlistedParams({}, ["birthdate", "2000"]), [])
  })

  it("an operation is listed by the resource or by the server, and has no `$` there", () => {
    const self = capabilities({ operation: [{ name: "everything" }] }, { operation: [{ name: "export" }] })
    const unlisted = (code: string, resourceType?: string) =>
      CapabilityStatements.unlisted(self, { code, resourceType })
    assert.deepStrictEqual(unlisted("$everything", "Patient"), [])
    assert.deepStrictEqual(unlisted("$export", "Patient"), [])
    assert.deepStrictEqual(unlisted("$export"), [])
    assert.deepStrictEqual(unlisted("$everything"), ["$everything"])
    assert.deepStrictEqual(unlisted("$match", "Patient"), ["$match"])
  })

  it("a conditional interaction is unlisted only if the server declares that it does not support it", () => {
    const self = capabilities({ interaction: [{ code: "create" }, { code: "read" }], conditionalCreate: false })
    const unlisted = (code: string, isConditional?: boolean) =>
      CapabilityStatements.unlisted(self, { code, resourceType: "Patient", isConditional })
    assert.deepStrictEqual(unlisted("create", true), ["conditional create"])
    assert.deepStrictEqual(unlisted("create"), [])
    assert.deepStrictEqual(unlisted("read", true), [])
    assert.deepStrictEqual(unlisted("delete"), ["delete"])
  })

  it("only the server's part of a statement counts", () => {
    assert.deepStrictEqual(CapabilityStatements.unlisted(capabilities({}), { code: "read", resourceType: "Group" }), [
      "Group"
    ])
  })
})
