import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as TokenEndpoint from "../../src/token/TokenEndpoint.js"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const target: TokenEndpoint.Target = {
  endpoint: "https://auth.example/introspect",
  clientId: "app",
  authentication: ClientAuthentication.makePublic
}
const token = Redacted.make("the-t0ken")

const introspect = (body: unknown, authorization?: TokenEndpoint.Authorization) =>
  Effect.gen(function*() {
    const http = Http.script(() => Http.json(body))
    const warnings = recorded()
    const service = yield* TokenEndpoint.make.pipe(
      Effect.provide(Layer.mergeAll(http.layer, RetryPolicy.layer(RetryPolicy.none), warnings.layer))
    )
    const outcome = yield* Effect.either(service.introspect(target, { token, authorization }))
    return { http, outcome, warnings }
  })

const found = (body: unknown) =>
  Effect.map(
    introspect(body),
    ({ outcome, warnings }) =>
      outcome._tag === "Right" ? { value: outcome.right, codes: warnings.codes() } : assert.fail(outcome.left.message)
  )

describe("Introspection", () => {
  it.effect("[SMART-270] a form with the token; [SMART-282] a bearer token authorizes, where one is given", () =>
    Effect.gen(function*() {
      const own = yield* introspect({ active: false })
      assert.strictEqual(own.http.requests[0]?.body, "token=the-t0ken&client_id=app")
      assert.isUndefined(own.http.requests[0]?.headers["authorization"])
      const bearer = yield* introspect({ active: false }, Redacted.make("other"))
      assert.strictEqual(bearer.http.requests[0]?.body, "token=the-t0ken")
      assert.strictEqual(bearer.http.requests[0]?.headers["authorization"], "Bearer other")
    }))

  it.effect("[SMART-273] [SMART-277] [SMART-278] the members of an active token", () =>
    Effect.gen(function*() {
      const { codes, value } = yield* found({
        active: true,
        scope: "openid patient/*.read",
        client_id: "app",
        exp: 1_597_678_964,
        iss: "https://auth.example",
        sub: "alice",
        fhirUser: "https://ehr.example/Patient/1",
        patient: "456",
        intent: "x",
        vendor: 1
      })
      assert.deepStrictEqual(codes, [])
      assert.isTrue(value.active)
      assert.deepStrictEqual(value.scopes, ["openid", "patient/*.read"])
      assert.strictEqual(value.expiresAt && DateTime.toEpochMillis(value.expiresAt), 1_597_678_964_000)
      assert.strictEqual(value.context.patient, "456")
      assert.deepStrictEqual(Redacted.value(value.extensions), { vendor: 1 })
    }))

  it.effect("[SMART-278] the specification's sample has no iss, and is read", () =>
    Effect.gen(function*() {
      const { codes, value } = yield* found({
        active: true,
        scope: "openid",
        fhirUser: "https://ehr.example/Patient/1"
      })
      assert.deepStrictEqual(codes, [])
      assert.isUndefined(value.iss)
    }))

  it.effect("[SMART-272] an inactive token has no other members", () =>
    Effect.gen(function*() {
      const { value } = yield* found({ active: false, scope: "a", sub: "x", patient: "1" })
      assert.deepStrictEqual(value.scopes, [])
      assert.isUndefined(value.sub)
      assert.isUndefined(value.context.patient)
    }))

  it.effect.each([{}, { active: "true" }, { active: 1 }, { active: null }, { active: [true] }])(
    "[SMART-272] %j means nothing",
    (body) =>
      Effect.gen(function*() {
        const { outcome } = yield* introspect(body)
        if (outcome._tag === "Right") return assert.fail("accepted")
        assert.deepInclude(outcome.left, { reason: "Malformed", detail: "the response has no boolean active" })
      })
  )

  it.effect("malformed members count as absent, with warnings", () =>
    Effect.gen(function*() {
      const { codes, value } = yield* found({ active: true, scope: 1, sub: [], exp: "soon", client_id: {} })
      assert.deepStrictEqual(value.scopes, [])
      assert.isUndefined(value.expiresAt)
      assert.deepStrictEqual(new Set(codes), new Set(["TokenMemberMalformed"]))
      assert.isUndefined((yield* found({ active: true, exp: "1597678964" })).value.expiresAt)
    }))

  it.effect("deviations of the launch context cause warnings only where a member is malformed", () =>
    Effect.gen(function*() {
      const { outcome, warnings } = yield* introspect({
        active: true,
        patient: 1,
        fhirContext: ["Observation/1"],
        fhirUser: 1
      })
      assert.strictEqual(outcome._tag, "Right")
      const details = warnings.reported.map(({ code, detail }) => `${code}: ${detail}`)
      assert.deepStrictEqual(details.sort(), [
        "TokenMemberMalformed: fhirUser of an introspection is not a non-empty string; it counts as absent",
        "TokenMemberMalformed: introspection: patient is not a non-empty string; it counts as absent"
      ])
    }))

  it.effect("an error does not show the token that a server repeats", () =>
    Effect.gen(function*() {
      const { value } = yield* found({ active: true, token: "the-t0ken", jti: "the-t0ken" })
      assert.notInclude(inspect(value, { depth: 10 }) + JSON.stringify(value) + String(value), "the-t0ken")
      const { outcome } = yield* introspect({ "the-t0ken": true })
      if (outcome._tag === "Left") assert.notInclude(outcome.left.message, "the-t0ken")
      else assert.fail("accepted")
    }))

  it.effect.prop(
    "any JSON is an introspection or a typed error",
    [FastCheck.oneof(
      FastCheck.jsonValue(),
      FastCheck.dictionary(
        FastCheck.constantFrom("active", "exp", "scope", "sub", "fhirContext", "__proto__"),
        FastCheck.oneof(FastCheck.jsonValue(), FastCheck.constant(true), FastCheck.double())
      )
    )],
    ([body]) =>
      Effect.gen(function*() {
        const { outcome } = yield* introspect(body)
        assert.isTrue(outcome._tag === "Right" || typeof outcome.left.message === "string")
      })
  )
})
