import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
// The pure rule, for each kind of URL.
import * as LinkPolicy from "../../src/fhir/internal/linkPolicy.js"

const base = "https://ehr.example/fhir"
const rules = LinkPolicy.rules({ fhirBaseUrl: base }, [])
const outcome = (link: string, of = rules, options?: { readonly omitToken?: boolean }) =>
  Either.match(LinkPolicy.check(of, LinkPolicy.resolve(of, link), options), {
    onLeft: ({ problem }) => problem,
    onRight: ({ url, withToken }) => `${withToken ? "token" : "anonymous"} ${url.href}`
  })

describe("LinkPolicy", () => {
  it.each([
    ["", `token ${base}`],
    ["Patient/1", `token ${base}/Patient/1`],
    ["Patient?name=..%2f", `token ${base}/Patient?name=..%2f`],
    ["/fhir/Patient?page=2", `token ${base}/Patient?page=2`],
    ["//ehr.example/fhir/Patient/1", `token ${base}/Patient/1`],
    ["https:Patient/1", `token ${base}/Patient/1`],
    [`${base}/Patient/1/_history/2`, `token ${base}/Patient/1/_history/2`],
    ["HTTPS://EHR.example:443/fhir/Patient/1", `token ${base}/Patient/1`],
    ["Patient/../Observation/1", `token ${base}/Observation/1`]
  ])("[SMART-97] %s is the server's own", (link, expected) => assert.strictEqual(outcome(link), expected))

  it.each([
    ["//evil.example/fhir/Patient/1", "ForeignOrigin"],
    ["\\\\evil.example\\fhir", "ForeignOrigin"],
    ["/\\evil.example/fhir", "ForeignOrigin"],
    ["https://evil.example/fhir/Patient/1", "ForeignOrigin"],
    ["https://ehr.example.evil.example/fhir/Patient/1", "ForeignOrigin"],
    ["https://ehr.example./fhir/Patient/1", "ForeignOrigin"],
    ["https://ehr.example:8443/fhir/Patient/1", "ForeignOrigin"],
    ["http://ehr.example/fhir/Patient/1", "ForeignOrigin"],
    ["https://\u0435hr.example/fhir/Patient/1", "ForeignOrigin"],
    ["javascript:alert(1)", "ForeignOrigin"],
    ["https://ehr.example@evil.example/fhir", "HasCredentials"],
    ["https://u:p@ehr.example/fhir/Patient/1", "HasCredentials"],
    ["//u@ehr.example/fhir/Patient/1", "HasCredentials"],
    ["../fhir-evil/Patient/1", "OutsideBasePath"],
    ["/fhir-evil/Patient/1", "OutsideBasePath"],
    ["/FHIR/Patient/1", "OutsideBasePath"],
    ["/", "OutsideBasePath"],
    ["../../admin", "OutsideBasePath"],
    ["Patient/%2e%2e/%2e%2e/admin", "OutsideBasePath"],
    ["Patient/..%2f..%2fadmin", "AmbiguousPath"],
    ["Patient/%252e%252e/admin", "AmbiguousPath"],
    ["Patient/..;/admin", "AmbiguousPath"],
    ["https://", "NotAUrl"],
    ["https://ehr.example:99999/", "NotAUrl"]
  ])("[SMART-98] %s is not: %s", (link, problem) => assert.strictEqual(outcome(link), problem))

  it("`foreignOrigins` allows the named origins only, with the token or without it", () => {
    const allowing = LinkPolicy.rules({ fhirBaseUrl: base }, [], {
      foreignOrigins: {
        "https://files.example/ignored": "anonymous",
        "https://twin.example": "token",
        "data:x": "token"
      }
    })
    assert.strictEqual(outcome("https://files.example/a", allowing), "anonymous https://files.example/a")
    assert.strictEqual(outcome("https://twin.example/a", allowing), "token https://twin.example/a")
    assert.strictEqual(outcome("https://twin.example/..%2fa", allowing), "AmbiguousPath")
    assert.strictEqual(outcome("http://files.example/a", allowing), "ForeignOrigin")
    assert.strictEqual(outcome("https://u@files.example/a", allowing), "HasCredentials")
    assert.strictEqual(outcome("https://other.example/a", allowing), "ForeignOrigin")
    assert.strictEqual(outcome("data:y", allowing), "ForeignOrigin")
  })

  it("a file without a token may be anywhere at the server's origin", () => {
    const options = { omitToken: true }
    assert.strictEqual(outcome("/files/1", rules, options), "anonymous https://ehr.example/files/1")
    assert.strictEqual(outcome("Binary/1", rules, options), `anonymous ${base}/Binary/1`)
    assert.strictEqual(outcome("https://files.example/1", rules, options), "ForeignOrigin")
  })

  it("`rebaseLinks` moves links to the FHIR base URL, on a segment boundary, and the policy checks the result", () => {
    const moving = LinkPolicy.rules({ fhirBaseUrl: base }, [], { rebaseLinks: ["http://internal:8080/r4/"] })
    assert.strictEqual(outcome("http://internal:8080/r4/Patient?page=2", moving), `token ${base}/Patient?page=2`)
    assert.strictEqual(outcome("http://internal:8080/r4?page=2", moving), `token ${base}?page=2`)
    assert.strictEqual(outcome("http://internal:8080/r4/..%2fadmin", moving), "AmbiguousPath")
    assert.strictEqual(outcome("http://internal:8080/r4/../admin", moving), "ForeignOrigin")
    assert.strictEqual(outcome("http://internal:8080/r4-evil/Patient/1", moving), "ForeignOrigin")
    assert.strictEqual(outcome("http://internal:9090/r4/Patient/1", moving), "ForeignOrigin")
    assert.strictEqual(outcome("https://internal:8080/r4/Patient/1", moving), "ForeignOrigin")
  })

  it("a bare query is relative to its page", () => {
    assert.strictEqual(
      LinkPolicy.resolve(rules, "?page=2", { page: `${base}/Patient?name=x` })?.href,
      `${base}/Patient?page=2`
    )
  })
})
