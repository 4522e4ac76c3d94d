import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import {
  ClientAuthentication,
  FhirClient,
  FhirError,
  LaunchContext,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { backend, base, sandbox, token, tokensWith, written } from "./fixtures.js"

const reasonOf = (error: { readonly _tag: string }) => error instanceof FhirError ? error.reason : error._tag
const refused = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), reasonOf)

const observation = { resourceType: "Observation", status: "final", code: { text: "x" } }
const Name = Schema.Struct({ family: Schema.String })
const Patient = Schema.Struct({ resourceType: Schema.Literal("Patient"), id: Schema.String, name: Schema.Array(Name) })

describe("Interaction", () => {
  it.effect("[SMART-93] `read` and `vread` return a resource, typed by its type or by a schema", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const patient = yield* fhir.read("Patient", "patient-alpha")
      assert.deepStrictEqual([patient.gender, patient.birthDate], ["female", "1958-07-14"])
      const decoded = yield* fhir.read("Patient", "patient-alpha", { schema: Patient })
      assert.strictEqual(decoded.name[0]?.family, "Okafor")
      const stored = yield* fhir.readStored("Patient", "patient-alpha")
      assert.deepStrictEqual([stored.etag, stored.versionId], ["W/\"1\"", "1"])
      assert.strictEqual((yield* fhir.vread("Patient", "patient-alpha", "1"))["id"], "patient-alpha")
      assert.strictEqual(yield* refused(fhir.vread("Patient", "patient-alpha", "7")), "NotFound")
      assert.strictEqual(yield* refused(fhir.vread("Patient", "patient-alpha", "../1")), "InvalidReference")
      assert.strictEqual(yield* refused(fhir.read("Patient", "..")), "InvalidReference")
    }).pipe(Effect.provide(backend())))

  it.effect("the error of a schema has the paths of the elements in `issuePaths`, and not their values", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const family = Schema.Struct({ name: Schema.Array(Schema.Struct({ family: Schema.Number })) })
      const several = Schema.Struct({ ...family.fields, birthDate: Schema.Number, multipleBirth: Schema.Boolean })
        .annotations({ parseOptions: { errors: "all" } })
      const itself = Schema.Number
      const paths = yield* Effect.forEach(
        [family, several, itself],
        (schema) =>
          Effect.map(Effect.flip(fhir.read("Patient", "patient-alpha", { schema })), (error) => {
            assert.strictEqual(reasonOf(error), "Undecodable")
            assert.notInclude(error.message, "Okafor")
            assert.notInclude(error.message, "1958")
            return error instanceof FhirError ? [error.issuePaths, error.detail] : []
          })
      )
      const detail = "the resource does not match the schema at"
      assert.deepStrictEqual(paths, [
        [["name.0.family"], `${detail} name.0.family`],
        [["name.0.family", "birthDate", "multipleBirth"], `${detail} name.0.family, birthDate, multipleBirth`],
        [[""], `${detail} the resource itself`]
      ])
    }).pipe(Effect.provide(backend())))

  it.effect("`issuePaths` has at most 20 paths, and no key that may be a value", () =>
    Effect.gen(function*() {
      const members = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`Müller ${index}`, 1]))
      const http = Http.fake(() => Http.json({ resourceType: "Patient", ...members, link: Array(100).fill("x") }))
      const fhir = yield* written(http)
      const all = { parseOptions: { errors: "all" } } as const
      const record = Schema.Record({ key: Schema.String, value: Schema.Boolean }).annotations(all)
      const list = Schema.Struct({ link: Schema.Array(Schema.Number) }).annotations(all)
      const [keys, indices] = yield* Effect.forEach([record, list], (schema) =>
        Effect.map(Effect.flip(fhir.read("Patient", "1", { schema })), ({ issuePaths }) => issuePaths))
      assert.deepStrictEqual(keys, ["resourceType", "(a key)", "link"])
      assert.deepStrictEqual(
        indices,
        Array.from({ length: 20 }, (_, index) =>
          `link.${index}`)
      )
    }))

  it.effect("a resource is created, updated with `ifMatch`, patched and deleted; its history has all versions", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const created = yield* fhir.create(observation)
      const id = String(
        (yield* fhir.read("Observation", /Observation\/([^/]+)/.exec(created.location ?? "")?.[1] ?? ""))["id"]
      )
      assert.deepStrictEqual([created.status, created.etag], [201, "W/\"1\""])
      const updated = yield* fhir.update({ ...observation, id, status: "amended" }, { ifMatch: created.etag })
      assert.deepStrictEqual([updated.status, updated.versionId, updated.resource?.status], [200, "2", "amended"])
      const late = yield* Effect.flip(fhir.update({ ...observation, id }, { ifMatch: created.etag }))
      assert.deepStrictEqual(
        late instanceof FhirError ? [late.reason, late.status, late.processed, late.issues[0]?.code] : [],
        ["PreconditionFailed", 412, "no", "conflict"]
      )
      const patched = yield* fhir.patch("Observation", id, [{ op: "replace", path: "/status", value: "cancelled" }])
      assert.strictEqual(patched.resource?.["status"], "cancelled")
      yield* fhir.delete("Observation", id, { ifMatch: patched.etag })
      assert.strictEqual(yield* refused(fhir.read("Observation", id)), "Gone")
      const versions = yield* Stream.runCollect(fhir.history({ resourceType: "Observation", id }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(versions).map(({ method }) => method), [
        "DELETE",
        "PUT",
        "PUT",
        "POST"
      ])
    }).pipe(Effect.provide(backend())))

  it.effect("`ifNoneExist` creates a resource only if no resource matches", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const ifNoneExist = { _id: "patient-alpha" }
      const found = yield* fhir.create({ resourceType: "Patient", id: "x" }, { ifNoneExist })
      assert.deepStrictEqual([found.status, found.resource?.id], [200, "patient-alpha"])
      assert.strictEqual(
        yield* refused(
          fhir.create({ resourceType: "Patient" }, { ifNoneExist: { _id: "patient-alpha,patient-beta" } })
        ),
        "PreconditionFailed"
      )
    }).pipe(Effect.provide(backend())))

  it.effect("a batch has a result for each request; a transaction processes all requests or none", () =>
    Effect.gen(function*() {
      const fhir = yield* sandbox
      const requests: ReadonlyArray<FhirClient.BundleRequest> = [
        { method: "GET", url: "Patient/patient-alpha" },
        { method: "POST", url: "Observation", resource: observation },
        { method: "GET", url: "Patient/unknown" }
      ]
      const results = yield* fhir.batch(requests)
      assert.deepStrictEqual(
        results.map(Either.match({ onLeft: ({ reason }) => reason, onRight: ({ status }) => String(status) })),
        ["200", "201", "NotFound"]
      )
      const before = yield* Stream.runCount(fhir.search("Observation"))
      assert.strictEqual(yield* refused(fhir.transaction(requests)), "NotFound")
      assert.strictEqual(yield* Stream.runCount(fhir.search("Observation")), before)
      assert.strictEqual((yield* fhir.transaction(requests.slice(0, 2))).length, 2)
    }).pipe(Effect.provide(backend())))

  it.effect("an operation is called on an instance, a type or the server; an invalid name is not sent", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({ resourceType: "Parameters" }))
      const fhir = yield* written(http)
      yield* fhir.operation("everything", { on: "Patient/1", params: { _count: 5 } })
      yield* fhir.operation("$validate", { on: "Patient", input: { resourceType: "Parameters" } })
      yield* fhir.operation("$closure")
      assert.deepStrictEqual(http.requests.map(({ method, url }) => `${method} ${url}`), [
        `GET ${base}/Patient/1/$everything?_count=5`,
        `POST ${base}/Patient/$validate`,
        `GET ${base}/$closure`
      ])
      for (
        const [name, on] of [["../x", ""], ["x", "Patient/.."], ["x", "Patient/1/2"], ["x", "//evil.example"]] as const
      ) {
        assert.strictEqual(yield* refused(fhir.operation(name, { on })), "InvalidReference")
      }
      assert.strictEqual(http.requests.length, 3)
    }))

  it.effect("a read is retried and a write is not; a write without a response has `processed: unknown`", () =>
    Effect.gen(function*() {
      const busy = Http.script(
        () => Http.text("", { status: 503, headers: { "retry-after": "7" } }),
        () => Http.json({ resourceType: "Patient", id: "1" })
      )
      const reading = yield* Effect.fork(
        Effect.flatMap(written(busy, { retry: RetryPolicy.transient }), (fhir) => fhir.read("Patient", "1"))
      )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* reading)["id"], "1")
      assert.deepStrictEqual(busy.times(), [0, 7])

      for (
        const [answer, processed] of [
          [() => Http.text("", { status: 503 }), "no"],
          [() => Http.text("", { status: 502 }), "unknown"],
          [() => new Http.ConnectionFailure("ECONNRESET"), "unknown"],
          [() => new Http.ConnectionFailure("ECONNREFUSED"), "no"]
        ] as const
      ) {
        const http = Http.script(answer)
        const fhir = yield* written(http, { retry: RetryPolicy.transient })
        const error = yield* Effect.flip(fhir.create(observation))
        assert.deepStrictEqual([error.processed, http.requests.length], [processed, 1])
      }
    }))

  it.effect("[SMART-93] after a 401 the token is renewed once and the request repeated; after a 403 it is not", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const fhir = yield* sandbox
      const tokens = Effect.map(ehr.requests, (all) => all.filter(({ step }) => step === "token").length)
      yield* fhir.read("Patient", "patient-alpha")
      const [old = ""] = yield* ehr.issued
      yield* ehr.revoke(old)
      assert.strictEqual((yield* fhir.create(observation)).status, 201)
      assert.strictEqual(yield* tokens, 2)
      yield* ehr.fault("fhir", SandboxEhr.Fault.status(401), 2)
      assert.strictEqual(yield* refused(fhir.read("Patient", "patient-alpha")), "Unauthorized")
      assert.strictEqual(yield* tokens, 3)
      yield* ehr.fault("fhir", SandboxEhr.Fault.status(403))
      assert.strictEqual(yield* refused(fhir.read("Patient", "patient-alpha")), "Forbidden")
      assert.strictEqual(yield* tokens, 3)
    }).pipe(Effect.provide(backend())))

  it.effect.each([301, 302, 303, 307, 308])(
    "[SMART-97] the target of a redirect %i is checked like a first request",
    (status) =>
      Effect.gen(function*() {
        const to = (location: string) => () => new Response(null, { status, headers: { location } })
        const patient = () => Http.json({ resourceType: "Patient", id: "2" })
        const own = Http.script(to("../Patient/2"), patient)
        assert.strictEqual((yield* Effect.flatMap(written(own), (fhir) => fhir.read("Patient", "1")))["id"], "2")
        assert.deepStrictEqual(own.requests.map(({ headers, url }) => [url, headers["authorization"]]), [
          [`${base}/Patient/1`, `Bearer ${token}`],
          [`${base}/Patient/2`, `Bearer ${token}`]
        ])

        const files = Http.script(to("https://files.example/x"), patient)
        const allowing = yield* written(files, { foreignOrigins: { "https://files.example": "anonymous" } })
        yield* allowing.read("Patient", "1")
        assert.isUndefined(files.requests.find(({ url }) => url.startsWith("https://files"))?.headers["authorization"])

        const round = Http.script(to("Patient/1"))
        assert.strictEqual(
          yield* Effect.flatMap(written(round), (fhir) => refused(fhir.read("Patient", "1"))),
          "RedirectRefused"
        )
        const writing = Http.script(to(`${base}/Patient`), patient)
        assert.strictEqual(
          yield* Effect.flatMap(written(writing), (fhir) => refused(fhir.create({ resourceType: "Patient" }))),
          "RedirectRefused"
        )
        assert.strictEqual(writing.requests.length, 1)
      })
  )

  it.effect("`httpClient` sends the token to the FHIR base URL only", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({}))
      const { httpClient } = yield* written(http)
      yield* httpClient.get(`${base}/Patient/1`)
      assert.strictEqual(http.requests[0]?.headers["authorization"], `Bearer ${token}`)
      assert.strictEqual((yield* Effect.flip(httpClient.get("https://evil.example/fhir")))._tag, "TokenAudienceError")
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect("[SMART-170] `forSession` reads the resources of the launch context and renews the token", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const sessions = yield* Sessions.Sessions
      const { url } = yield* sessions.startLaunch()
      const id = yield* sessions.completeLaunch(yield* ehr.approve(url, { patient: "patient-beta" }))
      const fhir = (yield* FhirClient.FhirClient).forSession(id)
      assert.strictEqual((yield* fhir.patient())["id"], "patient-beta")
      assert.strictEqual((yield* fhir.fhirUser())["id"], "practitioner-one")
      assert.strictEqual(yield* refused(fhir.encounter()), "NotInContext")
      yield* ehr.fault("fhir", SandboxEhr.Fault.status(401))
      assert.strictEqual((yield* fhir.patient())["id"], "patient-beta")
      yield* sessions.revoke(id)
      assert.strictEqual(yield* refused(fhir.patient()), "SessionError")
    }).pipe(Effect.provide(
      Layer.merge(FhirClient.layer, Sessions.layer).pipe(
        Layer.provide(SmartServers.layerFromClient),
        Layer.provideMerge(SmartClient.layer({
          fhirBaseUrl: "https://ehr.sandbox.test/fhir",
          clientId: "sandbox-public-app",
          redirectUri: "https://app.sandbox.test/callback",
          scopes: ["openid", "fhirUser", "launch/patient", "user/*.rs", "offline_access"]
        })),
        Layer.provide(ClientAuthentication.layerPublic),
        Layer.provideMerge(SessionStore.layerMemory),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("[SMART-188] `fhirContext` reads the references with a role", () =>
    Effect.gen(function*() {
      const http = Http.fake(({ url }) => Http.json({ resourceType: url.split("/").at(-2), id: url.split("/").at(-1) }))
      const fhirContext = [
        { reference: "Questionnaire/1", role: "launch" },
        { reference: "Patient/2", role: "https://app.example/other" },
        { canonical: "https://example.org/x", role: "launch" }
      ]
      const fhir = yield* written(http, {
        tokens: tokensWith({ context: new LaunchContext.LaunchContext({ fhirContext }) })
      })
      assert.deepStrictEqual((yield* fhir.fhirContext()).map(({ id }) => id), ["1"])
      assert.deepStrictEqual((yield* fhir.fhirContext({ role: "https://app.example/other" })).map(({ id }) => id), [
        "2"
      ])
    }))
})
