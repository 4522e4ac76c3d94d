import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as ClientAssertion from "../../src/client/ClientAssertion.js"

const make = (changes: Partial<Parameters<typeof ClientAssertion.claims>[0]> = {}) =>
  ClientAssertion.claims({
    clientId: "app",
    endpoint: "https://ehr.test:8443/auth/token/",
    jti: "one",
    nowMillis: 1_700_000_000_999,
    lifetimeSeconds: 240,
    profile: ClientAssertion.smart,
    ...changes
  })

describe("ClientAssertion", () => {
  it("[SMART-327 SMART-328 SMART-329 SMART-330 SMART-332] `claims` has iss = sub, the endpoint as a string aud, exp in whole seconds, and jti", () => {
    assert.deepStrictEqual(Object.entries(make()), [
      ["iss", "app"],
      ["sub", "app"],
      ["aud", "https://ehr.test:8443/auth/token/"],
      ["exp", 1_700_000_240],
      ["jti", "one"]
    ])
  })

  it("`claims` has iat and nbf only for a profile that asks for them", () => {
    assert.doesNotHaveAnyKeys(make(), ["iat", "nbf"])
    const both = make({ profile: { ...ClientAssertion.smart, iat: true, nbf: true } })
    assert.deepStrictEqual([both.iat, both.nbf], [1_700_000_000, 1_700_000_000])
  })

  it("`claims` takes aud from the profile", () => {
    assert.strictEqual(make({ profile: ClientAssertion.issuerAudience("https://ehr.test") }).aud, "https://ehr.test")
    const strict = ClientAssertion.strict("https://ehr.test")
    assert.deepStrictEqual([make({ profile: strict }).aud, strict.typ, make({ profile: strict }).iat], [
      "https://ehr.test",
      "client-authentication+jwt",
      1_700_000_000
    ])
  })

  it("[SMART-331] `lifetimeSeconds` is four minutes by default, and at most five", () => {
    assert.deepStrictEqual(ClientAssertion.lifetimeSeconds(undefined), Either.right(240))
    assert.deepStrictEqual(ClientAssertion.lifetimeSeconds("5 minutes"), Either.right(300))
    assert.deepStrictEqual(ClientAssertion.lifetimeSeconds("1500 millis"), Either.right(1))
    for (const lifetime of ["301 seconds", "6 minutes", "999 millis", 0, Duration.infinity] as const) {
      const result = ClientAssertion.lifetimeSeconds(lifetime)
      assert.strictEqual(Either.isLeft(result) ? result.left.reason : "none", "Invalid")
    }
  })

  it("[SMART-331] exp is at most five minutes from now", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.nat(4_000_000_000_000),
        FastCheck.integer({ min: 1000, max: 300_999 }),
        (now, life) => {
          const lifetime = Either.getOrElse(ClientAssertion.lifetimeSeconds(Duration.millis(life)), () => 0)
          const { exp } = make({ nowMillis: now, lifetimeSeconds: lifetime })
          return Number.isInteger(exp) && lifetime >= 1 && exp * 1000 <= now + 300_000 && exp * 1000 > now - 1000
        }
      )
    )
  })
})
