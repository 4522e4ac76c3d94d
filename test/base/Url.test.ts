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
    assert.strictEqual(Url.forDisplay(`https://ehr.test/${"a".repeat(183)}`).length, 200)
  })
})
