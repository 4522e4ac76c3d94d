/** Searches and references at a FHIR server of other authors (Medplum) with 10,000 resources, over sockets. */
import { assert, describe, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { FhirSearch, Reference } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { counts, type MedplumFhirServer, medplumFhirServer } from "../support/medplumFhirServer.js"
import { over } from "./fixtures.js"

class Medplum extends Context.Tag("Medplum")<Medplum, MedplumFhirServer>() {}

const client = Effect.flatMap(Medplum, ({ fhirBaseUrl }) => over(NodeTransport.layer(), { fhirBaseUrl }))

/** The paths of the requests that `effect` makes. */
const requestsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { requests } = yield* Medplum
    const before = requests.length
    const result = yield* effect
    return [result, requests.slice(before).map(({ path }) => decodeURIComponent(path))] as const
  })

describe("searches at Medplum's server", () => {
  layer(Layer.scoped(Medplum, medplumFhirServer), { timeout: "60 seconds" })((it) => {
    it.scoped("parameters of the builder find what they describe", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const total = (resourceType: string, query: FhirSearch.Query) =>
          fhir.searchPages(resourceType, FhirSearch.all(query, FhirSearch.count(1))).pipe(
            Stream.runHead,
            Effect.map((page) => Option.getOrUndefined(page)?.total)
          )
        // The server reads all resources of the first parameter: the patient has ten observations.
        const ofPatient = FhirSearch.reference("subject", "Patient/patient-0002")
        const observations = (query: FhirSearch.Query) => total("Observation", FhirSearch.all(ofPatient, query))
        assert.strictEqual(
          yield* observations(FhirSearch.token("code", { system: "http://loinc.org", code: "8867-4" })),
          10
        )
        assert.strictEqual(yield* observations(FhirSearch.token("code", "9279-1")), 0)
        assert.strictEqual(yield* observations(FhirSearch.token("code", ["8867-4", "9279-1"])), 10)
        assert.strictEqual(yield* observations(FhirSearch.date("date", { ge: "2026-01-03", lt: "2026-01-08" })), 4)
        assert.strictEqual(
          yield* total("Patient", FhirSearch.string("family", "Family0007", { modifier: "exact" })),
          1
        )
        assert.strictEqual(
          yield* total("Patient", FhirSearch.token("gender", "female", { modifier: "not" })),
          counts.Patient / 2
        )
      }))

    it.scoped("900 resources in 90 pages arrive once each, with and without read-ahead", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        for (const readAhead of [0, 2]) {
          const [ids, paths] = yield* requestsOf(
            fhir.search("Patient", { _count: 10 }, { readAhead }).pipe(
              Stream.runFold(new Set<string | undefined>(), (found, { id }) => found.add(id))
            )
          )
          assert.strictEqual(ids.size, counts.Patient)
          assert.strictEqual(paths.length, counts.Patient / 10)
        }
      }))

    it.scoped("a search resumes from a position in JSON", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const Position = Schema.parseJson(FhirSearch.PagePosition)
        const pages = fhir.searchPages("Patient", { _count: 100 })
        const [third] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(Stream.drop(pages, 2), 1)))
        assert.strictEqual(third?.total, counts.Patient)
        const stored = third?.next === undefined ? "" : yield* Schema.encode(Position)(third.next)
        const rest = yield* Stream.runCollect(fhir.resumeSearch(yield* Schema.decode(Position)(stored)))
        assert.strictEqual(Chunk.size(rest), 6)
        const first = Chunk.toReadonlyArray(rest)[0]?.matches[0]
        assert.strictEqual(first?.id, "patient-0300")
      }))

    it.scoped("the practitioners of a page of observations are loaded by one search", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const [page] = Chunk.toReadonlyArray(
          yield* Stream.runCollect(Stream.take(fhir.searchPages("Observation", { _count: 30 }), 1))
        )
        const resolver = fhir.resolver()
        const performers = (page?.matches ?? []).flatMap(({ performer = [] }) => performer)
        const [found, paths] = yield* requestsOf(resolver.resolveAll(performers))
        assert.strictEqual(found.size, 30)
        assert.isTrue(Array.from(found.values()).every(Either.isRight))
        assert.strictEqual(paths.length, 1)
        assert.match(paths[0] ?? "", /\/Practitioner\?_id=practitioner-0000,practitioner-0001,/)
        const [, again] = yield* requestsOf(resolver.resolveAll((page?.matches ?? []).flatMap(Reference.collect)))
        assert.isTrue(again.length > 0 && again.every((path) => path.includes("/Patient?_id=")))
      }))

    it.scoped("a missing resource among many is the only error", () =>
      Effect.gen(function*() {
        const fhir = yield* client
        const references = ["Patient/patient-0001", "Patient/absent", "Patient/patient-0002"]
        const [found, paths] = yield* requestsOf(fhir.resolver().resolveAll(references))
        assert.deepStrictEqual(
          references.map((reference) => {
            const result = found.get(reference)
            return result !== undefined && Either.isLeft(result) ? result.left.reason : "found"
          }),
          ["found", "NotFound", "found"]
        )
        assert.strictEqual(paths.length, 2)
      }))
  })
})
