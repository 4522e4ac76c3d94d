import { assert, describe, it } from "@effect/vitest"
import { type Problem, type Problems, TrustError } from "../../src/udap/TrustError.js"

const problem = (detail: string, certificate?: string): Problem => ({
  reason: "RevocationUnavailable",
  rule: "RFC 5280, 6.3.3",
  detail,
  certificate
})

describe("TrustError", () => {
  it("the message has the community, three problems with their certificates, and the remedy", () => {
    const message = (problems: Problems, community?: string) =>
      new TrustError({ reason: "Untrusted", problems, subject: "https://fhir.example.org", community }).message
    const remedy = TrustError.remedy("Untrusted")
    assert.strictEqual(
      message([problem("one", "CN=a")]),
      `https://fhir.example.org is not trusted (Untrusted): certificate CN=a: one [RFC 5280, 6.3.3]; ${remedy}`
    )
    const three: Problems = [problem("one"), problem("two"), problem("three")]
    const shown = "one [RFC 5280, 6.3.3]; two [RFC 5280, 6.3.3]; three [RFC 5280, 6.3.3]"
    assert.strictEqual(
      message(three, "urn:a"),
      `https://fhir.example.org is not trusted in the community urn:a (Untrusted): ${shown}; ${remedy}`
    )
    assert.strictEqual(
      message([...three, problem("four"), problem("five")]),
      `https://fhir.example.org is not trusted (Untrusted): ${shown}; and 2 more; ${remedy}`
    )
  })

  it("is temporary only if each problem is", () => {
    const isRetryable = (...others: ReadonlyArray<Problem>) =>
      new TrustError({
        reason: "RevocationUnavailable",
        problems: [problem("one"), ...others],
        subject: "x"
      }).isRetryable
    assert.isTrue(isRetryable())
    assert.isTrue(isRetryable(problem("two")))
    assert.isFalse(isRetryable({ ...problem("two"), reason: "Revoked" }))
  })
})
