import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as Conformance from "../../src/server/Conformance.js"
import * as Discovery from "../../src/server/Discovery.js"
// The pure rule; the tests with requests are below.
import { toDocument } from "../../src/server/internal/capabilityStatement.js"
import * as LegacyMetadata from "../../src/server/LegacyMetadata.js"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const base = "https://ehr.example/fhir"
const PROFILES = "http://fhir-registry.smarthealthit.org/StructureDefinition"

const rest = (uris: Readonly<Record<string, unknown>>, capabilities: ReadonlyArray<string> = []) => ({
  mode: "server",
  security: {
    extension: [
      { url: "https://vendor.example/other", extension: [{ url: "token", valueUri: "https://evil.example" }] },
      ...capabilities.map((valueCode) => ({ url: `${PROFILES}/capabilities`, valueCode })),
      {
        url: `${PROFILES}/oauth-uris`,
        extension: Object.entries(uris).map(([url, valueUri]) => ({ url, valueUri }))
      }
    ]
  }
})
const uris = { authorize: "https://auth.example/authorize", token: "https://auth.example/token" }
const statement = (...entries: ReadonlyArray<unknown>) => ({ resourceType: "CapabilityStatement", rest: entries })
const legacy = { legacyMetadata: LegacyMetadata.capabilityStatement }

const over = (http: Http.Fake) =>
  Discovery.make().pipe(Effect.provide(Layer.merge(http.layer, RetryPolicy.layer(RetryPolicy.none))))

/** A server that answers at the well-known place and at `/metadata`. */
const server = (
  wellKnown: () => Http.FakeResponse,
  metadata: (url: URL) => Http.FakeResponse = () => Http.json(statement(rest(uris)))
) => Http.fake(({ url }) => url.endsWith("/smart-configuration") ? wellKnown() : metadata(new URL(url)))
const missing = () => Http.text("", { status: 404 })

describe("the oauth-uris of a CapabilityStatement", () => {
  it("are read from any rest entry, with all their endpoints", () => {
    const all = {
      ...uris,
      register: "https://auth.example/register",
      introspect: "https://auth.example/introspect",
      revoke: "https://auth.example/revoke",
      manage: "https://auth.example/manage",
      other: "https://auth.example/other"
    }
    assert.deepStrictEqual(
      toDocument(statement({ mode: "client" }, null, { security: 1 }, rest(all, ["launch-ehr", "launch-ehr"]))),
      {
        authorization_endpoint: "https://auth.example/authorize",
        token_endpoint: "https://auth.example/token",
        registration_endpoint: "https://auth.example/register",
        introspection_endpoint: "https://auth.example/introspect",
        revocation_endpoint: "https://auth.example/revoke",
        management_endpoint: "https://auth.example/manage",
        capabilities: ["launch-ehr"]
      }
    )
  })

  it("are read from a Conformance of DSTU2, and with one of the two endpoints", () => {
    for (const member of ["authorize", "token"] as const) {
      assert.deepStrictEqual(toDocument({ resourceType: "Conformance", rest: [rest({ [member]: uris[member] })] }), {
        [member === "token" ? "token_endpoint" : "authorization_endpoint"]: uris[member]
      })
    }
  })

  it("a capability that is not a code and an endpoint without a value count as absent", () => {
    const { security } = rest(uris)
    const extension = [
      { url: `${PROFILES}/capabilities`, valueCode: 1 },
      { url: `${PROFILES}/oauth-uris`, extension: [{ url: "token" }] },
      ...security.extension
    ]
    assert.deepStrictEqual(toDocument(statement({ security: { extension } })), {
      authorization_endpoint: uris.authorize,
      token_endpoint: uris.token
    })
  })

  it("are absent in other resources and without endpoints", () => {
    for (
      const resource of [
        {},
        { resourceType: "OperationOutcome", rest: [rest(uris)] },
        statement(),
        { ...statement(), rest: "x" },
        statement(rest({})),
        statement(rest({ manage: "https://auth.example/manage" })),
        statement({ security: { extension: [null, 1, { url: `${PROFILES}/oauth-uris`, extension: "x" }] } })
      ]
    ) assert.isUndefined(toDocument(resource))
  })
})

describe("Discovery, legacyMetadata", () => {
  it.effect("is not requested without legacyMetadata", () =>
    Effect.gen(function*() {
      const http = server(missing)
      const discovery = yield* over(http)
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, "NotFound")
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect.each<readonly [string, () => Http.FakeResponse, string]>([
    ["404", missing, "NotFound"],
    ["410", () => Http.text("", { status: 410 }), "NotFound"],
    ["406", () => Http.text("", { status: 406 }), "Status"],
    ["a web page", () => Http.text("<!doctype html>", { headers: { "content-type": "text/html" } }), "NotJson"],
    ["a web page without a content type", () => Http.text("<html>"), "NotJson"],
    ["a web page after white space", () => Http.text(" \n\t<html>"), "NotJson"],
    ["an empty page", () => Http.text("", { headers: { "content-type": "text/html; charset=utf-8" } }), "NotJson"]
  ])("serves after %s, with a warning and a finding", ([, wellKnown, reason]) =>
    Effect.gen(function*() {
      const warnings = recorded()
      const http = server(wellKnown)
      const discovery = yield* over(http).pipe(Effect.provide(warnings.layer))
      const found = yield* discovery.configuration(base, legacy)
      assert.strictEqual(found.tokenEndpoint, uris.token)
      assert.strictEqual(found.source, "CapabilityStatement")
      assert.deepStrictEqual(warnings.codes(), ["MetadataLegacy"])
      assert.strictEqual(Conformance.findings(found)[0]?.code, "WellKnownMissing")
      assert.deepStrictEqual(http.requests.map(({ url }) => url), [
        `${base}/.well-known/smart-configuration`,
        `${base}/metadata`
      ])
      assert.strictEqual(http.requests[1]?.headers["accept"], "application/fhir+json, application/json;q=0.9")
      yield* discovery.configuration(base, legacy)
      assert.strictEqual(http.requests.length, 2)
      // What this caller puts up with, others do not get.
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base))).reason, reason)
    }))

  it.effect.each<readonly [string, () => Http.FakeResponse, string]>([
    ["a broken connection", () => new Http.ConnectionFailure("ECONNRESET"), "Unreachable"],
    ["500", () => Http.text("<html>", { status: 500 }), "Status"],
    ["503", () => Http.text("", { status: 503 }), "Status"],
    ["401", () => Http.text("", { status: 401 }), "Status"],
    ["a text", () => Http.text("not <here>"), "NotJson"],
    ["half a document", () => Http.text("{\"token_endpoint\":"), "NotJson"],
    ["an array", () => Http.json([]), "NotObject"]
  ])("is not looked at after %s", ([, wellKnown, reason]) =>
    Effect.gen(function*() {
      const http = server(wellKnown)
      const discovery = yield* over(http)
      assert.strictEqual((yield* Effect.flip(discovery.configuration(base, legacy))).reason, reason)
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect("the SMART configuration has priority and is requested once", () =>
    Effect.gen(function*() {
      const http = server(() => Http.json({ token_endpoint: "https://smart.example/token" }))
      const found = yield* Effect.flatMap(over(http), (discovery) => discovery.configuration(base, legacy))
      assert.strictEqual(found.tokenEndpoint, "https://smart.example/token")
      assert.isUndefined(found.source)
      assert.strictEqual(http.requests.length, 1)
    }))

  it.effect("requests JSON in the URL too if the server responds with XML", () =>
    Effect.gen(function*() {
      const http = server(missing, (url) =>
        url.search === "?_format=json"
          ? Http.json(statement(rest(uris)))
          : Http.text("<CapabilityStatement/>", { headers: { "content-type": "application/fhir+xml" } }))
      const found = yield* Effect.flatMap(over(http), (discovery) => discovery.configuration(base, legacy))
      assert.strictEqual(found.tokenEndpoint, uris.token)
    }))

  it.effect.each<readonly [string, () => Http.FakeResponse]>([
    ["names no endpoints", () => Http.json(statement(rest({})))],
    ["is not there", missing],
    ["is a page", () => Http.text("<html>")]
  ])("where the CapabilityStatement %s, the first error stands", ([, metadata]) =>
    Effect.gen(function*() {
      const discovery = yield* over(server(missing, metadata))
      const error = yield* Effect.flip(discovery.configuration(base, legacy))
      assert.strictEqual(error.reason, "NotFound")
      assert.strictEqual(error.url, `${base}/.well-known/smart-configuration`)
      assert.include(error.message, "and the server has no CapabilityStatement with endpoints")
    }))

  it.effect("a CapabilityStatement that is not there is requested once", () =>
    Effect.gen(function*() {
      const http = server(missing, missing)
      yield* Effect.flip(Effect.flatMap(over(http), (discovery) => discovery.configuration(base, legacy)))
      assert.deepStrictEqual(http.requests.map(({ url }) => url.slice(base.length)), [
        "/.well-known/smart-configuration",
        "/metadata"
      ])
    }))

  it.effect("a transient failure of the CapabilityStatement does not count as a missing one", () =>
    Effect.gen(function*() {
      for (const metadata of [() => new Http.ConnectionFailure("ECONNRESET"), () => Http.text("", { status: 503 })]) {
        const discovery = yield* over(server(missing, metadata))
        const error = yield* Effect.flip(discovery.configuration(base, legacy))
        assert.isTrue(error.isRetryable)
        assert.strictEqual(error.url, `${base}/metadata`)
      }
    }))

  it.effect("its relative endpoints are resolved, and its http endpoints refused", () =>
    Effect.gen(function*() {
      const http = server(missing, () => Http.json(statement(rest({ ...uris, token: "/oauth/token" }))))
      const found = yield* Effect.flatMap(over(http), (discovery) => discovery.configuration(base, legacy))
      assert.strictEqual(found.tokenEndpoint, "https://ehr.example/oauth/token")
      assert.deepStrictEqual(found.deviations.map(({ member }) => member), ["token_endpoint"])
    }))

  it.effect("`invalidate` removes it", () =>
    Effect.gen(function*() {
      const http = server(missing)
      const discovery = yield* over(http)
      yield* discovery.configuration(base, legacy)
      yield* discovery.invalidate(base)
      yield* TestClock.adjust("1 second")
      yield* discovery.configuration(base, legacy)
      assert.strictEqual(http.requests.length, 4)
    }))
})
