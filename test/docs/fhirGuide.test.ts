/** The programs of `docs/fhir.md`, at the sandbox. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { FhirClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Capabilities from "../../examples/fhir/capabilities.js"
import * as Changes from "../../examples/fhir/changes.js"
import * as Errors from "../../examples/fhir/errors.js"
import * as Everything from "../../examples/fhir/everything.js"
import * as Pages from "../../examples/fhir/pages.js"
import * as Rate from "../../examples/fhir/rate.js"
import * as Read from "../../examples/fhir/read.js"
import * as References from "../../examples/fhir/references.js"
import * as Search from "../../examples/fhir/search.js"
import * as Total from "../../examples/fhir/total.js"
import * as Transaction from "../../examples/fhir/transaction.js"
import * as Version from "../../examples/fhir/version.js"
import * as Write from "../../examples/fhir/write.js"
import { backend } from "../fhir/fixtures.js"

const urls = Effect.flatMap(
  SandboxEhr.SandboxEhr,
  (ehr) => Effect.map(ehr.requests, (requests) => requests.map(({ url }) => decodeURIComponent(url)))
)

describe("docs/fhir.md", () => {
  it.effect("reads with the types of FHIR and with a schema", () =>
    Effect.gen(function*() {
      const { birthDate, family } = yield* Read.program
      assert.isNotEmpty(family)
      assert.match(birthDate, /^\d{4}-\d\d-\d\d$/)
    }).pipe(Effect.provide(backend())))

  it.effect("searches with the builder", () =>
    Effect.gen(function*() {
      const found = yield* Search.program
      assert.isAtLeast(Chunk.size(found), 1)
      assert.isTrue(Chunk.every(found, (line) => /^2024-\d\d-\d\d.*: \d+/.test(line)))
      assert.isTrue((yield* urls).some((url) => url.includes("date=lt2025-01-01&date=ge2024-01-01&_sort=-date")))
    }).pipe(Effect.provide(backend())))

  it.effect("counts without resources", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Total.program, 3)
    }).pipe(Effect.provide(backend())))

  it.effect("resumes a search from a stored position", () =>
    Effect.gen(function*() {
      let position = Option.getOrUndefined(yield* Pages.program())
      let pages = 1
      while (position !== undefined) {
        position = Option.getOrUndefined(yield* Pages.program(position))
        pages += 1
      }
      const fhir = (yield* FhirClient.FhirClient).forBackend()
      assert.strictEqual(pages, Math.ceil((yield* fhir.searchTotal("Observation")) / 2))
    }).pipe(Effect.provide(backend())))

  it.effect("resolves the references of a page by one search for each type", () =>
    Effect.gen(function*() {
      const found = new Set(yield* References.program)
      assert.isTrue(found.has("Practitioner/practitioner-one"))
      assert.isTrue(found.has("Patient/patient-gamma"))
      const searched = (yield* urls).filter((url) => url.includes("_id="))
      assert.deepStrictEqual(searched.map((url) => /(\w+)\?_id/.exec(url)?.[1]), ["Patient"])
    }).pipe(Effect.provide(backend())))

  it.effect("writes and deletes", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Write.program, { active: true, family: "New" })
    }).pipe(Effect.provide(backend())))

  it.effect("sends a transaction with references between its entries", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Transaction.program, ["Patient", "Observation"])
    }).pipe(Effect.provide(backend())))

  it.effect("streams $everything", () =>
    Effect.gen(function*() {
      assert.isAtLeast(yield* Everything.program, 1)
    }).pipe(Effect.provide(backend())))

  it.effect("recognises the current version", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Changes.program, { isUnchanged: true, versions: 1 })
    }).pipe(Effect.provide(backend())))

  it.effect("decides by the reason of an error", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Errors.program("patient-beta"), "found patient-beta")
      assert.strictEqual(yield* Errors.program("absent"), "the patient does not exist")
    }).pipe(Effect.provide(backend())))

  it.effect("limits the rate of requests", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 30 }, () => "patient-alpha")
      const found = yield* Rate.program(ids).pipe(Effect.provide(Rate.FhirLive))
      assert.strictEqual(found.length, 30)
    }).pipe(Effect.provide(backend())))

  it.effect("reads the capabilities of the server", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* Capabilities.program("https://ehr.sandbox.test/fhir"))
    }).pipe(Effect.provide(Capabilities.FhirLive), Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("searches resources of another version of FHIR", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Version.program, 0)
    }).pipe(Effect.provide(backend())))
})
