import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import {
  CapabilityStatements,
  CapabilityWarnings,
  ClientAuthentication,
  FhirClient,
  type FhirError,
  FhirSearch,
  RetryPolicy,
  SmartClient
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"
import { base, tokensWith } from "./fixtures.js"

const statement = {
  resourceType: "CapabilityStatement",
  fhirVersion: "4.0.1",
  rest: [
    { mode: "client" },
    {
      mode: "server",
      interaction: [{ code: "batch" }],
      operation: [{ name: "export" }],
      resource: [
        {
          type: "Patient",
          interaction: [{ code: "read" }, { code: "search-type" }, { code: 7 }],
          searchParam: [{ name: "name" }, { name: "general-practitioner" }],
          searchInclude: ["Patient:general-practitioner"],
          operation: [{ name: "everything" }]
        },
        { type: "Observation", interaction: [{ code: "search-type" }] },
        { type: 1 }
      ]
    }
  ]
}

const capabilities = CapabilityStatements.fromResource(statement)

const unlisted = (code: string, resourceType?: string, params: FhirSearch.Query = []) =>
  CapabilityStatements.unlisted(capabilities, { code, resourceType, params })

describe("CapabilityStatements", () => {
  it("`unlisted` names interactions, operations and types that the statement does not list", () => {
    assert.deepStrictEqual(unlisted("read", "Patient"), [])
    assert.deepStrictEqual(unlisted("create", "Patient"), ["create"])
    assert.deepStrictEqual(unlisted("read", "Device"), ["Device"])
    assert.deepStrictEqual(unlisted("batch"), [])
    assert.deepStrictEqual(unlisted("transaction"), ["transaction"])
    assert.deepStrictEqual(unlisted("$everything", "Patient"), [])
    assert.deepStrictEqual(unlisted("$export", "Patient"), [])
    assert.deepStrictEqual(unlisted("$match", "Patient"), ["$match"])
    assert.deepStrictEqual(unlisted("$graphql"), ["$graphql"])
  })

  it("`unlisted` names search parameters without modifiers, chains and values", () => {
    const search = (query: FhirSearch.Query) => unlisted("search-type", "Patient", query)
    assert.deepStrictEqual(
      search(FhirSearch.all(
        { "_id": "1", "_count": 5, "name:exact": "secret" },
        FhirSearch.chain("general-practitioner", FhirSearch.string("name", "secret")),
        FhirSearch.include("Patient:general-practitioner:Practitioner")
      )),
      []
    )
    assert.deepStrictEqual(
      search(FhirSearch.all({ "ssn:exact": "secret" }, FhirSearch.include("Patient:organization"))),
      ["ssn", "_include=Patient:organization"]
    )
    assert.deepStrictEqual(unlisted("search-type", "Observation", FhirSearch.string("anything", "x")), [])
  })

  it.effect("are fetched without a token and cached", () => {
    const http = Http.fake(() => Http.json(statement))
    return Effect.gen(function*() {
      const service = yield* CapabilityStatements.CapabilityStatements
      assert.strictEqual((yield* service.capabilities(base)).fhirVersion, "4.0.1")
      yield* service.capabilities(base)
      assert.deepStrictEqual(http.requests.map(({ url }) => url), [`${base}/metadata`])
      assert.notProperty(http.requests[0]?.headers, "authorization")
      yield* service.invalidate(base)
      yield* service.capabilities(base)
      assert.strictEqual(http.requests.length, 2)
    }).pipe(Effect.provide(CapabilityStatements.layer()), Effect.provide(http.layer))
  })

  it.effect("the sandbox lists what it supports", () =>
    Effect.gen(function*() {
      const { capabilities } = yield* CapabilityStatements.CapabilityStatements
      const sandbox = yield* capabilities("https://ehr.sandbox.test/fhir")
      assert.deepStrictEqual(
        CapabilityStatements.unlisted(sandbox, { code: "read", resourceType: "Patient" }),
        []
      )
    }).pipe(Effect.provide(CapabilityStatements.layer()), Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("a document of another type is an error", () =>
    Effect.gen(function*() {
      const { capabilities } = yield* CapabilityStatements.CapabilityStatements
      assert.strictEqual((yield* Effect.flip(capabilities(base))).reason, "NotACapabilityStatement")
    }).pipe(
      Effect.provide(CapabilityStatements.layer()),
      Effect.provide(Http.fake(() => Http.json({ resourceType: "Patient" })).layer),
      Effect.provide(RetryPolicy.layer(RetryPolicy.none))
    ))
})

/** A FHIR client with warnings, over a server whose `/metadata` is `metadata`. */
const client = (metadata: () => Http.FakeResponse) => {
  const warnings = recorded()
  const http = Http.fake(({ url }) =>
    url.endsWith("/metadata")
      ? metadata()
      : url.includes("?") || url.endsWith("_search")
      ? Http.json({ resourceType: "Bundle", entry: [], total: 0 })
      : Http.json({ resourceType: "Patient", id: "1" })
  )
  return Effect.map(
    Layer.build(
      Layer.merge(FhirClient.layer, SmartClient.layer({ fhirBaseUrl: base, clientId: "app" })).pipe(
        Layer.provide(CapabilityWarnings.layer),
        Layer.provide([CapabilityStatements.layer(), ClientAuthentication.layerPublic]),
        Layer.provide([http.layer, warnings.layer, RetryPolicy.layer(RetryPolicy.none)])
      )
    ),
    (context) => ({
      fhir: Context.get(context, FhirClient.FhirClient).forTokens(
        Context.get(context, SmartClient.SmartClient),
        tokensWith()
      ),
      http,
      warnings
    })
  )
}

const settled = TestClock.adjust("1 second")

describe("CapabilityWarnings", () => {
  it.scoped("a request that the server does not list is sent, and causes one warning", () =>
    Effect.gen(function*() {
      const { fhir, http, warnings } = yield* client(() => Http.json(statement))
      yield* fhir.read("Patient", "1")
      yield* fhir.delete("Patient", "1")
      yield* fhir.delete("Patient", "2")
      yield* fhir.searchTotal("Patient", { ssn: "123-45" })
      yield* fhir.searchTotal("Patient", { ssn: "123-45", name: "x" }, { method: "POST" })
      yield* settled
      assert.deepStrictEqual(warnings.reported.map(({ code, server }) => [code, server]), [
        ["CapabilityUnlisted", base],
        ["CapabilityUnlisted", base]
      ])
      assert.deepStrictEqual(warnings.reported.map(({ detail }) => detail), [
        "the CapabilityStatement does not list delete for the interaction \"delete Patient\"",
        "the CapabilityStatement does not list ssn for the interaction \"search Patient\""
      ])
      assert.strictEqual(http.requests.filter(({ url }) => url.endsWith("/metadata")).length, 1)
      assert.strictEqual(http.requests.length, 6)
    }))

  it.scoped("a conditional request causes a warning only if the server declares its condition as not supported", () =>
    Effect.gen(function*() {
      const codes = ["read", "create", "update", "patch", "delete"]
      const details = (resource: object) =>
        Effect.gen(function*() {
          const { fhir, warnings } = yield* client(() =>
            Http.json({
              ...statement,
              rest: [{
                mode: "server",
                resource: [{ type: "Patient", interaction: codes.map((code) => ({ code })), ...resource }]
              }]
            })
          )
          const criteria = { identifier: "1" }
          const calls: ReadonlyArray<Effect.Effect<unknown, FhirError>> = [
            fhir.conditionalRead("Patient", "1", { ifNoneMatch: "W/\"1\"" }),
            fhir.create({ resourceType: "Patient" }, { ifNoneExist: criteria }),
            fhir.conditionalUpdate(criteria, { resourceType: "Patient" }),
            fhir.conditionalPatch("Patient", criteria, []),
            fhir.conditionalDelete("Patient", criteria),
            fhir.update({ resourceType: "Patient", id: "1" }, { ifMatch: "W/\"1\"" })
          ]
          yield* Effect.forEach(calls, Effect.ignore)
          yield* settled
          return warnings.reported.map(({ detail }) => / list (.*) for /.exec(detail)?.[1])
        })
      assert.deepStrictEqual(yield* details({}), [])
      assert.deepStrictEqual(yield* details({ conditionalCreate: true, conditionalDelete: "single" }), [])
      assert.deepStrictEqual(
        yield* details({
          conditionalRead: "not-supported",
          conditionalCreate: false,
          conditionalUpdate: false,
          conditionalPatch: false,
          conditionalDelete: "not-supported"
        }),
        codes.map((code) => `conditional ${code}`)
      )
    }))

  it.scoped("a history needs one of the codes of its level", () =>
    Effect.gen(function*() {
      const { fhir, warnings } = yield* client(() => Http.json(statement))
      yield* Effect.ignore(Stream.runDrain(fhir.history({ resourceType: "Patient" })))
      yield* Effect.ignore(Stream.runDrain(fhir.history()))
      yield* settled
      assert.strictEqual(warnings.reported.length, 2)
    }))

  it.scoped("without a CapabilityStatement, requests neither fail nor wait", () =>
    Effect.gen(function*() {
      for (const metadata of [() => Http.hang, () => Http.json({}, { status: 404 }), () => Http.text("<html>")]) {
        const { fhir, warnings } = yield* client(metadata)
        yield* fhir.delete("Patient", "1")
        yield* settled
        assert.deepStrictEqual(warnings.codes(), [])
      }
    }))
})
