import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Reference from "../../src/fhir/Reference.js"
import * as Http from "../support/http.js"
import { base, written } from "./fixtures.js"

/** Returns the resource of the URL; ids that begin with `no` do not exist. */
const chart = () =>
  Http.fake(({ url }) => {
    const [type, id = ""] = new URL(url).pathname.split("/").slice(2)
    return id.startsWith("no") ? Http.json({}, { status: 404 }) : Http.json({ resourceType: type, id })
  })

const within = {
  resourceType: "Observation",
  id: "o",
  contained: [{ resourceType: "Patient", id: "p", generalPractitioner: [{ reference: "Practitioner/1" }] }],
  subject: { reference: "#p" },
  performer: [{ reference: "Practitioner/1" }, { reference: `${base}/Practitioner/2` }]
}

describe("Reference", () => {
  it("collects every reference once", () =>
    assert.deepStrictEqual(Reference.collect(within), ["Practitioner/1", "#p", `${base}/Practitioner/2`]))

  it.effect("contained, relative, absolute and versioned references are read", () =>
    Effect.gen(function*() {
      const http = chart()
      const fhir = yield* written(http)
      assert.strictEqual((yield* fhir.readReference("#p", { within }))["id"], "p")
      assert.strictEqual((yield* fhir.readReference("#", { within }))["id"], "o")
      yield* fhir.readReference({ reference: "Patient/1" })
      yield* fhir.readReference(`${base}/Patient/2/_history/3`)
      assert.deepStrictEqual(http.seen.map(({ url }) => url), [`${base}/Patient/1`, `${base}/Patient/2/_history/3`])
    }))

  it.effect("[SMART-97] [SMART-98] what leads nowhere, or elsewhere, is sent nowhere", () =>
    Effect.gen(function*() {
      const http = chart()
      const fhir = yield* written(http)
      for (
        const [reference, reason] of [
          ["#q", "InvalidReference"],
          ["urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "InvalidReference"],
          ["", "InvalidReference"],
          ["Patient", "InvalidReference"],
          ["Patient/..", "InvalidReference"],
          ["https://evil.example/fhir/Patient/1", "ForeignLink"],
          ["//evil.example/fhir/Patient/1", "ForeignLink"],
          ["https://ehr.example@evil.example/Patient/1", "ForeignLink"],
          ["../fhir-evil/Patient/1", "ForeignLink"],
          ["..%2f..%2f/Patient/1", "ForeignLink"]
        ] as const
      ) {
        assert.strictEqual((yield* Effect.flip(fhir.readReference(reference, { within }))).reason, reason, reference)
      }
      assert.isTrue(http.seen.every(({ headers }) => headers["authorization"] === undefined))
    }))

  it.effect("40,000 references to as many contained resources are found in time", () =>
    Effect.gen(function*() {
      const fhir = yield* written(chart())
      const ids = Array.from({ length: 40_000 }, (_, index) => `p${index}`)
      const patient = { resourceType: "Group", contained: ids.map((id) => ({ resourceType: "Patient", id })) }
      const found = yield* fhir.resolver().resolveAll(ids.map((id) => `#${id}`), { within: patient })
      assert.strictEqual(found.size, 40_000)
      assert.isTrue(
        Array.from(found).every(([reference, resource]) =>
          Either.isRight(resource) && `#${String(resource.right["id"])}` === reference
        )
      )
    }), 20_000)

  it.effect("each is read at most once, few at a time, and one that is not there costs no other", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const http = Http.fake(({ url }) =>
        Effect.gen(function*() {
          most = Math.max(most, ++running)
          yield* Effect.yieldNow()
          running -= 1
          const id = url.split("/").at(-1) ?? ""
          return id === "no" ? Http.json({}, { status: 404 }) : Http.json({ resourceType: "Patient", id })
        })
      )
      const fhir = yield* written(http)
      const resolver = fhir.resolver({ concurrency: 3 })
      const references = [
        ...Array.from({ length: 20 }, (_, index) => `Patient/${index % 10}`),
        `${base}/Patient/1`,
        "Patient/no"
      ]
      const found = yield* resolver.resolveAll(references)
      assert.strictEqual(found.size, 12)
      assert.isTrue(Either.isLeft(found.get("Patient/no") ?? Either.right(undefined)))
      yield* resolver.resolveAll(references)
      assert.strictEqual(http.seen.length, 11)
      assert.isAtMost(most, 3)
    }))
})
