import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HttpLimits from "../../src/http/HttpLimits.js"
import * as OAuthError from "../../src/http/OAuthError.js"
import * as RetryAfter from "../../src/http/RetryAfter.js"

describe("the error of an OAuth response", () => {
  it("has the three members of RFC 6749, section 5.2; malformed ones count as absent", () => {
    assert.deepStrictEqual(
      OAuthError.fromJson({ error: "invalid_grant", error_description: "used", error_uri: "https://ehr.example/e" }),
      { error: "invalid_grant", errorDescription: "used", errorUri: "https://ehr.example/e" }
    )
    assert.deepStrictEqual(OAuthError.fromJson({ error: 7, error_description: null, error_uri: ["x"] }), {
      error: undefined,
      errorDescription: undefined,
      errorUri: undefined
    })
  })

  it("is redacted: no secret in any member, and a code of 80 characters at most", () => {
    const secret = "s3cret-code"
    assert.deepStrictEqual(
      OAuthError.redacted({
        error: `bad ${secret}`,
        errorDescription: `got ${secret}`,
        errorUri: `https://e/${secret}`
      }, [
        secret
      ]),
      { error: "bad <redacted>", errorDescription: "got <redacted>", errorUri: "https://e/<redacted>" }
    )
    assert.strictEqual(OAuthError.redacted({ error: "x".repeat(100) }, []).error, `${"x".repeat(80)}…`)
    assert.deepStrictEqual(OAuthError.redacted({}, [secret]), {
      error: undefined,
      errorDescription: undefined,
      errorUri: undefined
    })
  })

  it("is printed with the members that it has", () => {
    assert.strictEqual(OAuthError.print({}), "")
    assert.strictEqual(OAuthError.print({ error: "a" }), "a")
    assert.strictEqual(OAuthError.print({ error: "a", errorDescription: "b", errorUri: "c" }), "a — b — c")
    assert.strictEqual(RetryAfter.print(undefined), "")
    assert.strictEqual(RetryAfter.print(Duration.seconds(90)), ", Retry-After 1m 30s")
  })
})

describe("HttpLimits", () => {
  it.effect("a layer replaces the limits that it names", () =>
    Effect.gen(function*() {
      const limits = yield* Effect.provide(HttpLimits.HttpLimits, HttpLimits.layer({ maxResponseBytes: 5 }))
      assert.deepStrictEqual(limits, { ...HttpLimits.defaults, maxResponseBytes: 5 })
      assert.deepStrictEqual(yield* Effect.provide(HttpLimits.HttpLimits, Layer.empty), HttpLimits.defaults)
    }))

  it("the defaults: 10 seconds for metadata, 30 for tokens and FHIR; 1 MiB, and 64 MiB for FHIR", () => {
    const { discoveryTimeout, fhirTimeout, maxFhirResponseBytes, maxResponseBytes, tokenTimeout } = HttpLimits.defaults
    assert.deepStrictEqual([discoveryTimeout, tokenTimeout, fhirTimeout].map((time) => Duration.toSeconds(time)), [
      10,
      30,
      30
    ])
    assert.deepStrictEqual([maxResponseBytes, maxFhirResponseBytes], [1_048_576, 67_108_864])
  })
})
