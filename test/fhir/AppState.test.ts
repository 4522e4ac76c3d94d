import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AppState, FhirBaseUrl, SmartConfiguration } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
// The pure rule, for each kind of metadata.
import { endpointOf } from "../../src/fhir/internal/appStateResource.js"
import * as Http from "../support/http.js"
import { backend, base, sandbox, token, written } from "./fixtures.js"

const code: AppState.Code = { system: "https://app.example", code: "preferences" }
const url = "https://app.example/preferences-v1"
const Preferences = Schema.parseJson(Schema.Struct({ theme: Schema.Literal("dark", "light") }))
const fhirBaseUrl = "https://ehr.sandbox.test/fhir"

const offering = backend({ metadata: { capabilities: ["smart-app-state"] } }, ["system/Basic.cuds"])
const requests = Effect.flatMap(
  SandboxEhr.SandboxEhr,
  (ehr) => Effect.map(ehr.requests, (all) => all.filter(({ step }) => step === "fhir"))
)

const configuration = (document: Readonly<Record<string, unknown>>) =>
  SmartConfiguration.fromDocument(Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)(base), document)

/** Over an associated endpoint, and answers that are written down. */
const associated = (answer: (seen: Http.SentRequest) => Http.FakeResponse, url = "https://state.example/r4") => {
  const http = Http.fake((seen) =>
    seen.url.endsWith("/smart-configuration")
      ? Http.json({ associated_endpoints: [{ url, capabilities: ["smart-app-state"] }] })
      : answer(seen)
  )
  return Effect.map(written(http), (fhir) => ({
    state: AppState.make(fhir),
    sent: () => http.requests.filter(({ url }) => !url.endsWith("/smart-configuration"))
  }))
}

const basic = (id: string, changes: Readonly<Record<string, unknown>> = {}) => ({
  resourceType: "Basic",
  id,
  meta: { versionId: "7" },
  code: { coding: [code] },
  extension: [{ url, valueString: "{\"theme\":\"dark\"}" }],
  ...changes
})

describe("AppState", () => {
  it("the endpoint is the associated one, else the FHIR base URL with the capability, else the deprecated member", () => {
    const endpoint = "https://state.example/r4"
    const capabilities = ["smart-app-state"]
    assert.strictEqual(
      endpointOf(configuration({ capabilities, associated_endpoints: [{ url: endpoint, capabilities }] })),
      endpoint
    )
    assert.strictEqual(endpointOf(configuration({ capabilities, smart_app_state_endpoint: endpoint })), base)
    assert.strictEqual(endpointOf(configuration({ smart_app_state_endpoint: endpoint })), endpoint)
    assert.isUndefined(
      endpointOf(configuration({ associated_endpoints: [{ url: endpoint, capabilities: ["smart-imaging"] }] }))
    )
  })

  it.effect("a server without the capability gets no request", () =>
    Effect.gen(function*() {
      const state = AppState.make(yield* sandbox)
      const error = yield* Effect.flip(state.create({ code, values: { [url]: "x" } }))
      assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "NotSupported")
      assert.strictEqual((yield* requests).length, 0)
    }).pipe(Effect.provide(backend())))

  it.effect("a state is created, found, updated by its ETag, and removed", () =>
    Effect.gen(function*() {
      const state = AppState.make(yield* sandbox)
      const created = yield* state.create({
        code,
        subject: "Practitioner/practitioner-one",
        values: { [url]: "{\"theme\":\"dark\"}" }
      })
      assert.deepStrictEqual([created.etag, created.subject, created.urls], [
        "W/\"1\"",
        `${fhirBaseUrl}/Practitioner/practitioner-one`,
        [url]
      ])
      const [post] = yield* requests
      const body = Schema.decodeUnknownSync(
        Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
      )(
        post?.body
      )
      assert.deepStrictEqual(Object.keys(body).sort(), ["code", "extension", "resourceType", "subject"])

      const updated = yield* state.update(created, { [url]: "{\"theme\":\"light\"}" })
      assert.strictEqual(updated.etag, "W/\"2\"")
      assert.deepStrictEqual([updated.code, updated.subject], [created.code, created.subject])
      const put = (yield* requests).find(({ method }) => method === "PUT")
      assert.strictEqual(put?.headers["if-match"], "W/\"1\"")
      assert.include(put?.body, `"id":"${created.id}"`)

      const late = yield* Effect.flip(state.update(created, { [url]: "x" }))
      assert.deepStrictEqual(late._tag === "FhirError" ? [late.reason, late.status] : [], ["PreconditionFailed", 412])

      const found = yield* Stream.runCollect(state.find({ code, subject: "Practitioner/practitioner-one" }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(found).map(({ etag, id }) => [id, etag]), [[created.id, "W/\"2\""]])

      yield* state.remove(updated)
      assert.strictEqual((yield* requests).at(-1)?.headers["if-match"], "W/\"2\"")
      const before = (yield* requests).length
      for (const gone of [state.remove(updated), state.update(updated, {})]) {
        const error = yield* Effect.flip(gone)
        assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "Gone")
      }
      assert.strictEqual((yield* requests).length, before)
    }).pipe(Effect.provide(offering)))

  it.effect("a state that violates the rules is not sent", () =>
    Effect.gen(function*() {
      const { sent, state } = yield* associated(() => Http.json(basic("1")))
      for (
        const wrong of [
          { code: { system: "", code: "x" }, values: {} },
          { code: { system: "https://app.example", code: "" }, values: {} },
          { code, values: { [url]: "x".repeat(256 * 1024) } },
          { code, values: { "no url": "x" } },
          { code, subject: "https://other.example/fhir/Patient/1", values: {} },
          { code, subject: `${base}-evil/Patient/1`, values: {} },
          { code, subject: "Patient/1/_history/2", values: {} },
          { code, subject: "Patient/../1", values: {} },
          { code, subject: "Patient", values: {} }
        ]
      ) {
        const error = yield* Effect.flip(state.create(wrong))
        assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "InvalidRequest")
      }
      assert.strictEqual(sent().length, 0)
      yield* state.create({ code, values: { [url]: "x".repeat(250 * 1024) } })
      assert.strictEqual(sent().length, 1)
    }))

  it.effect("`find` searches by one code, and by a subject or its absence", () =>
    Effect.gen(function*() {
      const { sent, state } = yield* associated(() => Http.json({ resourceType: "Bundle" }))
      yield* Stream.runDrain(state.find({ code }))
      yield* Stream.runDrain(state.find({ code, subject: `${base}/Patient/1` }))
      yield* Stream.runDrain(state.find({ code, subject: "none" }))
      const prefix = "https://state.example/r4/Basic?code=https%3A%2F%2Fapp.example%7Cpreferences"
      assert.deepStrictEqual(sent().map(({ url }) => url), [
        prefix,
        `${prefix}&subject=${encodeURIComponent(`${base}/Patient/1`)}`,
        `${prefix}&subject%3Amissing=true`
      ])
    }))

  it.effect("the token is sent to URLs below the declared endpoint only", () =>
    Effect.gen(function*() {
      const { sent, state } = yield* associated(() =>
        Http.json({ resourceType: "Bundle", link: [{ relation: "next", url: "https://state.example/r4-evil" }] })
      )
      const error = yield* Effect.flip(Stream.runDrain(state.find({ code })))
      assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "ForeignLink")
      assert.deepStrictEqual(sent().map(({ headers }) => headers["authorization"]), [`Bearer ${token}`])
      const insecure = yield* associated(() => Http.json({}), "http://state.example/r4")
      yield* Effect.flip(Stream.runDrain(insecure.state.find({ code })))
      assert.strictEqual(insecure.sent().length, 0)
    }))

  it.effect("a stored value is decoded by a schema", () =>
    Effect.gen(function*() {
      const values = ["{\"theme\":\"dark\"}", "{\"theme\":\"<script>evil</script>\"}", "evil"]
      const { state } = yield* associated(() =>
        Http.json({
          resourceType: "Bundle",
          entry: values.map((valueString, index) => ({
            resource: basic(String(index), { extension: [{ url, valueString }] })
          }))
        })
      )
      const [good, bad, worse] = Chunk.toReadonlyArray(yield* Stream.runCollect(state.find({ code })))
      if (good === undefined || bad === undefined || worse === undefined) return assert.fail("three states were sent")
      assert.strictEqual((yield* good.value(url, Preferences)).theme, "dark")
      for (const state of [bad, worse]) {
        const error = yield* Effect.flip(state.value(url, Preferences))
        assert.deepStrictEqual([error.reason, error.issuePaths?.length], ["Undecodable", 1])
        assert.notInclude(JSON.stringify(error), "evil")
      }
      assert.strictEqual((yield* Effect.flip(good.value("__proto__", Preferences))).reason, "Undecodable")
      assert.notInclude(JSON.stringify(bad), "evil")
    }))

  it.effect("`find` rejects a resource that does not have the form of app state", () =>
    Effect.gen(function*() {
      for (
        const changes of [
          { code: { coding: [code, code] } },
          { code: undefined },
          { extension: [{ url, valueInteger: 1 }] },
          { extension: [{ url, valueString: "x", extension: [] }] },
          { id: "../1" }
        ]
      ) {
        const { state } = yield* associated(() =>
          Http.json({ resourceType: "Bundle", entry: [{ resource: basic("1", changes) }] })
        )
        const error = yield* Effect.flip(Stream.runDrain(state.find({ code })))
        assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "NotFhir", JSON.stringify(changes))
      }
    }))

  it.effect("the ETag is that of the header, else of the version; a state without both is not changed", () =>
    Effect.gen(function*() {
      const header = yield* associated(() => Http.json(basic("1"), { headers: { etag: "W/\"a\"" } }))
      assert.strictEqual((yield* header.state.create({ code, values: {} })).etag, "W/\"a\"")
      const version = yield* associated(() => Http.json(basic("1")))
      assert.strictEqual((yield* version.state.create({ code, values: {} })).etag, "W/\"7\"")
      const none = yield* associated(() =>
        Http.text("", { status: 201, headers: { location: "https://state.example/r4/Basic/9/_history/1" } })
      )
      const created = yield* none.state.create({ code, values: {} })
      assert.deepStrictEqual([created.id, created.etag], ["9", undefined])
      const error = yield* Effect.flip(none.state.remove(created))
      assert.strictEqual(error._tag === "FhirError" ? error.reason : error._tag, "InvalidRequest")
      assert.strictEqual(none.sent().length, 1)
    }))
})
