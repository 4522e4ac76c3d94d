import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as TokenAudience from "../../src/http/TokenAudience.js"

const base = "https://ehr.example/fhir"
const audience = TokenAudience.make([base, "https://imaging.example:8443/r4/"])
const outcome = (target: string, of = audience) =>
  Either.match(TokenAudience.check(of, target), { onLeft: (problem) => problem, onRight: () => "ok" })

const ACCEPTED = [
  base,
  `${base}/`,
  `${base}/Patient/1`,
  `${base}/Patient?name=..%2f..&x=/../y`,
  `${base}?_getpages=1`,
  `${base}#fragment`,
  "https://ehr.example:443/fhir/Patient/1",
  "HTTPS://EHR.EXAMPLE/fhir/Patient/1",
  "https://imaging.example:8443/r4",
  "https://imaging.example:8443/r4/Study/1",
  `${base}/a/../Patient/1`,
  `${base}/./Patient/1`,
  `${base}/Patient/1.2..3`,
  `${base}/Patient/...`,
  `${base}/ValueSet/$expand`,
  `${base}/Binary/%C3%A4`,
  // "a", encoded three times
  `${base}/%252561`
]

const REFUSED: ReadonlyArray<readonly [string, TokenAudience.Problem]> = [
  // the prefix ends at a segment
  ["https://ehr.example/fhir-evil/Patient/1", "OutsideBasePath"],
  ["https://ehr.example/fhirs", "OutsideBasePath"],
  ["https://ehr.example/fhi", "OutsideBasePath"],
  ["https://ehr.example/", "OutsideBasePath"],
  ["https://ehr.example/FHIR/Patient/1", "OutsideBasePath"],
  ["https://ehr.example//fhir/Patient/1", "OutsideBasePath"],
  ["https://ehr.example/x/fhir/Patient/1", "OutsideBasePath"],
  ["https://ehr.example/fhir%2FPatient", "OutsideBasePath"],
  ["https://ehr.example/fhir;x=1/Patient", "OutsideBasePath"],
  // dots, in every dress
  ["https://ehr.example/fhir/../admin", "OutsideBasePath"],
  ["https://ehr.example/fhir/..", "OutsideBasePath"],
  ["https://ehr.example/fhir/%2e%2e/admin", "OutsideBasePath"],
  ["https://ehr.example/fhir/.%2E/admin", "OutsideBasePath"],
  ["https://ehr.example/fhir/x/../../admin", "OutsideBasePath"],
  ["https://ehr.example/fhir\\..\\admin", "OutsideBasePath"],
  ["https://ehr.example/fhir/..\\admin", "OutsideBasePath"],
  ["https://ehr.example/fhir/%2e%2e%2fadmin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%2fadmin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%5cadmin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%5c..%5cadmin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%252e%252e/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%252e%252e%252fadmin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%25252e%25252e/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%2525252e%2525252e/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%252525252525252e%252525252525252e/admin", "AmbiguousPath"],
  // "a", encoded four times
  ["https://ehr.example/fhir/%25252561", "AmbiguousPath"],
  ["https://ehr.example/fhir/..;/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..;x=y/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%2e%2e;/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/.;/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%2e%2e%3b/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%00/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%20/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%09/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%23/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/..%3f/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%c0%ae%c0%ae/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%u002e%u002e/admin", "AmbiguousPath"],
  ["https://ehr.example/fhir/%", "AmbiguousPath"],
  // another origin
  ["https://evil.example/fhir/Patient/1", "ForeignOrigin"],
  ["https://ehr.example.evil.example/fhir", "ForeignOrigin"],
  ["https://ehr.example:8443/fhir", "ForeignOrigin"],
  ["https://imaging.example/r4", "ForeignOrigin"],
  ["https://ehr.example./fhir", "ForeignOrigin"],
  ["https://www.ehr.example/fhir", "ForeignOrigin"],
  ["https://\u0435hr.example/fhir", "ForeignOrigin"],
  ["https://xn--hr-mlc.example/fhir", "ForeignOrigin"],
  ["https://evil.example\\@ehr.example/fhir", "ForeignOrigin"],
  ["https://evil.example#@ehr.example/fhir", "ForeignOrigin"],
  ["https://evil.example?@ehr.example/fhir", "ForeignOrigin"],
  ["https:\\\\evil.example/fhir", "ForeignOrigin"],
  ["http://ehr.example/fhir/Patient/1", "ForeignOrigin"],
  ["http://ehr.example:443/fhir/Patient/1", "ForeignOrigin"],
  ["ws://ehr.example/fhir", "ForeignOrigin"],
  ["ftp://ehr.example/fhir", "ForeignOrigin"],
  ["javascript:alert(1)", "ForeignOrigin"],
  ["data:text/html,x", "ForeignOrigin"],
  ["file:///fhir", "ForeignOrigin"],
  ["blob:https://ehr.example/fhir", "Insecure"],
  // user info before the host
  ["https://ehr.example@evil.example/fhir", "HasCredentials"],
  ["https://user:pass@ehr.example/fhir", "HasCredentials"],
  ["https://:pass@ehr.example/fhir", "HasCredentials"],
  ["https://ehr.example%2f@evil.example/fhir", "HasCredentials"],
  // no absolute URL at all
  ["//evil.example/fhir", "NotAUrl"],
  ["//ehr.example/fhir", "NotAUrl"],
  ["/fhir/Patient/1", "NotAUrl"],
  ["Patient/1", "NotAUrl"],
  ["", "NotAUrl"],
  ["https://", "NotAUrl"],
  ["https://ehr.example:99999/fhir", "NotAUrl"],
  ["https://[::1/fhir", "NotAUrl"]
]

describe("TokenAudience", () => {
  it.each(ACCEPTED)("[SMART-97] a token may go to %s", (target) => assert.strictEqual(outcome(target), "ok"))

  it.each(REFUSED)(
    "[SMART-97] a token may not go to %s: %s",
    (target, problem) => assert.strictEqual(outcome(target), problem)
  )

  it.each(REFUSED)("[SMART-98] what was refused as text is refused as a parsed URL: %s", (target) => {
    if (URL.canParse(target)) assert.isTrue(Either.isLeft(TokenAudience.check(audience, new URL(target))))
    else assert.strictEqual(outcome(target), "NotAUrl")
  })

  it("hosts are compared as the URL parser normalises them", () => {
    const international = TokenAudience.make(["https://klinik-münchen.example/fhir"])
    assert.strictEqual(outcome("https://xn--klinik-mnchen-3ob.example/fhir/x", international), "ok")
    assert.strictEqual(outcome("https://klinik-munchen.example/fhir/x", international), "ForeignOrigin")
    assert.strictEqual(outcome("https://ｅｈｒ.example/fhir"), "ok")
  })

  it("[SMART-1] http is refused also for an http base, unless the host is loopback and it is allowed", () => {
    const bases = [
      "http://ehr.example/fhir",
      "http://localhost:8080/fhir",
      "http://127.0.0.1/fhir",
      "http://[::1]/fhir"
    ]
    const strict = TokenAudience.make(bases)
    const local = TokenAudience.make(bases, { allowInsecureLocalhost: true })
    for (const target of bases) assert.strictEqual(outcome(target, strict), "Insecure")
    assert.deepStrictEqual(bases.map((target) => outcome(target, local)), ["Insecure", "ok", "ok", "ok"])
    assert.strictEqual(outcome("http://localhost.evil.example:8080/fhir", local), "ForeignOrigin")
    assert.strictEqual(outcome("http://127.0.0.1.nip.example/fhir", local), "ForeignOrigin")
  })

  it("opaque origins are not equal", () => {
    const odd = TokenAudience.make(["foo:bar", "data:text/plain,x", ""])
    assert.strictEqual(outcome("foo:bar", odd), "Insecure")
    assert.strictEqual(outcome("javascript:alert(1)", odd), "Insecure")
  })

  it("an audience without bases admits no URL", () => {
    assert.strictEqual(outcome(base, TokenAudience.make([])), "ForeignOrigin")
    assert.strictEqual(outcome(base, TokenAudience.make(["not a url"])), "ForeignOrigin")
  })

  it("of two bases at one origin, a URL needs to be under one", () => {
    const two = TokenAudience.make([base, "https://ehr.example/imaging"])
    assert.strictEqual(outcome("https://ehr.example/imaging/Study/1", two), "ok")
    assert.strictEqual(outcome("https://ehr.example/fhir/Patient/1", two), "ok")
    assert.strictEqual(outcome("https://ehr.example/admin", two), "OutsideBasePath")
  })

  it("a base that is not a URL is left out", () => {
    assert.deepStrictEqual(TokenAudience.make(["ehr.example", base]).bases.map(String), [base])
  })

  it("a base at the root admits all paths of its origin, and no other origin", () => {
    const root = TokenAudience.make(["https://ehr.example"])
    assert.strictEqual(outcome("https://ehr.example/anything", root), "ok")
    assert.strictEqual(outcome("https://evil.example/anything", root), "ForeignOrigin")
  })

  it.prop(
    "[SMART-97] an admitted URL is, as browsers and Node parse it, https and under a base",
    [
      FastCheck.oneof(
        FastCheck.webUrl({ withFragments: true, withQueryParameters: true }),
        FastCheck.string(),
        FastCheck.array(
          FastCheck.constantFrom(
            ...["https:", "http:", "/", "\\", "//", "ehr.example", "evil.example", "@", "fhir", "..", "%2e", "%252e"],
            ...[";", "%2f", "%5c", "?", "#", ":443", ":", "fhir-evil", "Patient", "1", "."]
          ),
          { maxLength: 12 }
        ).map((parts) => parts.join("")),
        FastCheck.array(FastCheck.constantFrom("..", "%2e", ".", "/", "%2f", "%25", "2e", ";", "x", "\\"), {
          maxLength: 8
        }).map((parts) => `${base}/${parts.join("")}`)
      )
    ],
    ([target]) => {
      const judged = TokenAudience.check(audience, target)
      if (Either.isLeft(judged)) return
      const { href } = judged.right
      assert.isTrue(new URL(href).protocol === "https:")
      assert.match(href, /^https:\/\/(ehr\.example\/fhir|imaging\.example:8443\/r4)([/?#]|$)/)
      const decoded = Array.from({ length: 6 }).reduce<string>(
        (path) => decodeURIComponent(path),
        judged.right.pathname
      )
      assert.isFalse(decoded.split(/[/\\]/).some((segment) => segment === ".." || segment.startsWith("..;")))
    },
    { fastCheck: { numRuns: 2_000 } }
  )
})
