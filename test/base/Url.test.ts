import { assert, describe, it } from "@effect/vitest"
import * as Url from "../../src/base/Url.js"

describe("Url.forDisplay", () => {
  it("shows neither credentials nor query nor fragment", () =>
    assert.strictEqual(Url.forDisplay("https://user:pass@ehr.test:8443/a/b?code=c#d"), "https://ehr.test:8443/a/b"))

  it("shows at most 200 characters of a URL that a server chose", () => {
    for (const url of [`https://ehr.test/${"a".repeat(100_000)}`, `https://${"a.".repeat(120)}test/b`]) {
      const shown = Url.forDisplay(url)
      assert.strictEqual(shown.length, 200)
      assert.isTrue(shown.endsWith("…"))
    }
    const longest = `https://ehr.test/${"a".repeat(183)}`
    assert.strictEqual(longest.length, 200)
    assert.strictEqual(Url.forDisplay(longest), longest)
    assert.strictEqual(Url.forDisplay(`${longest}a`), `${longest.slice(0, 199)}…`)
  })
})

describe("Url.parse", () => {
  it("is the URL, also relative to a base, or `undefined`", () => {
    assert.strictEqual(Url.parse("https://ehr.test/a/../b")?.href, "https://ehr.test/b")
    assert.strictEqual(Url.parse("b?c", "https://ehr.test/a")?.href, "https://ehr.test/b?c")
    for (const input of ["", "b", "https://", "https://a b"]) assert.isUndefined(Url.parse(input))
    assert.isUndefined(Url.parse("b", "not a URL"))
    assert.strictEqual(Url.forDisplay("b"), "(not a URL)")
  })
})

describe("the rules of URLs", () => {
  const url = (input: string) => Url.parse(input) ?? assert.fail(`not a URL: ${input}`)

  it.each([
    ["https://ehr.test", false],
    ["https://user@ehr.test", true],
    ["https://:password@ehr.test", true],
    ["https://user:password@ehr.test", true],
    ["https://@ehr.test", false],
    ["https://ehr.test/user:password@", false]
  ])("`hasCredentials` of %s is %s", (input, expected) => assert.strictEqual(Url.hasCredentials(url(input)), expected))

  it.each([
    ["https://ehr.test", true, true],
    ["https://localhost", true, true],
    ["http://localhost:3000/fhir", true, false],
    ["http://LOCALHOST", true, false],
    ["http://127.0.0.1", true, false],
    ["http://[::1]:80", true, false],
    ["http://127.0.0.2", false, false],
    ["http://localhost.ehr.test", false, false],
    ["http://localhost@ehr.test", false, false],
    ["http://ehr.test/localhost", false, false],
    ["http://ehr.test", false, false],
    ["ws://localhost", false, false],
    ["ftp://localhost", false, false],
    ["file://localhost/etc", false, false],
    ["javascript:localhost", false, false]
  ])("`isSecure` of %s is %s with `allowInsecureLocalhost` and %s without", (input, allowed, strict) => {
    assert.strictEqual(Url.isSecure(url(input), true), allowed)
    assert.strictEqual(Url.isSecure(url(input), false), strict)
  })

  it("`isLoopback` is true for three names of this machine", () => {
    const hosts = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::2]", "local", "ehr.test"]
    assert.deepStrictEqual(hosts.filter((host) => Url.isLoopback(url(`https://${host}/`))), hosts.slice(0, 3))
  })

  it("`formEncode` encodes one value of a form", () =>
    assert.strictEqual(Url.formEncode("a b+c=d&é"), "a+b%2Bc%3Dd%26%C3%A9"))
})
