/**
 * Responses that deviate from FHIR, and requests that cannot be sent.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FhirError } from "effect-safire"
import * as Http from "../support/http.js"
import { base, token, written } from "./fixtures.js"

const outcome = {
  resourceType: "OperationOutcome",
  issue: [{ severity: "error", code: "security", diagnostics: "Eve Everywoman" }]
}
const patient = { resourceType: "Patient", active: true }

const failure = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<E, A> => Effect.flip(self)

const withType = (body: string, type: string, status = 200, headers: Readonly<Record<string, string>> = {}) =>
  new Response(body, { status, headers: { "content-type": type, ...headers } })

describe("a success without the expected FHIR", () => {
  it.effect("is a `NotFhir` with the issues of an OperationOutcome, whose texts are not in the message", () =>
    Effect.gen(function*() {
      const fhir = yield* written(Http.fake(() => Http.json(outcome)))
      const calls: ReadonlyArray<Effect.Effect<unknown, FhirError>> = [
        fhir.read("Patient", "1"),
        Stream.runDrain(fhir.search("Patient")),
        fhir.readReference("Patient/1"),
        fhir.transaction([{ method: "GET", url: "Patient/1" }]),
        fhir.capabilities
      ]
      for (const call of calls) {
        const { issues, message, reason } = yield* failure(call)
        assert.deepStrictEqual([reason, issues[0]?.code, issues[0]?.diagnostics], [
          "NotFhir",
          "security",
          "Eve Everywoman"
        ])
        assert.include(message, "security")
        assert.notInclude(message, "Eve")
        assert.notInclude(message, "login page")
      }
    }))

  it.effect("is a `NotFhir` with the media type, and the beginning of a body that is not a resource", () =>
    Effect.gen(function*() {
      const page = `<p>Log in: ${token}</p>`
      const error = yield* failure((yield* written(Http.fake(() => withType(page, "text/html")))).read("Patient", "1"))
      assert.strictEqual(error.detail, "HTTP status 200 without a resource (text/html)")
      assert.strictEqual(error.bodyExcerpt, "<p>Log in: <redacted></p>")
      const xml = `<Patient xmlns="http://hl7.org/fhir"/>`
      const other = yield* failure(
        (yield* written(Http.fake(() => withType(xml, "application/x-eve")))).read("Patient", "1")
      )
      assert.deepStrictEqual([other.detail, other.bodyExcerpt], ["HTTP status 200 without a resource", undefined])
    }))

  it.effect("has the `X-Request-Id` in `requestId`, as an error status does", () =>
    Effect.gen(function*() {
      for (const status of [200, 500]) {
        const headers = { "x-request-id": `7f3-${token}` }
        const fhir = yield* written(Http.fake(() => withType("", "text/plain", status, headers)))
        const { message, requestId } = yield* failure(fhir.read("Patient", "1"))
        assert.strictEqual(requestId, "7f3-<redacted>")
        assert.notInclude(message, "7f3")
      }
    }))

  it.effect("is a `NotFhir` if the resource has another id, unless only the case differs", () =>
    Effect.gen(function*() {
      const fhir = yield* written(Http.fake(() => Http.json({ ...patient, id: "aB" })))
      for (
        const read of [fhir.read("Patient", "2"), fhir.vread("Patient", "2", "1"), fhir.readReference("Patient/2")]
      ) {
        assert.strictEqual((yield* failure(Effect.asVoid<unknown, FhirError, never>(read))).reason, "NotFhir")
      }
      assert.strictEqual((yield* fhir.read("Patient", "Ab")).id, "aB")
    }))

  it.effect("of a write says that the server may have acted, and where the resource is", () =>
    Effect.gen(function*() {
      const headers = { location: `${base}/Patient/9/_history/1?t=${token}` }
      const respond = (body: string, type: string) => written(Http.fake(() => withType(body, type, 201, headers)))
      const page = yield* failure((yield* respond("<p>Created</p>", "text/html")).create(patient))
      const schema = Schema.Struct({ birthDate: Schema.String })
      const json = yield* respond(JSON.stringify(patient), "application/fhir+json")
      const undecodable = yield* failure(json.create(patient, { schema }))
      for (const error of [page, undecodable]) {
        assert.deepStrictEqual([error.processed, error.isRetryable], ["unknown", false])
        assert.strictEqual(error.location, `${base}/Patient/9/_history/1?t=<redacted>`)
        assert.notInclude(error.message, "Patient/9")
      }
      assert.deepStrictEqual([page.reason, undecodable.reason], ["NotFhir", "Undecodable"])
    }))

  it.effect("of `delete` is its OperationOutcome only, not another resource", () =>
    Effect.gen(function*() {
      const [other, issues] = yield* Effect.forEach([patient, outcome], (body) =>
        Effect.flatMap(written(Http.fake(() => Http.json(body))), (fhir) => fhir.delete("Patient", "1")))
      assert.deepStrictEqual([other?.resource, issues?.resource?.resourceType], [undefined, "OperationOutcome"])
    }))

  it.effect("of `searchTotal` needs a whole number that is not negative", () =>
    Effect.gen(function*() {
      for (const total of [-1, 1.5, 1e300, "5", null]) {
        const fhir = yield* written(Http.fake(() => Http.json({ resourceType: "Bundle", total })))
        assert.strictEqual((yield* failure(fhir.searchTotal("Patient"))).reason, "NotFhir", String(total))
      }
    }))
})

describe("the issues of a response", () => {
  it.effect("are searched for secrets up to a million characters; the texts beyond are left out", () =>
    Effect.gen(function*() {
      const issue = { severity: "error", code: "processing", diagnostics: "%25".repeat(33_334) }
      const one = { response: { status: "400", outcome: { resourceType: "OperationOutcome", issue: [issue] } } }
      const http = Http.fake(() =>
        Http.json({ resourceType: "Bundle", type: "batch-response", entry: Array(12).fill(one) })
      )
      const results = yield* (yield* written(http)).batch(Array.from({ length: 12 }, () => ({
        method: "GET" as const,
        url: "Patient/1"
      })))
      const texts = results.map((result) => result._tag === "Left" ? result.left.issues[0]?.diagnostics : undefined)
      assert.isString(texts[0])
      assert.isUndefined(texts[11])
      assert.isTrue(results.every((result) => result._tag === "Left" && result.left.issues.length === 1))
    }))
})

describe("a request that cannot be sent", () => {
  it.effect("with a header that HTTP does not allow is an `InvalidRequest`, not a failed connection", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Http.json(patient))
      const fhir = yield* written(http)
      const content = new Uint8Array([1])
      const calls: ReadonlyArray<Effect.Effect<unknown, FhirError>> = [
        ...["W/\"1\"\r\nx: y", "\u{1f600}", "\u0000", "", " "].map((ifMatch) =>
          fhir.update({ ...patient, id: "1" }, { ifMatch })
        ),
        fhir.conditionalRead("Patient", "1", { ifNoneMatch: "\n" }),
        fhir.createBinary({ contentType: "text/plain\n", content }),
        fhir.createBinary({ contentType: "text/plain", content, securityContext: "Patient/1\n" }),
        fhir.request({ interaction: "x", url: "", headers: { "x-note": "Eve \u{1f600}" } })
      ]
      for (const call of calls) {
        const error = yield* failure(call)
        assert.deepStrictEqual([error.reason, error.processed], ["InvalidRequest", "no"])
        assert.notInclude(error.message, "Eve")
      }
      assert.lengthOf(http.requests, 0)
      yield* fhir.update({ ...patient, id: "1" }, { ifMatch: "W/\"é\"" })
      assert.lengthOf(http.requests, 1)
    }))

  it.effect("is an operation by GET with an `input`, which a GET has no place for", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Http.json({ resourceType: "Parameters" }))
      const fhir = yield* written(http)
      const input = { resourceType: "Parameters" } as const
      const error = yield* failure(fhir.operation("$validate", { method: "GET", input }))
      assert.strictEqual(error.reason, "InvalidRequest")
      assert.strictEqual(
        (yield* failure(Stream.runDrain(fhir.operationStream("$everything", { method: "GET", input })))).reason,
        "InvalidRequest"
      )
      assert.lengthOf(http.requests, 0)
      yield* fhir.operation("$hapi.fhir.replace-references", { input })
      assert.strictEqual(http.requests[0]?.url, `${base}/$hapi.fhir.replace-references`)
    }))
})
