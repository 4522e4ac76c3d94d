import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as FhirClient from "../../src/fhir/FhirClient.js"
import type { FhirError } from "../../src/fhir/FhirError.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as SmartClient from "../../src/smart/SmartClient.js"
import { LaunchContext } from "../../src/token/LaunchContext.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import * as Http from "../support/http.js"

const base = "https://ehr.example/fhir"
const token = "the-access-t0ken"
const tokensWith = (changes: Partial<ConstructorParameters<typeof TokenSet>[0]> = {}) =>
  new TokenSet({
    version: 1,
    fhirBaseUrl: base,
    accessToken: Redacted.make(token),
    receivedAt: DateTime.unsafeMake(0),
    scopes: ["patient/*.rs"],
    context: new LaunchContext({}),
    extensions: Redacted.make({}),
    ...changes
  })

const reading = (
  http: Http.Fake,
  options: { readonly type?: string; readonly id?: string; readonly base?: string; readonly tokens?: TokenSet } = {}
) =>
  Effect.scoped(Layer.build(
    Layer.merge(FhirClient.layer, SmartClient.layer({ fhirBaseUrl: options.base ?? base, clientId: "app" })).pipe(
      Layer.provide([http.layer, ClientAuthentication.layerPublic, RetryPolicy.layer(RetryPolicy.none)])
    )
  )).pipe(
    Effect.flatMap((context) =>
      Context.get(context, FhirClient.FhirClient)
        .forTokens(Context.get(context, SmartClient.SmartClient), options.tokens ?? tokensWith())
        .read(options.type ?? "Patient", options.id ?? "1")
    )
  )

describe("FhirClient", () => {
  it.effect("[SMART-93] [SMART-264] a read sends the bearer token to the resource below the whole base path", () =>
    Effect.gen(function*() {
      for (const written of [base, `${base}/`]) {
        const http = Http.script(() => Http.json({ resourceType: "Patient", id: "1" }))
        assert.strictEqual((yield* reading(http, { base: written }))["id"], "1")
        assert.deepStrictEqual(http.requests.map(({ method, url }) => `${method} ${url}`), [`GET ${base}/Patient/1`])
        assert.deepStrictEqual(Object.keys(http.requests[0]?.headers ?? {}).sort(), ["accept", "authorization"])
        assert.strictEqual(http.requests[0]?.headers["authorization"], `Bearer ${token}`)
      }
    }))

  it.effect.each([
    ["Patient", ".."],
    ["Patient", "."],
    ["Patient", "../x"],
    ["Patient", "a/b"],
    ["Patient", "%2e%2e"],
    ["Patient", "1?_format=x"],
    ["Patient", "1#x"],
    ["Patient", ""],
    ["Patient", "x".repeat(65)],
    ["Patient", "1\n"],
    ["../Patient", "1"],
    ["Patient/..", "1"],
    ["", "1"],
    ["https://evil.example", "1"],
    ["Patient\\..", "1"]
  ])("[SMART-97] the type %j with the id %j is not sent", ([type, id]) =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({ resourceType: "Patient" }))
      const error = yield* Effect.flip(reading(http, { type: type ?? "", id: id ?? "" }))
      assert.strictEqual(error.reason, "InvalidReference")
      assert.strictEqual(http.requests.length, 0)
    }))

  it.effect("[SMART-97] [SMART-98] a token is sent to the base URL that it was issued for and to its locations only", () =>
    Effect.gen(function*() {
      const other = "https://other.example/fhir"
      const refused = Http.script(() => Http.json({ resourceType: "Patient" }))
      const error = yield* Effect.flip(reading(refused, { base: other }))
      assert.strictEqual(error.reason, "ForeignLink")
      assert.strictEqual(refused.requests.length, 0)
      const context = new LaunchContext({ authorizationDetails: [{ locations: [other], fhirVersions: ["4.0.1"] }] })
      const allowed = Http.script(() => Http.json({ resourceType: "Patient" }))
      yield* reading(allowed, { base: other, tokens: tokensWith({ context }) })
      assert.strictEqual(allowed.requests.length, 1)
    }))

  it.effect("[SMART-97] a redirect to another origin is not followed", () =>
    Effect.gen(function*() {
      for (
        const to of [
          "https://evil.example/",
          `https://evil.example/${token}`,
          "http://ehr.example/fhir/Patient/2",
          "https://ehr.example/fhir-evil/x",
          "https://ehr.example/fhir/..%2fadmin",
          "//evil.example/fhir",
          "../../admin"
        ]
      ) {
        const http = Http.script(() => new Response(null, { status: 302, headers: { location: to } }))
        const error = yield* Effect.flip(reading(http))
        assert.include(["ForeignLink", "RedirectRefused"], error.reason, to)
        // Metadata may be asked for, to see whether the place is declared; without a token.
        const carrying = http.requests.filter(({ headers }) => "authorization" in headers).map(({ url }) => url)
        assert.deepStrictEqual(carrying, [`${base}/Patient/1`], to)
        assert.notInclude(error.message + inspect(error), token)
      }
    }))

  const outcome = (text: string) => ({
    resourceType: "OperationOutcome",
    issue: [{ severity: "error", code: text, diagnostics: text, details: { text } }, "odd", {}]
  })
  it.effect.each<[string, () => Http.FakeResponse, FhirError["reason"], boolean]>([
    ["401", () => Http.text("", { status: 401 }), "Unauthorized", false],
    ["403", () => Http.text("", { status: 403 }), "Forbidden", false],
    ["404", () => Http.text("", { status: 404 }), "NotFound", false],
    ["410", () => Http.text("", { status: 410 }), "Gone", false],
    ["400", () => Http.text("", { status: 400 }), "Refused", false],
    ["500", () => Http.text("", { status: 500 }), "Unavailable", false],
    ["503", () => Http.text("", { status: 503 }), "Unavailable", true],
    ["HTML", () => Http.text("<html>"), "NotFhir", false],
    ["JSON without a resource", () => Http.json({ id: "1" }), "NotFhir", false],
    ["a refused connection", () => new Http.ConnectionFailure("ECONNREFUSED"), "Unreachable", true]
  ])("%s: %s", ([, answer, reason, retryable]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(reading(Http.script(answer)))
      assert.strictEqual(error.reason, reason)
      assert.strictEqual(error.isRetryable, retryable)
      assert.notInclude(error.message, "Patient/1")
    }))

  it.effect("the issues of an OperationOutcome have no control characters and no token", () =>
    Effect.gen(function*() {
      const words = outcome(`x\r\nforged ${token} ${"y".repeat(5_000)}`)
      const valid = { ...words, issue: words.issue.filter((issue) => typeof issue === "object") }
      const error = yield* Effect.flip(
        reading(Http.script(() => Http.json(valid, { status: 401, headers: { "retry-after": "5" } })))
      )
      if (error._tag !== "FhirError") return assert.fail(error.message)
      assert.strictEqual(error.issues[0]?.severity, "error")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(5))
      const shown = error.message + inspect(error, { depth: 10 }) + JSON.stringify(error)
      assert.notInclude(shown, token)
      assert.notMatch(error.message, /[\r\n]/)
      assert.isBelow(error.message.length, 500)
    }))
})
