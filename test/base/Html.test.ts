import { assert, describe, it } from "@effect/vitest"
import { escape } from "../../src/base/Html.js"

describe("Html.escape", () => {
  it("replaces each character that ends a text or a quoted attribute value, and no other", () =>
    assert.strictEqual(
      escape("<a href=\"x\" title='y'>&amp; é</a>`"),
      "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp; é&lt;/a&gt;`"
    ))
})
