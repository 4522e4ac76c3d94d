import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { get, login, send } from "../support/rawApp.js"

const layer = SandboxEhr.layerHttpClient()

const fhir = (path: string, token?: unknown) =>
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => get(`${ehr.fhirBaseUrl}/${path}`, token))

const tokenFor = (scope: string, decision?: SandboxEhr.Decision) =>
  Effect.map(login(scope, decision === undefined ? {} : { decision }), ({ body }) => body["access_token"])

const statusOf = (path: string, token?: unknown) => Effect.map(fhir(path, token), ({ status }) => status)

const Bundle = Schema.Struct({
  resourceType: Schema.Literal("Bundle"),
  type: Schema.Literal("searchset"),
  total: Schema.Number,
  link: Schema.Array(Schema.Struct({ relation: Schema.String, url: Schema.String })),
  entry: Schema.optionalWith(
    Schema.Array(Schema.Struct({
      fullUrl: Schema.String,
      resource: Schema.Struct({ resourceType: Schema.String, id: Schema.String })
    })),
    { default: () => [] }
  )
})

const search = (path: string, token: unknown) =>
  Effect.flatMap(fhir(path, token), ({ body }) => Schema.decodeUnknown(Bundle)(body))

const idsOf = (bundle: typeof Bundle.Type) => bundle.entry.map(({ resource }) => resource.id)

describe("SandboxEhr FHIR", () => {
  it.effect("[SMART-93] requires a valid bearer token in the Authorization header", () =>
    Effect.gen(function*() {
      const none = yield* fhir("Patient/patient-alpha")
      assert.strictEqual(none.status, 401)
      assert.strictEqual(none.headers["www-authenticate"], "Bearer realm=\"sandbox\"")
      assert.strictEqual(none.headers["content-type"], "application/fhir+json")
      assert.strictEqual(none.body["resourceType"], "OperationOutcome")
      const wrong = yield* fhir("Patient/patient-alpha", "made-up")
      assert.strictEqual(wrong.headers["www-authenticate"], "Bearer realm=\"sandbox\", error=\"invalid_token\"")
      const token = yield* tokenFor("patient/*.rs")
      assert.strictEqual(yield* statusOf(`Patient/patient-alpha?access_token=${String(token)}`), 401)
      assert.strictEqual(yield* statusOf("Patient/patient-alpha", token), 200)
    }).pipe(Effect.provide(layer)))

  it.effect("serves its CapabilityStatement without a token", () =>
    Effect.gen(function*() {
      const { body, status } = yield* fhir("metadata")
      assert.deepStrictEqual([status, body["resourceType"], body["fhirVersion"]], [200, "CapabilityStatement", "4.0.1"])
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-170] limits a patient scope to its patient", () =>
    Effect.gen(function*() {
      const token = yield* tokenFor("patient/*.rs", { patient: "patient-beta" })
      assert.strictEqual(yield* statusOf("Patient/patient-beta", token), 200)
      const other = yield* fhir("Patient/patient-alpha", token)
      assert.strictEqual(other.status, 403)
      assert.match(String(other.headers["www-authenticate"]), /insufficient_scope/)
      assert.strictEqual(yield* statusOf("Observation/vital-alpha-1", token), 403)
      assert.deepStrictEqual(idsOf(yield* search("Patient", token)), ["patient-beta"])
      assert.strictEqual((yield* search("Observation", token)).total, 3)
      assert.strictEqual((yield* search("Observation?patient=patient-alpha", token)).total, 0)
      assert.strictEqual(yield* statusOf("Practitioner/practitioner-one", token), 200)
    }).pipe(Effect.provide(layer)))

  it.effect("allows a clinician's user scope all patients, and a patient's user scope one", () =>
    Effect.gen(function*() {
      const clinician = yield* tokenFor("user/*.rs")
      assert.strictEqual((yield* search("Patient", clinician)).total, 3)
      const patient = yield* tokenFor("user/*.rs", { user: "Patient/patient-gamma" })
      assert.deepStrictEqual(idsOf(yield* search("Patient", patient)), ["patient-gamma"])
      assert.strictEqual(yield* statusOf("Condition/condition-alpha-1", patient), 403)
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-121] [SMART-125] distinguishes read from search, and v1 scopes from v2", () =>
    Effect.gen(function*() {
      const readOnly = yield* tokenFor("patient/Observation.r")
      assert.strictEqual(yield* statusOf("Observation/vital-alpha-1", readOnly), 200)
      assert.strictEqual(yield* statusOf("Observation", readOnly), 403)
      assert.strictEqual(yield* statusOf("Patient/patient-alpha", readOnly), 403)
      const searchOnly = yield* tokenFor("patient/Observation.s")
      assert.strictEqual(yield* statusOf("Observation", searchOnly), 200)
      assert.strictEqual(yield* statusOf("Observation/vital-alpha-1", searchOnly), 403)
      const v1 = yield* tokenFor("patient/Observation.read")
      assert.strictEqual(yield* statusOf("Observation/vital-alpha-1", v1), 200)
      assert.strictEqual(yield* statusOf("Observation", v1), 200)
      const write = yield* tokenFor("patient/Observation.write")
      assert.strictEqual(yield* statusOf("Observation", write), 403)
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-135] limits a scope by its search parameters", () =>
    Effect.gen(function*() {
      const heartRate = yield* tokenFor("patient/Observation.rs?code=http://loinc.org|8867-4")
      assert.deepStrictEqual(idsOf(yield* search("Observation", heartRate)), ["vital-alpha-2", "vital-alpha-4"])
      assert.strictEqual(yield* statusOf("Observation/vital-alpha-1", heartRate), 403)
      const other = yield* login("patient/Observation.rs?date=2024")
      assert.strictEqual(other.body["scope"], "")
    }).pipe(Effect.provide(layer)))

  it.effect("searches by _id, patient, category and code, in pages", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const token = yield* tokenFor("user/*.rs")
      assert.strictEqual((yield* search("Observation", token)).total, 12)
      assert.deepStrictEqual(idsOf(yield* search("Patient?_id=patient-beta,patient-gamma", token)), [
        "patient-beta",
        "patient-gamma"
      ])
      assert.strictEqual((yield* search("Condition?patient=Patient/patient-alpha", token)).total, 2)
      const absolute = encodeURIComponent(`${ehr.fhirBaseUrl}/Patient/patient-beta`)
      assert.strictEqual((yield* search(`Encounter?subject=${absolute}`, token)).total, 1)
      assert.strictEqual((yield* search("Observation?category=vital-signs&code=29463-7", token)).total, 3)
      assert.strictEqual((yield* search("Observation?code=http://other.example|8867-4", token)).total, 0)

      const ids: Array<string> = []
      let next: string | undefined = `${ehr.fhirBaseUrl}/Observation?patient=patient-alpha&_count=4`
      let pages = 0
      while (next !== undefined) {
        const page: typeof Bundle.Type = yield* Effect.flatMap(
          get(next, token),
          ({ body }) => Schema.decodeUnknown(Bundle)(body)
        )
        pages += 1
        ids.push(...idsOf(page))
        next = page.link.find(({ relation }) => relation === "next")?.url
      }
      assert.strictEqual(pages, 2)
      assert.strictEqual(new Set(ids).size, 6)
      assert.strictEqual(yield* statusOf("Observation?_count=many", token), 400)
    }).pipe(Effect.provide(layer)))

  it.effect("responds with an OperationOutcome for unknown types, ids and operations", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const token = yield* tokenFor("user/*.cruds")
      for (const path of ["Patient/unknown", "Unknown/1", "Patient/patient-alpha/_history/9", "Patient/%E0%A4%A", ""]) {
        const answer = yield* fhir(path, token)
        assert.deepStrictEqual([path, answer.status, answer.body["resourceType"]], [path, 404, "OperationOutcome"])
      }
      const created = yield* send(
        HttpClientRequest.post(`${ehr.fhirBaseUrl}/Patient/patient-alpha`).pipe(
          HttpClientRequest.bearerToken(String(token))
        )
      )
      assert.deepStrictEqual([created.status, created.headers["allow"]], [405, "GET, HEAD, PUT, PATCH, DELETE"])
    }).pipe(Effect.provide(layer)))

  it.effect("stores the resources of the option `resources`", () =>
    Effect.gen(function*() {
      const { body } = yield* login("launch/patient user/*.rs")
      assert.strictEqual(body["patient"], "one")
      assert.strictEqual(yield* statusOf("Patient/one", body["access_token"]), 200)
      assert.strictEqual(yield* statusOf("Observation", body["access_token"]), 404)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient({
      resources: [{ resourceType: "Patient", id: "one" }, { resourceType: "Practitioner", id: "two" }]
    }))))

  it.effect("rejects a resource nested 20,000 levels, and ignores members of a Bundle that are not strings", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl } = yield* SandboxEhr.SandboxEhr
      const token = yield* tokenFor("user/*.cruds")
      const post = (path: string, body: string) =>
        Effect.map(
          send(
            HttpClientRequest.post(`${fhirBaseUrl}${path}`).pipe(
              HttpClientRequest.bearerToken(String(token)),
              HttpClientRequest.bodyText(body, "application/fhir+json")
            )
          ),
          ({ status }) => status
        )
      const nested = `${"[".repeat(20_000)}${"]".repeat(20_000)}`
      assert.strictEqual(yield* post("/Condition", `{"resourceType":"Condition","note":${nested}}`), 400)
      assert.strictEqual(yield* post("/Condition", `{"resourceType":"Condition","id":{"toString":1}}`), 201)
      const entry = `{"request":{"method":"GET","url":{"toString":1,"valueOf":1}}}`
      assert.strictEqual(yield* post("", `{"resourceType":"Bundle","type":"batch","entry":[${entry}]}`), 200)
      assert.strictEqual(yield* post("", `{"resourceType":"Bundle","type":"batch","entry":[${nested}]}`), 400)
    }).pipe(Effect.provide(layer)))

  it.effect("labels its default data as test data", () =>
    Effect.gen(function*() {
      const tag = { system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code: "HTEST" }
      const token = yield* tokenFor("patient/*.rs")
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, token)
      assert.deepInclude(body["meta"], { versionId: "1", tag: [tag] })
      for (const { meta } of SandboxEhr.syntheticResources) assert.deepStrictEqual(meta, { tag: [tag] })
    }).pipe(Effect.provide(layer)))
})

describe("SandboxEhr CORS", () => {
  const origin = "https://app.sandbox.test"
  const ask = (url: string, headers: Readonly<Record<string, string>>) =>
    send(HttpClientRequest.options(url, { headers: { ...headers, "access-control-request-method": "POST" } }))

  it.effect("[SMART-16] allows every origin to read the metadata, without additional headers", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      for (const url of [ehr.endpoints.smartConfiguration, `${ehr.fhirBaseUrl}/metadata`, ehr.endpoints.jwks]) {
        assert.strictEqual((yield* get(url)).headers["access-control-allow-origin"], "*")
      }
      const preflight = yield* ask(ehr.endpoints.smartConfiguration, { origin: "https://anyone.sandbox.test" })
      assert.strictEqual(preflight.status, 204)
      assert.notInclude(preflight.headers["access-control-allow-headers"] ?? "", "traceparent")
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-17] allows only registered origins to use the token endpoint and FHIR", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      for (const url of [ehr.endpoints.token, `${ehr.fhirBaseUrl}/Patient`]) {
        const good = yield* ask(url, { origin })
        assert.strictEqual(good.headers["access-control-allow-origin"], origin)
        assert.match(good.headers["access-control-allow-headers"] ?? "", /authorization/)
        const evil = yield* ask(url, { origin: "https://evil.sandbox.test" })
        assert.isUndefined(evil.headers["access-control-allow-origin"])
      }
      const answer = yield* send(HttpClientRequest.get(`${ehr.fhirBaseUrl}/Patient`, { headers: { origin } }))
      assert.deepStrictEqual([answer.status, answer.headers["access-control-allow-origin"]], [401, origin])
    }).pipe(Effect.provide(layer)))
})
